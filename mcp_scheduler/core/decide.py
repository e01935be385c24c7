"""The heart: what happened and what time it is come in, changes and effects come out.

`decide` is pure in the sense that matters: no clock, no I/O, no chance. It touches what the cluster derives from its
facts (queues, slots, timers), never the facts: those change in `Cluster.apply`, after the commit.

    decision = decide(cluster, events, now)
    await store.commit(decision.changes)      # on failure: cluster.rebuild(), and the callers are told
    cluster.apply(decision.changes)
    carry out decision.effects
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcp_scheduler.core import (
    arrivals,
    copies,
    endings,
    leases,
    quarantine,
    recurring,
    slicing,
    undoing,
    warm,
    wishes,
)
from mcp_scheduler.core.changes import Changes, Effect, Recall
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.events import (
    Began,
    CancelAsked,
    DevicesSeen,
    DeviceWithheld,
    Ended,
    Event,
    LoadSeen,
    NodeChanged,
    PolicyChosen,
    PoolSized,
    QuarantineLifted,
    QueuePaused,
    Returned,
    SlotGone,
    Submitted,
    Tick,
    UpdateAsked,
)
from mcp_scheduler.core.expiry import expire
from mcp_scheduler.core.graph import settle_waiting
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.load import load_of
from mcp_scheduler.core.placement import place
from mcp_scheduler.core.slots import Slot
from mcp_scheduler.core.states import Cause, Reason, State
from mcp_scheduler.core.task import Status
from mcp_scheduler.core.timers import Timer
from mcp_scheduler.core.watching import look_at_devices


@dataclass(slots=True)
class Decision:
    """Changes to commit in one transaction, then effects to carry out. `refused` maps the index of an event to why
    it changed nothing (a code of `errors`, and a text)."""

    changes: Changes
    effects: list[Effect]
    refused: dict[int, tuple[str, str]]


def decide(cluster: Cluster, events: Sequence[Event], now: float) -> Decision:
    """Settle what happened and what became due, then place what can run."""
    draft = Draft(cluster, now)
    refused: dict[int, tuple[str, str]] = {}
    for index, event in enumerate(events):
        refusal = _settle(draft, event)
        if refusal is not None:
            refused[index] = refusal
    for timer in cluster.timers.due(now):
        _fire(draft, timer)
    if cluster.breakers.next_at <= now:
        quarantine.look(draft)
    expire(draft)
    if draft.touched:
        undoing.settle(draft)
    if draft.recurred:
        for task in recurring.successors(draft):
            settle_waiting(draft, task)
    draft.settle_heirs()
    if cluster.slices.crowded:
        slicing.thin_out(draft)
    place(draft)
    return Decision(draft.changes, draft.effects(), refused)


def _settle(draft: Draft, event: Event) -> tuple[str, str] | None:
    """What the event changes; why it changes nothing, if it is refused."""
    match event:
        case Ended():
            endings.ended(draft, event)
        case Submitted():
            return arrivals.submitted(draft, event)
        case Began():
            _began(draft, event)
        case Returned():
            endings.returned(draft, event.attempt)
        case CancelAsked():
            wishes.cancel(draft, event)
        case UpdateAsked():
            wishes.update(draft, event)
        case (
            SlotGone()
            | NodeChanged()
            | DevicesSeen()
            | DeviceWithheld()
            | PolicyChosen()
            | QueuePaused()
            | LoadSeen()
            | PoolSized()
            | QuarantineLifted()
        ):
            _note(draft, event)
        case Tick():
            pass
    return None


def _note(
    draft: Draft,
    event: SlotGone
    | NodeChanged
    | DevicesSeen
    | DeviceWithheld
    | PolicyChosen
    | QueuePaused
    | LoadSeen
    | PoolSized
    | QuarantineLifted,
) -> None:
    """What is there to run on, in which order, and whether anything may. None of it is stored: it is told anew to every
    engine."""
    cluster = draft.cluster
    match event:
        case SlotGone():
            warm.gone(cluster, event.slot)
        case NodeChanged():
            cluster.set_node(event.node)
        case DevicesSeen():
            devices = cluster.rooms[event.node].devices
            devices.observe(event.devices)
            cluster.peaks.note(devices.uses())
            cluster.floor.came(cluster.rooms[event.node])
            look_at_devices(cluster, cluster.rooms[event.node], draft.now)
            quarantine.rescue(draft, cluster.rooms[event.node])
        case DeviceWithheld():
            _withhold(draft, event)
        case PoolSized():
            room = cluster.rooms[event.node]
            room.limit, room.limit_why = event.cpus, event.why
            room.changed()
        case QuarantineLifted():
            quarantine.lift(cluster, event.node, event.device, draft.now)
        case PolicyChosen():
            cluster.use(event.policy)
        case QueuePaused():
            cluster.paused = event.why
        case LoadSeen():
            room = cluster.rooms[event.node]
            room.load = load_of(event.cpu, event.latency)
            room.strain = event.memory if event.is_strained else 0.0


def resume(cluster: Cluster) -> list[tuple[AttemptId, Reason | None]]:
    """What a new engine must ask for again: stops whose wish was durable before the last engine died."""
    return [(attempt, None) for attempt in cluster.attempts if _is_unwanted(cluster.tasks[attempt.task].status)]


def _is_unwanted(status: Status) -> bool:
    """Whether a person has asked for the end of its attempts, or one of several has made the others needless."""
    return status.cancel_requested or status.is_final


def _began(draft: Draft, event: Began) -> None:
    task = draft.current(event.attempt)
    if task is None:
        return
    cluster = draft.cluster
    if task.terms.timeout is not None or task.extras.hedge:
        # A report that comes again, or late, does not know how long the call has stood still meanwhile.
        late = event.at + cluster.slices.lost.get(event.attempt, 0.0)
        at = cluster.began[event.attempt] = max(event.at, cluster.began.get(event.attempt, late))
        if task.terms.timeout is not None:
            cluster.wake(at + task.terms.timeout, attempt=event.attempt)
        copies.watch(cluster, task, event.attempt)


def _withhold(draft: Draft, event: DeviceWithheld) -> None:
    room = draft.cluster.rooms[event.node]
    if event.why is None:
        room.devices.release(event.uuid, event.cause)
    else:
        room.devices.withhold(event.uuid, event.cause, event.why)
        warm.evict_from(draft, room, event.uuid)


def _fire(draft: Draft, timer: Timer) -> None:
    if timer.task is not None:
        status = draft.status(timer.task)
        is_due = status.state in (State.SCHEDULED, State.RETRYING) and status.due <= draft.now
        if is_due and not recurring.put_off(draft, timer.task):
            draft.move(timer.task, Cause.READY)
        elif leases.is_held(draft, timer.task):
            leases.lapse(draft, timer.task)
    elif timer.attempt is not None:
        late = draft.current(timer.attempt)
        if late is not None and slicing.is_over_time(draft, late, timer.attempt):
            draft.stop(timer.attempt, Reason.TIMEOUT)
    else:
        slot = draft.cluster.slots.get(timer.slot)
        if slot is not None:
            _look_at_head(draft, slot)
            if slot.is_ending(draft.now):
                draft.cluster.hungry[slot.id] = slot
        elif timer.slot in draft.cluster.resting:
            warm.tire(draft, draft.cluster.resting[timer.slot])


def _look_at_head(draft: Draft, slot: Slot) -> None:
    """Calls may wait behind a head that was expected to be short. If it still runs they are taken back: the estimate
    was wrong, and another place may be free."""
    slot.watched = False
    if len(slot.attempts) < 2:  # noqa: PLR2004 - a head and at least one behind it
        return
    again = slot.since + slot.patience
    if again <= draft.now:
        head = next(iter(slot.attempts))
        task = draft.current(head)
        if task is not None:
            draft.cluster.estimates.learn(task.terms.target, draft.now - slot.since, at_least=True)
        slot.expect(head, draft.now - slot.since)
        draft.recalls.append(Recall(slot.id))
        again = draft.now + 1.0  # a worker too busy to answer is asked again
    slot.watched = True
    draft.cluster.wake(again, slot=slot.id)
