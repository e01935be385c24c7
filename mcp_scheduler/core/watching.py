"""Who looks for what is unusual hears of ends and of devices here. It is told what happened, and decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster
    from mcp_scheduler.core.slots import Room


class Watcher(Protocol):
    """Constant time for each call."""

    def ended(self, name: str, now: float, *, bad: bool) -> None:
        """A call of this function or command has ended."""
        ...

    def took(self, name: str, seconds: float, median: float, upper: float, now: float) -> None:
        """A call took so long, of which this median and this 90 % bound were expected."""
        ...

    def saw(self, node: str, held: Iterable[tuple[str, str, str, int | None]], now: float) -> None:
        """The devices of a node on which something runs: (id, its name, its task, percent of use)."""
        ...

    def alerts(self, now: float) -> Iterator[str]:
        """What is unusual now, in sentences."""
        ...


def look_at_devices(cluster: Cluster, room: Room, now: float) -> None:
    """The sensors have looked at the devices of a node."""
    if cluster.watcher is not None:
        cluster.watcher.saw(room.node.name, _at_work(cluster, room), now)


def _at_work(cluster: Cluster, room: Room) -> Iterator[tuple[str, str, str, int | None]]:
    for uuid, state in room.devices.states.items():
        for tenant in state.promises:
            slot = cluster.slots.get(tenant)
            if slot is not None and slot.attempts:
                yield uuid, state.seen.short, next(iter(slot.attempts)).task, state.seen.utilisation
                break
