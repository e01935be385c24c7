"""Every rule that ties the cluster's parts together, restated. Tests run it after each step."""

from __future__ import annotations

import math
from collections import Counter

from mcp_scheduler.core.breakers import Trust
from mcp_scheduler.core.check_copies import copies_broken
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.conflicts import claims
from mcp_scheduler.core.quarantine import CAUSE
from mcp_scheduler.core.rollback import Rollback, derived
from mcp_scheduler.core.slots import Guard
from mcp_scheduler.core.states import FINAL, OVER, State
from mcp_scheduler.core.task import NO_EXTRAS, Kind, Task
from mcp_scheduler.errors import InvariantBroken


def check(cluster: Cluster) -> None:
    """Raise `InvariantBroken` with the first rule that does not hold. To be called between a commit and a decision."""
    for broken in (
        *_attempts(cluster), *_capacity(cluster), *_devices(cluster), *_waiting(cluster), *_leases(cluster),
        *_lines(cluster), *_rollbacks(cluster), *_order(cluster), *_quarantine(cluster),
        *_turns(cluster), *_coming(cluster), *copies_broken(cluster),
    ):  # fmt: skip
        raise InvariantBroken(broken)


def _attempts(cluster: Cluster) -> list[str]:
    running = {task.id: task for task in cluster.tasks.values() if task.status.state is State.RUNNING}
    by_task = Counter(attempt.task for attempt in cluster.attempts)
    broken = [f"{name} runs with {by_task[name]} attempts." for name in running if not by_task[name]]
    for attempt in cluster.attempts:
        task = cluster.tasks.get(attempt.task)
        if task is None or (task.id not in running and not task.extras.has_copies):
            broken.append(f"{attempt} is alive, but its task does not run.")
        elif task.status.number != attempt.number and not task.extras.has_copies:
            broken.append(f"{attempt} is alive, but its task is at number {task.status.number}.")
    held = {attempt for slot in cluster.slots.values() for attempt in slot.attempts}
    if held != set(cluster.attempts):
        broken.append(f"Slots hold {held ^ set(cluster.attempts)} that are not the living attempts.")
    if cluster.slot_of.keys() != held:
        broken.append("slot_of names other attempts than the slots hold.")
    return broken


def _capacity(cluster: Cluster) -> list[str]:
    broken: list[str] = []
    for name, room in cluster.rooms.items():
        used: Counter[str] = Counter()
        for slot in cluster.slots.values():
            if slot.node == name:
                used.update(dict(slot.amounts))
        for resource, total in room.total.items():
            if room.free[resource] != total - used[resource]:
                broken.append(f"{name} counts {room.free[resource]} {resource} free of {total}, {used[resource]} used.")
    return broken


def _turns(cluster: Cluster) -> list[str]:
    """Whoever stands still was told to, waits for its turn, and takes no further calls."""
    slices = cluster.slices
    still = {slot.id for slot in cluster.slots.values() if slot.still_since is not None}
    told = {cluster.slot_of[attempt] for attempt in slices.told if attempt in cluster.slot_of}
    broken: list[str] = []
    if not still == told == slices.still.keys():
        broken.append(f"{still} stand still, {told} were told to, and {set(slices.still)} wait for their turn.")
    if not slices.told.keys() <= cluster.attempts.keys():
        broken.append(f"{slices.told.keys() - cluster.attempts.keys()} stand still, and are over.")
    if slices.turns.keys() & still or not slices.turns.keys() | slices.asked.keys() <= cluster.slots.keys():
        broken.append(
            f"These have their turn: {set(slices.turns)}; slots are {set(cluster.slots)}, {still} stand still."
        )
    if not still.isdisjoint(cluster.hungry):
        broken.append(f"{still & cluster.hungry.keys()} stand still, and are offered calls.")
    return broken


def _coming(cluster: Cluster) -> list[str]:
    over = [task for task in cluster.coming.tasks if task.status.state is not State.PENDING]
    return [f"{task.id} is {task.status.state}, and a place is kept for when it comes." for task in over]


