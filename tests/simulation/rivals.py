"""What conflicts and series promise, told by names and states alone: nothing of the lines that the core keeps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.events import Ended, Event, Returned
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import OVER, Reason, State
from mcp_scheduler.core.task import Status, Task


def conflict(one: Any, other: Any) -> bool:
    """One writes what the other reads or writes."""
    mine, theirs = {*one.reads, *one.writes}, {*other.reads, *other.writes}
    return bool(set(one.writes) & theirs or set(other.writes) & mine)


def nearest(wanted: Any, before: Sequence[Task]) -> tuple[str, ...]:
    """Of those before it in its submission the last ones that conflict with it, thing by thing."""
    found: dict[str, None] = {}
    for thing in {*wanted.reads, *wanted.writes}:
        for task in reversed(before):
            writes = thing in task.extras.writes
            if writes or (thing in wanted.writes and thing in task.extras.reads):
                found[task.id] = None
            if writes:
                break
    return tuple(found)


def _keeps_its_place(event: Event) -> bool:
    """Whether an attempt comes back, or has given way: its task is queued again where it stood."""
    return isinstance(event, Returned) or (isinstance(event, Ended) and event.outcome.reason is Reason.YIELDED)


class Rivals:
    """Tasks that conflict, tasks that recur."""

    def __init__(self) -> None:
        self.before: dict[str, list[str]] = {}  # → all that conflict with it and come before it in its submission
        self.again: set[str] = set()  # run again by a person: out of the order of its graph
        self.returned: set[str] = set()  # handed back: it has kept its place, whatever its time says
        self.set_back = 0.0  # seconds by which the clock was ever set back
        self.over: set[str] = set()  # series that were ended

    def know(self, task: Task, siblings: Iterable[Task]) -> None:
        self.before[task.id] = [one.id for one in siblings if conflict(one.extras, task.extras)]

    def look(self, changes: Changes, stored: Mapping[str, Task], events: Sequence[Event], now: float) -> None:
        """Just before they become durable: may these start?"""
        self.returned |= {event.attempt.task for event in events if _keeps_its_place(event)}
        added = {new.task.id: new.task for new in changes.added}

        def after(name: str) -> Status:
            if name in added:
                return added[name].status
            return changes.statuses.get(name) or stored[name].status

        for attempt in changes.started:
            name = attempt.id.task
            task = added.get(name) or stored[name]
            extras = changes.extras.get(name) or task.extras
            asked_for = name in self.again or now >= extras.time - 1e-6 - self.set_back
            assert asked_for, f"{name} is started at {now}, before its time {extras.time}."
            for other in self.before.get(name, ()):
                known = other in added or other in stored
                free = not known or after(other).state in OVER or {name, other} & self.again
                assert free, f"{name} is started before {other}, which comes first in its graph."
            queued = stored[name].status if name in stored else None
            since = queued.at if queued is not None and queued.state is State.QUEUED else now
            for other, rival in stored.items():
                waits = rival.status.state is State.QUEUED and after(other).state is State.QUEUED
                comparable = not self.set_back and name not in self.returned  # times tell who became queued first
                if waits and comparable and rival.status.at < since:
                    assert not conflict(extras, rival.extras), f"{name} passes {other}, which waits longer."

    def check(self, stored: Mapping[str, Task], alive: Iterable[AttemptId]) -> None:
        living = [stored[attempt.task] for attempt in alive if attempt.task in stored]
        for place, one in enumerate(living):
            for other in living[:place]:
                assert not conflict(one.extras, other.extras), f"{one.id} and {other.id} conflict, and both live."
        series: dict[str, list[Task]] = defaultdict(list)
        for task in stored.values():
            if task.extras.occurrence:
                series[task.group].append(task)
        for name, tasks in series.items():
            present = [task.id for task in tasks if task.extras.recurs]
            wanted = 0 if name in self.over else 1
            assert len(present) == wanted, f"{present} are the present occurrences of {name}, not {wanted}."
            times = sorted((task.extras.occurrence, task.extras.time) for task in tasks)
            assert max(Counter(number for number, _ in times).values()) == 1, f"An occurrence of {name} is there twice."
            assert all(a[1] < b[1] for a, b in pairwise(times)), f"{name} repeats a time: {times}."
            passed = (times[-1][1] - times[0][1]) - (len(times) - 1) * tasks[0].extras.every
            made_up = tasks[0].extras.catch_up != "all" or abs(passed) < 1e-3
            assert made_up, f"{name} shall make up for every time that was missed, and has {times}."
