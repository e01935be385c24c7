"""Which schedules are worth a look, where several things count: what the search for an order finds, at several widths
and with several choices of places, and what pymoo does, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from time import monotonic
from typing import Any, Final

from mcp_scheduler.searching.archive import Archive, Power
from mcp_scheduler.searching.problem import Choice, Problem
from mcp_scheduler.searching.search import search
from mcp_scheduler.searching.ways import swept

_MOST: Final = 8
_WIDTHS: Final = (1.0, 0.5, 0.0)
_FIRST: Final = 0.2  # of the time is for the search for an order, where pymoo has the rest


def look(told: dict[str, Any], until: float) -> dict[str, Any]:
    """The answer of the child: `by` ("pymoo", or "sweep" without it) and a few `schedules`. `told`: the problem, the
    starts of schedules to begin with and the `choices` of ways in them, power by resource, and objectives; at least two
    of them count here."""
    problem = Problem.read(told["problem"])
    objectives = tuple(dict.fromkeys(("makespan", *told["objectives"])))
    if len(objectives) == 1:
        objectives = ("makespan", "energy")
    power = {int(kind): Power(*one) for kind, one in told["power"].items()}
    archive = Archive(problem, power, objectives)
    choices: list[Choice] = [tuple(one) for one in told.get("choices") or [()] * len(told["given"])]
    for starts, choice in zip(told["given"], choices, strict=True):
        archive.keep("given", list(starts), problem.capacity, choice)
    tries = [(choices[0] if choices else (), share) for share in _WIDTHS]
    if problem.open:
        tries += [(choice, share) for choice in swept(problem, power) for share in _WIDTHS[::2]]
    has_pymoo = find_spec("pymoo") is not None
    begin = monotonic()
    _search(archive, told["given"], tries, begin + (until - begin) * (_FIRST if has_pymoo else 1.0))
    if has_pymoo:
        from mcp_scheduler.searching.evolving import evolve  # noqa: PLC0415 - optional

        half = (monotonic() + until) / 2
        evolve(archive, "nsga2", _before(half))
        evolve(archive, "moead", _before(until))
    return {
        "by": "pymoo" if has_pymoo else "sweep",
        "schedules": [
            {"by": one.by, "starts": one.starts, "capacity": one.capacity, "choice": one.choice}
            for one in archive.few(_MOST)
        ],
    }


def shortest(told: dict[str, Any], until: float) -> dict[str, Any]:
    """The answer of the child where only the end counts: `end`, `starts` and `choice` of the best schedule."""
    problem = Problem.read(told["problem"])
    given: list[list[float]] = told["given"]
    choices: list[Choice] = [()]
    if problem.open:
        choices = list(dict.fromkeys([*(tuple(one) for one in told["choices"]), *swept(problem, {})]))
    found: list[tuple[float, list[float], Choice]] = []
    for place, choice in enumerate(choices):
        now = monotonic()
        best = search(problem.choosing(choice), given, _before(now + (until - now) / (len(choices) - place)))
        found.append((best.end, best.starts, choice))
    end, starts, choice = min(found, key=lambda one: one[0])
    return {"end": end, "starts": starts, "choice": choice}


def _search(
    archive: Archive, given: Sequence[Sequence[float]], tries: Sequence[tuple[Choice, float]], until: float
) -> None:
    """The search for the shortest order, with each choice of ways at its width, each with its part of the time."""
    for place, (choice, share) in enumerate(tries):
        now = monotonic()
        narrow = archive.narrowed([share] * len(archive.kinds), choice)
        found = search(narrow, given, _before(now + (until - now) / (len(tries) - place)))
        archive.keep("search", found.starts, narrow.capacity, choice)


def _before(until: float) -> Callable[[], bool]:
    return lambda: monotonic() < until