def _devices(cluster: Cluster) -> list[str]:
    broken: list[str] = []
    if cluster.slots.keys() & cluster.resting.keys():
        broken.append(f"{cluster.slots.keys() & cluster.resting.keys()} are in use, and rest.")
    if not cluster.leaving <= cluster.resting.keys():
        broken.append(f"{cluster.leaving - cluster.resting.keys()} shall leave, and do not rest.")
    for name, room in cluster.rooms.items():
        slots = [slot for slot in (*cluster.slots.values(), *cluster.resting.values()) if slot.node == name]
        held = {slot.id: slot.devices for slot in slots if slot.devices}
        known = {tenant: room.devices.held_by(tenant) for tenant in room.devices.held}
        if held != known:
            broken.append(f"Slots hold the devices {held}, but promised are {known}.")
        for uuid, state in room.devices.states.items():
            if state.whole and len(state.promises) > 1:
                broken.append(f"{uuid} is promised as a whole to {state.whole}, and to {list(state.promises)}.")
    return broken


def _waiting(cluster: Cluster) -> list[str]:
    broken: list[str] = []
    counts = Counter(task.status.state for task in cluster.tasks.values())
    for state, count in cluster.counts.items():
        if counts[state] != count:
            broken.append(f"{count} tasks are counted as {state}; there are {counts[state]}.")
    if len(cluster.ready) + len(cluster.conflicts.blocked) != counts[State.QUEUED]:
        broken.append(
            f"{len(cluster.ready)} tasks stand in queues, {len(cluster.conflicts.blocked)} are blocked; "
            f"{counts[State.QUEUED]} are queued."
        )
    for task in cluster.tasks.values():
        status = task.status
        if status.state is State.PENDING:
            broken += _pending(cluster, task)
        elif status.state is not State.HELD and task.id in cluster.missing:
            broken.append(f"{task.id} is {status.state}, and still counted as waiting for dependencies.")
        if status.state in FINAL and task.id in cluster.dependents:
            broken.append(f"{task.id} has ended, and tasks still wait for it.")
    return broken


def _order(cluster: Cluster) -> list[str]:
    """What the order of the waiting is derived from fits the tasks."""
    broken: list[str] = []
    for task in cluster.tasks.values():
        stands = task.status.state is State.QUEUED and task not in cluster.conflicts.blocked
        if stands != (task.queue is not None):
            broken.append(f"{task.id} is {task.status.state}, and its queue is {task.queue}.")
        if task.id in cluster.blocked and task.status.state is not State.QUEUED:
            broken.append(f"{task.id} is {task.status.state}, and has a claim.")
    told = [task for task, _, _ in cluster.ready.waiting()]
    if len(told) != len(cluster.ready) or len(set(told)) != len(told):
        broken.append(f"{len(cluster.ready)} tasks stand in queues; {len(told)} are found there.")
    for name, made in cluster.plans.items():
        over = [one for one in made.levels if one not in cluster.tasks or cluster.tasks[one].status.is_final]
        if over:
            broken.append(f"The plan of {name} still has {over}, which have ended.")
    for name, room in cluster.rooms.items():
        slots = {slot.id for slot in cluster.slots.values() if slot.node == name}
        if slots != room.slots.keys():
            broken.append(f"{name} knows the slots {slots ^ room.slots.keys()} otherwise than the cluster.")
    open_ones = {task for task in cluster.tasks.values() if task.deadline is not None and not task.status.is_final}
    if not set(cluster.deadlines) <= open_ones:
        broken.append(f"{set(cluster.deadlines) - open_ones} are watched for a deadline that they do not have.")
    return broken


def _pending(cluster: Cluster, task: Task) -> list[str]:
    if task.extras.undoes:
        waits = task in cluster.rollbacks.get(task.extras.saga, Rollback()).waiting
        return [] if waits else [f"{task.id} waits for a failure, and nobody knows."]
    others = (*task.after, *task.extras.behind)
    open_ones = {name for name in others if name in cluster.tasks and _is_open(cluster, name)}
    # One that did not have to succeed, and was run again by a person, is not waited for again.
    strict = {*task.after} - {task.extras.source}
    open_ones -= {name for name in open_ones - strict if task not in cluster.dependents.get(name, ())}
    if len(open_ones) == cluster.missing.get(task.id, 0) and open_ones:
        return []
    return [f"{task.id} is pending on {open_ones}; {cluster.missing.get(task.id, 0)} are counted."]


