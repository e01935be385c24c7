"""How much memory calls take, from how much they took."""

from __future__ import annotations

from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.task import Task, Terms
from mcp_scheduler.forecast.book import Book
from mcp_scheduler.forecast.durations import name_of


class MemoryFootprints:
    """`core.estimates.Footprints` over two books of bytes. What a call takes on the host does not depend on the class
    of its device."""

    def __init__(self) -> None:
        self.host = Book()
        self.device = Book()

    def memory(self, task: Task, /) -> Expected | None:
        return self.host.predict(name_of(task.terms), "", task.size)

    def device_memory(self, task: Task, device_class: str, /) -> Expected | None:
        return self.device.predict(name_of(task.terms), device_class, task.size)

    def learn(
        self, terms: Terms, size: int, device_class: str, memory: int, device_memory: int, *, at_least: bool = False
    ) -> None:
        name = name_of(terms)
        if memory > 0:
            self.host.learn(name, "", size, memory, at_least=at_least)
        if device_memory > 0:
            self.device.learn(name, device_class, size, device_memory, at_least=at_least)
