"""What a person should hear of the whole: sentences that say what is wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from mcp_scheduler.core.breakers import Breaker, Place, Trust
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.learning import device_class
from mcp_scheduler.core.slots import Room
from mcp_scheduler.core.task import MILLI, Kind

_SHOWN: Final = 4  # of a kind
OVERDUE: Final = 3.0  # times the bound that nine of ten calls stay within
_LEAST: Final = 30.0  # seconds beyond it; before that nobody would look


def alerts_of(cluster: Cluster, now: float) -> Iterator[str]:
    """What the decision itself knows of."""
    yield from _quarantines(cluster, now)
    yield from _retries(cluster, now)
    yield from islice(_overdue(cluster, now), _SHOWN)
    if cluster.watcher is not None:
        yield from islice(cluster.watcher.alerts(now), _SHOWN)


def _retries(cluster: Cluster, now: float) -> Iterator[str]:
    budget = cluster.retry_budget
    for (principal, target), bucket in budget.spent(now):
        tasks = "1 task" if bucket.refused == 1 else f"{bucket.refused} tasks"
        yield (
            f"The retries of {target} ({principal}) are used up: {tasks} failed without another attempt. Mend what"
            " fails, then update_task retry."
        )


def _quarantines(cluster: Cluster, now: float) -> Iterator[str]:
    for place, breaker in cluster.breakers.known.items():
        told, name = distrust(cluster, place, now), _name(cluster, place)
        if told:
            yield f"{name} is {told}. Once it is well: mcp-scheduler undrain {name.split()[0]}"
        elif breaker.lone:
            yield (
                f"{name} may be broken: {breaker.why}. There is no other node for its work, so it stays in use. Look"
                " into its memory, its disk and `dmesg`."
            )


def distrust(cluster: Cluster, place: Place, now: float) -> str:
    """That a node or device is in quarantine or on probation, and why; "" for one that is trusted."""
    breaker = cluster.breakers.known.get(place)
    if breaker is None or breaker.trust is Trust.TRUSTED:
        return ""
    return f"{_stage(breaker, now)}: {breaker.why}"


def pool_of(room: Room) -> str:
    """How many of its CPUs a node offers now, and why; "" for one that offers all of them at any time."""
    if not room.limit:
        return ""
    return f"offers {room.limit / MILLI:g} of {room.total.get('cpus', 0) / MILLI:g} cpus now: {room.limit_why}"


def _stage(breaker: Breaker, now: float) -> str:
    if breaker.trust is Trust.PROBATION:
        return "on probation after its quarantine, with one task at a time"
    return f"in quarantine for {max(0.0, breaker.until - now):.0f} s more, then one task tries it"


def _name(cluster: Cluster, place: Place) -> str:
    node, device = place
    state = cluster.rooms[node].devices.states.get(device)
    if not device:
        return node
    return f"{device if state is None else state.seen.short} of {node}"


def _overdue(cluster: Cluster, now: float) -> Iterator[str]:
    """What runs, and should have ended long ago by its forecast."""
    for attempt in cluster.attempts.values():
        task, slot = cluster.tasks[attempt.id.task], cluster.slots.get(attempt.slot)
        if slot is None:
            continue  # it has ended, and that is being written down
        if task.terms.kind is Kind.LEASE or now - attempt.at < _LEAST:
            continue
        expected = cluster.expected(task, device_class(cluster, slot))
        if expected is not None and now - attempt.at > max(OVERDUE * expected.upper, expected.upper + _LEAST):
            yield (
                f"{task.id} has run for {now - attempt.at:.0f} s; nine of ten such calls end within"
                f" {expected.upper:.3g} s. Look at its output, or cancel it."
            )
