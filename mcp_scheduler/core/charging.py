"""What principals and their tags use: counted at a start by what is expected of it, at the end by what it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.policy import Sharing
from mcp_scheduler.core.ready import accounts_of
from mcp_scheduler.core.slots import Slot
from mcp_scheduler.core.task import Task

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster


def begin(cluster: Cluster, task: Task, slot: Slot, seconds: float, now: float) -> None:
    """Where turns go by use, a start counts at once, by what is expected of it."""
    if cluster.policy.sharing is Sharing.USAGE:
        attempt = next(reversed(slot.attempts))
        cluster.charged[attempt] = slot.share * seconds
        _charge(cluster, task, slot.share * seconds, now)


def end(cluster: Cluster, task: Task, attempt: AttemptId, seconds: float, now: float) -> None:
    """An attempt has ended, or came back unbegun (0 seconds): count what it has really used."""
    if seconds > 0:
        cluster.pace.note(seconds)
    slot = cluster.slots[cluster.slot_of[attempt]]
    took = slot.share * seconds
    if cluster.hedging.is_copy(attempt):
        cluster.hedging.end(attempt, took)
    else:
        cluster.hedging.earn(took, on_devices=bool(slot.devices))
    used = took - cluster.charged.pop(attempt, 0.0)
    if used:
        _charge(cluster, task, used, now)


def _charge(cluster: Cluster, task: Task, amount: float, now: float) -> None:
    """To the principal; to the tag where turns go by use."""
    whole, tag = accounts_of(task)
    cluster.usage.charge(whole, amount, now)
    if cluster.policy.sharing is Sharing.USAGE:
        cluster.usage.charge(tag, amount, now)
        cluster.ready.charged(task)
