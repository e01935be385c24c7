"""Which schedules are worth a look, where several things count: what the search for an order finds, at several widths,
and what pymoo does, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from time import monotonic
from typing import Any, Final

from mcp_scheduler.searching.archive import Archive, Power
from mcp_scheduler.searching.problem import Problem
from mcp_scheduler.searching.search import search

_MOST: Final = 8
_WIDTHS: Final = (1.0, 0.5, 0.0)
_FIRST: Final = 0.2  # of the time is for the search for an order, where pymoo has the rest


def look(told: dict[str, Any], until: float) -> dict[str, Any]:
    """The answer of the child: `by` ("pymoo", or "sweep" without it) and a few `schedules`. `told`: the problem, the
    starts of schedules to begin with, power by resource, and objectives; at least two of them count here."""
    problem = Problem.read(told["problem"])
    objectives = tuple(dict.fromkeys(("makespan", *told["objectives"])))
    if len(objectives) == 1:
        objectives = ("makespan", "energy")
    archive = Archive(problem, {int(kind): Power(*one) for kind, one in told["power"].items()}, objectives)
    for starts in told["given"]:
        archive.keep("given", list(starts), problem.capacity)
    has_pymoo = find_spec("pymoo") is not None
    begin = monotonic()
    _search(archive, told["given"], begin + (until - begin) * (_FIRST if has_pymoo else 1.0))
    if has_pymoo:
        from mcp_scheduler.searching.evolving import evolve  # noqa: PLC0415 - optional

        half = (monotonic() + until) / 2
        evolve(archive, "nsga2", _before(half))
        evolve(archive, "moead", _before(until))
    return {
        "by": "pymoo" if has_pymoo else "sweep",
        "schedules": [{"by": one.by, "starts": one.starts, "capacity": one.capacity} for one in archive.few(_MOST)],
    }


def _search(archive: Archive, given: Sequence[Sequence[float]], until: float) -> None:
    """The search for the shortest order at each of a few widths, each with its part of the time."""
    for place, share in enumerate(_WIDTHS):
        now = monotonic()
        narrow = archive.narrowed([share] * len(archive.kinds))
        found = search(narrow, given, _before(now + (until - now) / (len(_WIDTHS) - place)))
        archive.keep("search", found.starts, narrow.capacity)


def _before(until: float) -> Callable[[], bool]:
    return lambda: monotonic() < until
