"""Plans between which one has to choose: none of them is better than another in everything that counts.

Whatever stands in a front was seen in a dry run of the real decision: the policies as they are, and the schedules that
a child process found, each as an order under the policy in force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from mcp_scheduler.core.energy import Watts
from mcp_scheduler.core.events import Submitted
from mcp_scheduler.core.task import MILLI
from mcp_scheduler.searching import pareto
from mcp_scheduler.searching.archive import Archive, Power
from mcp_scheduler.searching.problem import Choice as Ways
from mcp_scheduler.service.ordering import Order, in_order
from mcp_scheduler.service.outcomes import energy, outcome, watts_of
from mcp_scheduler.service.question import CPUS, DEVICES, Ground, Question, choice_of, starts_of
from mcp_scheduler.simulation.dry_run import Forecourse, Run
from mcp_scheduler.simulation.snapshot import Snapshot

MOST: Final = 8


class Schedule(NamedTuple):
    """A schedule to be tried as an order. `by`: who has found it; `capacity`: what it had of each resource; `choice`:
    the way of each task, where there are several."""

    by: str
    starts: Sequence[float]
    capacity: Sequence[float]
    choice: Ways = ()


class Point(NamedTuple):
    """A dry run of the given tasks. Seconds, joules, a share. Without an order it is of a policy that is not in force
    and that no order under the one in force has matched. `where`: the tasks by the place where they run, if there is a
    choice of places."""

    by: str
    makespan: float
    energy: float
    utilisation: float
    order: Order | None = None
    where: Mapping[str, Sequence[str]] = MappingProxyType({})

    def figures(self, objectives: Sequence[str]) -> tuple[float, ...]:
        """The smaller the better."""
        known = {"makespan": self.makespan, "energy": self.energy, "utilisation": -self.utilisation}
        return tuple(known[name] for name in objectives)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a front is looked for in."""

    taken: Snapshot
    event: Submitted
    watts: Watts
    objectives: Sequence[str]

    def point(self, future: Forecourse, by: str, order: Order | None = None) -> Point | None:
        """The figures of a future, None where some of the tasks do not end in it."""
        runs = [future.runs[new.task.id] for new in self.event.tasks]
        if any(run.end is None for run in runs):
            return None
        told = outcome(self.taken, future, runs)
        shares = told.utilisation.values()
        share = sum(shares) / len(shares) if shares else 0.0
        return Point(by, told.makespan, energy(self.taken, runs, self.watts), share, order, self._where(runs))

    def _where(self, runs: Sequence[Run]) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        if len(self.taken.places) > 1 or len(self.taken.classes()) > 1:
            ground = Ground(self.taken)
            for run in runs:
                found.setdefault(str(ground.spot_of(run)), []).append(run.task.id)
        return found

    def as_they_are(self, futures: Sequence[Forecourse], in_force: str) -> list[Point]:
        """The policies' own futures. The one in force needs nobody to wait for anybody."""
        plain = Order(self.event, {new.task.id: () for new in self.event.tasks}, {})
        found = [self.point(one, one.policy, plain if one.policy == in_force else None) for one in futures]
        return [one for one in found if one is not None]

    def power(self, question: Question) -> dict[int, Power]:
        """What the CPUs of each node draw, and the devices of each resource on the mean, by its number."""
        found: dict[int, Power] = {}
        for resource, number in question.kinds.items():
            if resource.name == CPUS:
                found[number] = Power(self.watts.cpu_idle, self.watts.cpu, MILLI)
            elif resource.name == DEVICES:
                devices = [
                    device
                    for place in self.taken.places
                    for device in place.devices
                    if place.node.name == resource.node and resource.device in (device.label, device.uuid)
                ]
                work = sum(watts_of(device, self.watts) for device in devices) / len(devices)
                found[number] = Power(self.watts.device_idle, work)
        return found

    def of_the_policies(self, question: Question, futures: Sequence[Forecourse], in_force: str) -> list[Schedule]:
        """What the other policies do, as schedules: those of equal figures once. They get no more than they use at
        once, so that as an order they use no more either."""
        archive = Archive(question.problem, self.power(question), self.objectives)
        points = [(one, self.point(one, one.policy)) for one in futures]
        there = [(one, point) for one, point in points if point is not None]
        best = pareto.front([point.figures(self.objectives) for _, point in there])
        found: list[Schedule] = []
        for future in (there[place][0] for place in best):
            if future.policy != in_force:
                starts, choice = starts_of(question, future, self.taken.now), choice_of(question, future)
                narrow = archive.narrowed(archive.shares(starts, choice), choice)
                found.append(Schedule(future.policy, starts, narrow.capacity, choice))
        return found

    def order(self, question: Question, schedule: Schedule) -> Order:
        """The order in which it happens whatever the tasks really take."""
        narrow = replace(question.problem, capacity=tuple(schedule.capacity))
        return in_order(question._replace(problem=narrow), schedule.starts, self.event, schedule.choice)

    def front(self, greedy: Sequence[Point], ordered: Sequence[Point]) -> list[Point]:
        """The best of all, the shortest first: at most `MOST`, but for each of the policies one that is in nothing
        worse."""
        points = sorted([*greedy, *ordered], key=lambda point: point.order is None)
        figures = [point.figures(self.objectives) for point in points]
        best = pareto.front(figures)
        needed = {
            next(number for number, place in enumerate(best) if pareto.covers(figures[place], one))
            for one in (point.figures(self.objectives) for point in greedy)
        }
        few = pareto.spread([figures[place] for place in best], MOST, needed)
        return sorted((points[best[number]] for number in few), key=lambda point: point.makespan)


def schedules_of(answer: Mapping[str, Any]) -> list[Schedule]:
    """What the child has found; what it was given is known already."""
    told: list[dict[str, Any]] = answer["schedules"]
    return [
        Schedule(one["by"], one["starts"], one["capacity"], tuple(one["choice"]))
        for one in told
        if one["by"] != "given"
    ]
