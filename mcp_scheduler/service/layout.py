"""How the tasks of a graph or a map lie: which there are, and which lists of results they may name."""

from __future__ import annotations

from dataclasses import dataclass, field

from mcp_scheduler.requests import TaskSpec


@dataclass(frozen=True, slots=True)
class Layout:
    """`specs` by key, in their order. `lists` gives the keys of the tasks whose results a name stands for; of those in
    `flat` the tasks are chunks, whose results are lists themselves. The rest is as in `Group`."""

    specs: dict[str, TaskSpec]
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    flat: frozenset[str] = frozenset()
    items: int = 0
    chunk: int = 0
    stages: int = 1
    folds: int = 0
