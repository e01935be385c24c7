"""What an ended attempt teaches: how long such calls take, and how much memory.

An attempt that is reported again after a commit that failed teaches its lesson again; no decision rests on one lesson.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mcp_scheduler.core.chunking import BY, is_chunk
from mcp_scheduler.core.events import Ended, Outcome
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Kind, Task

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster
    from mcp_scheduler.core.slots import Slot

_CUT_SHORT: Final = frozenset({Reason.TIMEOUT, Reason.CANCELLED})  # the call would have gone on


class Sampler:
    """Which calls are learnt from: all long ones, and of very short ones so few that learning costs a small part of the
    work itself. A target earns what its calls take, and each lesson costs `PRICE`; whether a call is taken is known
    before its own time counts, so that long calls are not taken more often than others."""

    __slots__ = ("_credit",)

    PRICE: Final = 0.05  # seconds; a lesson takes less than a hundredth of that
    FIRST: Final = 20  # lessons in advance
    MOST: Final = 4096  # targets

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def takes(self, target: str, seconds: float) -> bool:
        """Whether to learn from this call of `target`, which took `seconds`."""
        credit = self._credit.get(target)
        if credit is None:
            if len(self._credit) >= self.MOST:
                self._credit.clear()
            credit = self.FIRST * self.PRICE
        if credit < self.PRICE:
            self._credit[target] = credit + seconds
            return False
        self._credit[target] = min(credit - self.PRICE + seconds, self.FIRST * self.PRICE)
        return True


def learn(cluster: Cluster, task: Task, slot: Slot, outcome: Outcome, now: float) -> None:
    """Remember what is known of this attempt. One that failed for reasons of its own says nothing about the others."""
    if task.terms.kind is Kind.LEASE:
        return  # how long somebody holds a thing says nothing about work
    reason = outcome.reason
    target, seconds = task.terms.target, outcome.seconds
    watcher = cluster.watcher
    if watcher is not None and reason is not Reason.CANCELLED:
        watcher.ended(target, now, bad=reason is not None)
    if reason is None:
        cluster.estimates.learn(target, seconds)
        _learn_items(cluster, task, seconds)
    elif reason not in _CUT_SHORT and reason is not Reason.OUT_OF_MEMORY:
        return
    if not cluster.sampler.takes(target, seconds):
        return
    label = device_class(cluster, slot)
    if watcher is not None and reason is None:
        expected = cluster.expected(task, label)
        if expected is not None:
            watcher.took(target, seconds, expected.median, expected.upper, now)
    if cluster.forecasts is not None and reason is not Reason.OUT_OF_MEMORY:
        cluster.forecasts.learn(task.terms, task.size, label, seconds, at_least=reason is not None)
    if cluster.footprints is not None and reason not in _CUT_SHORT:
        peaks = outcome.memory_peak, outcome.device_peak
        cluster.footprints.learn(task.terms, task.size, label, *peaks, at_least=reason is not None)


def _learn_items(cluster: Cluster, task: Task, seconds: float) -> None:
    """A chunk that did all of its items in these seconds says what one takes: not one that has failed before, since
    what was done then is not done again."""
    target, status = task.terms.target, task.status
    if BY in target and is_chunk(target) and not (status.failures or status.losses or status.crashes):
        cluster.chunking.learn(target, seconds)


def device_class(cluster: Cluster, slot: Slot) -> str:
    """The class of the slot's devices; "" where it has none."""
    if not slot.devices:
        return ""
    state = cluster.rooms[slot.node].devices.states.get(slot.devices[0])
    return "" if state is None else state.seen.label


def with_device_peak(cluster: Cluster, event: Ended, slot: Slot) -> Ended:
    """The end of an attempt with the most memory that was seen on its devices since it began."""
    seen = cluster.peaks.of(slot.id) or 0
    if seen <= event.outcome.device_peak:
        return event
    return replace(event, outcome=replace(event.outcome, device_peak=seen))
