"""How long calls take, from how long they took."""

from __future__ import annotations

from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.task import Kind, Task, Terms
from mcp_scheduler.forecast.book import Book


def name_of(terms: Terms) -> str:
    """What is forecast together: `module.function`, or the kind and the head of anything else (`command make`). Neither
    environment nor principal counts: a function that moves takes its history along."""
    return terms.target if terms.kind is Kind.FUNCTION else f"{terms.kind.value} {terms.target}"


class Durations:
    """`core.estimates.Forecasts` over a book of seconds."""

    def __init__(self) -> None:
        self.book = Book()

    def expected(self, task: Task, device_class: str = "", /) -> Expected | None:
        return self.book.predict(name_of(task.terms), device_class, task.size)

    def learn(self, terms: Terms, size: int, device_class: str, seconds: float, *, at_least: bool = False) -> None:
        self.book.learn(name_of(terms), device_class, size, seconds, at_least=at_least)
