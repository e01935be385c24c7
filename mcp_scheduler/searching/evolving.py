"""Generations of orders, widths and choices of places by pymoo, the extra `pareto`: NSGA-II, then MOEA/D.

K. Deb et al., IEEE Transactions on Evolutionary Computation 6 (2002); Q. Zhang and H. Li, the same 11 (2007). Both
begin with the schedules that are there already; every schedule that is tried goes through the archive.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.util.ref_dirs import get_reference_directions

from mcp_scheduler.searching.archive import Archive
from mcp_scheduler.searching.problem import Choice

_POPULATION: Final = 24
_PARTITIONS: Final = {2: 23, 3: 5}  # of the weights of MOEA/D: 24 and 21 directions


class TimeIsOver(Exception):
    """In the middle of a generation: what was found is in the archive."""


class Widths(ElementwiseProblem):
    """A key for each task, then one for each resource that draws power, then one for each task that has a choice."""

    def __init__(self, archive: Archive, by: str, goes_on: Callable[[], bool]) -> None:
        self._archive, self._by, self._goes_on = archive, by, goes_on
        self._tasks = len(archive.problem.seconds)
        self._genes = self._tasks + len(archive.kinds)
        count = self._genes + len(archive.problem.open)
        super().__init__(n_var=count, n_obj=len(archive.objectives), xl=0.0, xu=1.0)

    def _evaluate(self, x: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
        if not self._goes_on():
            raise TimeIsOver
        keys: list[float] = x.tolist()
        choice = _choice(self._archive, keys[self._genes :])
        out["F"] = self._archive.decode(keys[: self._tasks], keys[self._tasks : self._genes], self._by, choice)


def evolve(archive: Archive, by: str, goes_on: Callable[[], bool], seed: int = 1) -> None:
    """Fill the archive by "nsga2" or "moead" while `goes_on`. Two or three objectives; the same seed, the same way."""
    first = _first(archive, seed)
    if by == "nsga2":
        algorithm: Any = NSGA2(pop_size=len(first), sampling=first)
    else:
        count = len(archive.objectives)
        directions = get_reference_directions("das-dennis", count, n_partitions=_PARTITIONS[count])
        algorithm = MOEAD(directions, n_neighbors=8, sampling=first[: len(directions)])
    algorithm.setup(Widths(archive, by, goes_on), termination=("n_gen", 1_000_000), seed=seed, verbose=False)
    try:
        while goes_on():
            algorithm.next()
    except TimeIsOver:
        return


def _first(archive: Archive, seed: int) -> Any:
    """What is known, at its own width and at others, and random ones beside."""
    random = np.random.default_rng(seed)
    known = [
        _keys(one.starts) + archive.shares(one.starts, one.choice) + _genes(archive, one.choice)
        for one in archive.best[: _POPULATION // 4]
    ]
    whole = [
        _keys(one.starts) + [share] * len(archive.kinds) + _genes(archive, one.choice)
        for one in archive.best[:1]
        for share in (0.0, 0.25, 0.5, 1.0)
    ]
    rows = np.array([*known, *whole])
    return np.vstack([rows, random.random((_POPULATION - len(rows), rows.shape[1]))])


def _choice(archive: Archive, genes: Sequence[float]) -> Choice:
    """The way of each task: of n ways, each has an n-th part of the range of its gene."""
    ways, found = archive.problem.ways, [0] * len(archive.problem.ways)
    for task, gene in zip(archive.problem.open, genes, strict=True):
        found[task] = min(int(gene * len(ways[task])), len(ways[task]) - 1)
    return tuple(found)


def _genes(archive: Archive, choice: Choice) -> list[float]:
    """The middle of each one's part."""
    return [(choice[task] + 0.5) / len(archive.problem.ways[task]) for task in archive.problem.open]


def _keys(starts: Sequence[float]) -> list[float]:
    """The ranks of the starts, between 0 and 1."""
    order = sorted(range(len(starts)), key=lambda task: (starts[task], task))
    ranks = [0.0] * len(starts)
    for rank, task in enumerate(order):
        ranks[task] = rank / len(starts)
    return ranks