def _leases(cluster: Cluster) -> list[str]:
    held = [
        task for task in cluster.tasks.values() if task.terms.kind is Kind.LEASE and task.status.state is State.RUNNING
    ]
    first = cluster.next_due()
    return [
        f"{task.id} is held until {task.status.due}, and nothing wakes up for it."
        for task in held
        if first is None or first > task.status.due
    ]


def _quarantine(cluster: Cluster) -> list[str]:
    """Who is in quarantine is withheld, and only who is; each of them is looked at again."""
    broken: list[str] = []
    guards = {Trust.TRUSTED: Guard.NONE, Trust.PROBATION: Guard.ONE, Trust.SHUT: Guard.SHUT}
    for name, room in cluster.rooms.items():
        trust = cluster.breakers.trust((name, ""))
        if room.guard is not guards[trust]:
            broken.append(f"{name} is {trust}, and its guard is {room.guard!r}.")
        for uuid, state in room.devices.states.items():
            trust = cluster.breakers.trust((name, uuid))
            if (CAUSE in state.withheld, state.on_probation) != (trust is Trust.SHUT, trust is Trust.PROBATION):
                broken.append(f"{uuid} is {trust}; withheld: {[*state.withheld]}, probation: {state.on_probation}.")
    for place, breaker in cluster.breakers.known.items():
        if breaker.trust is Trust.SHUT and not cluster.breakers.next_at <= breaker.until < math.inf:
            broken.append(f"{place} is shut, and nothing wakes up for it.")
    return broken


def _rollbacks(cluster: Cluster) -> list[str]:
    """What is known of rollbacks is what the tasks say, and none of them waits for nothing."""
    broken: list[str] = []
    told = derived(cluster.tasks.values())
    for key, found in cluster.rollbacks.items():
        other = told.get(key, Rollback())
        if (found.open, found.failed, found.waiting) != (other.open, other.failed, other.waiting):
            broken.append(f"The rollback of {key} is {found}, and by its tasks {other}.")
        if not (found.open and found.waiting) and found.under_way is None:
            broken.append(f"The rollback of {key} waits for nothing: {found}.")
    held_up = {task for found in cluster.rollbacks.values() for task in found.failed}
    lost = (task for task in cluster.tasks.values() if task.status.state is State.ROLLING_BACK and task not in held_up)
    return broken + [f"{task.id} is rolling back, and nobody knows." for task in lost]


def _lines(cluster: Cluster) -> list[str]:
    """Nobody who runs conflicts with another who runs, and everybody stands where he has to."""
    broken: list[str] = []
    conflicts = cluster.conflicts
    stands: Counter[Task] = Counter()
    waits: Counter[Task] = Counter()
    for thing, line in conflicts.lines.items():
        writers = [task.id for task in line.front if claims(task.extras)[thing]]
        if not line.front or (writers and len(line.front) > 1) or line.writing != bool(writers):
            broken.append(f"At the front of '{thing}' are {[task.id for task in line.front]}; {writers} write.")
        first = next(iter(line.waiting.values()), None)
        if first is not None and not (first.writes or writers):
            broken.append(f"A reader waits for '{thing}', which only readers have.")
        stands.update((*line.front, *line.waiting))
        waits.update(list(line.waiting))
    if dict(waits) != conflicts.blocked:
        broken.append("Others are counted as blocked than those that wait in lines.")
    for task in cluster.tasks.values():
        if task.extras is NO_EXTRAS:
            continue
        status = task.status.state
        wanted = len(claims(task.extras)) if status in (State.QUEUED, State.RUNNING) else 0
        if stands[task] != wanted:
            broken.append(f"{task.id} is {status} and stands in {stands[task]} lines, not {wanted}.")
        if status is State.RUNNING and task in conflicts.blocked:
            broken.append(f"{task.id} runs though it conflicts with one before it.")
    return broken


def _is_open(cluster: Cluster, name: str) -> bool:
    return cluster.tasks[name].status.state not in OVER
