"""Where work runs: a node's capacity, and the slots that hold parts of it."""

from __future__ import annotations

from dataclasses import dataclass

from mcp_scheduler.core.ids import AttemptId

LOCAL = "local"  # the name of the host the engine runs on


@dataclass(frozen=True, slots=True)
class Node:
    """A place with capacity. `amounts` counts as in `Needs`: thousandths of cpus and named resources, bytes."""

    name: str
    amounts: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Attempt:
    """One run of a task, as it was decided: never changed (not `frozen`: see `Status`). `slot` names the reservation it
    runs in (the id of the slot's first attempt); short calls of equal terms follow each other in one slot."""

    id: AttemptId
    slot: str
    node: str
    at: float
    devices: tuple[str, ...] = ()
