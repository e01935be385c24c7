"""What the search for a better plan is asked: a problem made of the arriving tasks, and what its answer stands for.

Each class of devices of each node is a resource of its own; where tasks take parts of devices, each device is one:
three parts of 16 GB do not go into two devices of 24. A task that could run in several such places has a way for each
of them, with the time that it is expected to take there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from time import monotonic
from typing import Any, Final, NamedTuple

from mcp_scheduler.core.devices import Devices
from mcp_scheduler.core.events import Submitted
from mcp_scheduler.core.task import Needs, Task
from mcp_scheduler.runtime import child
from mcp_scheduler.searching.problem import Choice, Demand, Problem, Way
from mcp_scheduler.simulation.dry_run import LEAST, Forecourse, Run
from mcp_scheduler.simulation.snapshot import Snapshot

CPUS: Final = "cpus"
DEVICES: Final = "devices"
SINGLE: Final = 16  # devices that a plan tells apart; of more, each a way for each task, it would try too few
_START: Final = 2.0  # seconds beyond its time that the child may take to begin and to end


class Spot(NamedTuple):
    """Where a task may run: a node, and a class of its devices, or one of them ("" where it needs none)."""

    node: str
    device: str = ""

    def __str__(self) -> str:
        return f"{self.node} {self.device}".strip()


class Resource(NamedTuple):
    """Something of a node that tasks share: an amount by its name, or the devices of one class, or one device."""

    node: str
    name: str
    device: str = ""


class Question(NamedTuple):
    """A problem, and which tasks its places stand for; the places after them stand for what they wait for outside."""

    problem: Problem
    tasks: Sequence[Task]
    offset: int  # places before the tasks
    kinds: Mapping[Resource, int]  # the resources' numbers
    spots: Sequence[Sequence[Spot]]  # of each of the tasks, in the order of its ways
    ground: Ground

    def spot(self, number: int, choice: Choice) -> Spot | None:
        """Where the task of this number runs by this choice; None where there is nothing to choose."""
        spots = self.spots[number]
        return spots[choice[self.offset + number]] if len(spots) > 1 and choice else None


class Ground:
    """The nodes of a snapshot, as far as a problem knows them."""

    def __init__(self, taken: Snapshot, tasks: Sequence[Task] = (), single: int = SINGLE) -> None:
        """Of the CPUs of a pool so many as it offers now, or as the largest of these tasks needs. Of more devices than
        `single` none is told apart from others of its class."""
        largest = max((dict(task.terms.needs.amounts).get(CPUS, 0) for task in tasks), default=0)
        self._taken = taken
        self._devices: dict[str, Devices] = {}
        self._sizes: dict[Spot, int] = {}  # of the largest device of a class, in bytes
        self._one_by_one = _are_told_apart(taken, tasks, single)
        self._called: dict[str, str] = {}
        self._label: dict[Spot, str] = {}
        capacity: dict[Resource, float] = {}
        for place in taken.places:
            node = place.node.name
            capacity |= {Resource(node, name): amount for name, amount in place.node.amounts}
            if place.limit:
                pool = Resource(node, CPUS)
                capacity[pool] = min(capacity[pool], max(place.limit, largest))
            devices = self._devices[node] = Devices(place.devices)
            for uuid, cause, why in place.withheld:
                devices.withhold(uuid, cause, why)
            for device in place.devices:
                called = self._called[device.uuid] = device.uuid if self._one_by_one else device.label
                spot, kind = Spot(node, called), Resource(node, DEVICES, called)
                capacity[kind] = capacity.get(kind, 0.0) + 1.0
                self._sizes[spot] = max(self._sizes.get(spot, 0), device.total or 0)
                self._label[spot] = device.label
        self.capacity = tuple(capacity.values())
        self.kinds = {kind: number for number, kind in enumerate(capacity)}

    def spots(self, needs: Needs) -> Iterator[Spot]:
        """Where a task with these needs could run, now or later."""
        for place in self._taken.places:
            if any(dict(place.node.amounts).get(name, 0) < amount for name, amount in needs.amounts):
                continue
            node = place.node.name
            if not needs.has_devices:
                yield Spot(node)
                continue
            called = [self._called[state.seen.uuid] for state in self._devices[node].usable(needs)]
            yield from (Spot(node, one) for one in dict.fromkeys(called) if called.count(one) >= max(1, needs.gpus))

    def spot_of(self, run: Run) -> Spot:
        return Spot(run.node, self._called.get(run.devices[0], "") if run.devices else "")

    def demand(self, needs: Needs, spot: Spot) -> Demand:
        wanted = {Resource(spot.node, name): float(amount) for name, amount in needs.amounts}
        if needs.has_devices:
            size = self._sizes.get(spot, 0)
            part = needs.gpu_memory / size if needs.gpu_memory and size else 1.0
            wanted[Resource(spot.node, DEVICES, spot.device)] = max(1, needs.gpus) * min(1.0, part)
        return tuple((self.kinds[kind], amount) for kind, amount in wanted.items() if amount and kind in self.kinds)

    def way(self, task: Task, spot: Spot) -> Way:
        """As the dry run takes it: the median there, or what calls take on the mean."""
        expected = self._taken.known.expected(task, self._label.get(spot, ""))
        seconds = self._taken.pace.seconds if expected is None else expected.median
        seconds = max(LEAST, min(seconds, task.terms.timeout or inf))
        return Way(seconds, self.demand(task.terms.needs, spot))


def _are_told_apart(taken: Snapshot, tasks: Sequence[Task], single: int) -> bool:
    """Whether a plan for these tasks is made for single devices: where some take parts, and none takes several."""
    needs = [task.terms.needs for task in tasks]
    few = sum(len(place.devices) for place in taken.places) <= single
    return few and any(one.gpu_memory for one in needs) and all(one.gpus <= 1 for one in needs)


def question_of(taken: Snapshot, event: Submitted, future: Forecourse, single: int = SINGLE) -> Question | None:
    """The arriving tasks beside what runs; None where some of them have no end in this future, or there is nothing to
    choose: neither an order nor a place. What the problem says of each task is what happens to it there."""
    tasks = [new.task for new in event.tasks]
    runs = [future.runs[task.id] for task in tasks]
    if any(_seconds(run) is None for run in runs):
        return None
    ground = Ground(taken, tasks, single)
    spots = [list(dict.fromkeys([*ground.spots(run.task.terms.needs), ground.spot_of(run)])) for run in runs]
    has_choice = any(len(one) > 1 for one in spots)
    if len(tasks) < 2 and not has_choice:  # noqa: PLR2004 - an order needs two
        return None
    mine = {task.id for task in tasks}
    outside = dict.fromkeys(name for task in tasks for name in task.after if name not in mine and name in future.runs)
    numbers = {name: number for number, name in enumerate([*outside, *(task.id for task in tasks)])}
    ends = [future.runs[name].end for name in outside]
    if any(end is None for end in ends):
        return None
    rest = [max(0.0, (end or 0.0) - taken.now) for end in ends]
    own = [Way(_seconds(run) or 0.0, ground.demand(run.task.terms.needs, ground.spot_of(run))) for run in runs]
    waits = [(*task.after, *task.extras.behind) for task in tasks]
    running = [run for run in future.runs.values() if run.was_running and run.end is not None]
    problem = Problem(
        ground.capacity,
        [*rest, *(way.seconds for way in own)],
        [*(() for _ in outside), *(way.demand for way in own)],
        [*(() for _ in outside), *(tuple(numbers[one] for one in dict.fromkeys(on) if one in numbers) for on in waits)],
        [((run.end or 0.0) - taken.now, ground.demand(run.task.terms.needs, ground.spot_of(run))) for run in running],
    )
    if has_choice:
        problem.ways = [(Way(seconds, ()),) for seconds in rest]
        problem.ways += [
            _ways(ground, task, *one) for task, one in zip(tasks, zip(spots, runs, own, strict=True), strict=True)
        ]
    return Question(problem, tasks, len(outside), ground.kinds, spots, ground)


def _ways(ground: Ground, task: Task, spots: Sequence[Spot], run: Run, own: Way) -> tuple[Way, ...]:
    here = ground.spot_of(run)
    return tuple(own if spot == here else ground.way(task, spot) for spot in spots)


def _seconds(run: Run) -> float | None:
    return None if run.start is None or run.end is None else run.end - run.start


def starts_of(question: Question, future: Forecourse, now: float) -> list[float]:
    """When each place starts in this future, in seconds from now."""
    runs = [future.runs[task.id] for task in question.tasks]
    return [*(0.0 for _ in range(question.offset)), *(max(0.0, (run.start or now) - now) for run in runs)]


def choice_of(question: Question, future: Forecourse) -> tuple[int, ...]:
    """In which way each is done in this future; () where there is nothing to choose."""
    if not question.problem.ways:
        return ()
    found = [0] * question.offset
    for task, spots in zip(question.tasks, question.spots, strict=True):
        here = question.ground.spot_of(future.runs[task.id])
        found.append(spots.index(here) if here in spots else 0)
    return tuple(found)


async def ask(
    question: Question, given: Sequence[Sequence[float]], choices: Sequence[Choice], seconds: float, **more: Any
) -> dict[str, Any] | None:
    """What a child process finds in so much time, beginning with schedules of these starts and choices. None, and a
    line in the log, if it fails."""
    until = monotonic() + seconds
    told = {"problem": question.problem.told(), "given": given, "choices": choices, "until": until, **more}
    return await child.ask("mcp_scheduler.searching", told, seconds + _START, "The search for an order")
