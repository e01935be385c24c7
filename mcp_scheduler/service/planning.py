"""Planning: what would happen to tasks that are given, or to those that wait, without doing anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from time import monotonic
from typing import Final, NamedTuple

from mcp_scheduler import errors
from mcp_scheduler.collection import no_collection
from mcp_scheduler.core.events import Group, Submitted
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Task
from mcp_scheduler.forecast.durations import name_of
from mcp_scheduler.plans import OutcomeView, PlannedView, PlanView, PointView
from mcp_scheduler.requests import Caller, PlanTasks, SubmitGraph
from mcp_scheduler.service import ordering, question
from mcp_scheduler.service.fronts import Choice, Point, schedules_of
from mcp_scheduler.service.layout import Layout
from mcp_scheduler.service.ordering import Order, Ordering
from mcp_scheduler.service.outcomes import outcome
from mcp_scheduler.service.submitting import Submitting
from mcp_scheduler.simulation import snapshot
from mcp_scheduler.simulation.dry_run import DryRun, Forecourse, Run
from mcp_scheduler.simulation.snapshot import Snapshot

SECONDS: Final = 2.0  # for the dry runs of what was found
_SHARE: Final = 0.4  # of the seconds of a plan is for the policies, where an order is looked for, too
_RESERVE: Final = 0.3  # seconds for the child's beginning, and for the dry run of what it finds
_LEAST_GAIN: Final = 1e-3  # seconds
_BREATH: Final = 200  # forecasts asked for between two looks at what else is to be done
_SOMEBODY: Final = "another client's task"


class Given(NamedTuple):
    """Tasks that came with the request: as they would be submitted, and their keys by their ids."""

    event: Submitted
    keys: Mapping[str, str]


class Planning(Submitting):
    """The use case that looks ahead."""

    async def plan(self, caller: Caller, request: PlanTasks) -> PlanView:
        """Of the given tasks, checked as strictly as those that are submitted, in front of the present queue; or of
        what is unfinished now. The dry run goes on in a thread, over a copy."""
        if request.objectives and request.tasks is None:
            raise errors.InvalidRequest(
                "Objectives are for tasks that are not submitted yet.", hint="Give `tasks`, or leave `objectives` out."
            )
        policies = [self._policies.find(name) for name in dict.fromkeys(request.policies)] or [self._cluster.policy]
        wants_front = bool(set(request.objectives) - {"makespan"})
        given = None if request.tasks is None else await self._given(caller, request)
        async with self._one_plan:
            taken = snapshot.take(self._cluster, self._clock.now())
            await self._ask_forecasts(taken, [] if given is None else [new.task for new in given.event.tasks])
            begin = monotonic()
            event = None if given is None else given.event
            swept = self._all_policies(policies) if wants_front else policies
            seconds = request.seconds * (_SHARE if request.objectives else 1.0)
            futures = await asyncio.to_thread(_futures, taken, swept, event, seconds)
            plan, hints, points, by = "", list[str](), list[PointView](), ""
            over = begin + request.seconds - _RESERVE
            if given is not None and wants_front:
                points, by = await self._front(caller, taken, given, futures, request.objectives, over)
                hints = list(_about(points, futures, by))
                futures = futures[: len(policies)]
            elif given is not None and request.objectives:
                left = over - monotonic()
                better, plan = await self._better(caller, taken, given, futures, policies[0], left)
                if not better:
                    hints = [f"No order was found that ends before that of {_shortest(futures, given).policy}."]
                futures = [*better, *futures]
            keys = None if given is None else given.keys
            outcomes = await asyncio.to_thread(_outcomes, taken, futures, caller, keys)
        found = [run for run in futures[0].runs.values() if _is_told(run, caller, keys)]
        found.sort(key=lambda run: (inf if run.start is None else run.start, run.task.seq))
        page = found[request.offset : request.offset + request.limit]
        end = request.offset + len(page)
        return PlanView(
            outcomes=outcomes,
            tasks=tuple(self._planned(run, taken.now, futures[0], caller, keys or {}) for run in page),
            total=len(found),
            next_offset=end if end < len(found) else None,
            notes=(*self._notes(taken, futures, found, request.seconds), *hints),
            plan=plan,
            front=tuple(points),
            by=by,
        )

    def _all_policies(self, first: Sequence[Policy]) -> list[Policy]:
        """These, then the one in force, then all others."""
        known = {policy.name: policy for policy in (*first, self._cluster.policy)}
        return list(
            (known | {name: self._policies.find(name) for name in self._policies.names if name not in known}).values()
        )

    async def _front(
        self,
        caller: Caller,
        taken: Snapshot,
        given: Given,
        futures: Sequence[Forecourse],
        objectives: Sequence[str],
        over: float,
    ) -> tuple[list[PointView], str]:
        """Of the policies and of what a child process finds until the monotonic clock shows `over`; and by what."""
        choice = Choice(taken, given.event, self._watts, objectives)
        in_force = self._cluster.policy
        greedy = choice.as_they_are(futures, in_force.name)
        ended = [one for one in futures if _end(one, given) < inf]
        asked = question.question_of(taken, given.event, ended[0]) if ended else None
        ordered: list[Point] = []
        by = "policies"
        if asked is not None:
            schedules = choice.of_the_policies(asked, ended, in_force.name)
            starts = [question.starts_of(asked, one, taken.now) for one in ended]
            choices = [question.choice_of(asked, one) for one in ended]
            power = choice.power(asked)
            answer = None
            if (left := over - monotonic()) > 0:
                answer = await question.ask(asked, starts, choices, left, power=power, objectives=objectives)
            if answer is not None:
                by = answer["by"]
                schedules += schedules_of(answer)
            orders = [choice.order(asked, one) for one in schedules]
            tried = await asyncio.to_thread(_tried, taken, in_force, [one.event for one in orders])
            points = [
                choice.point(future, one.by, order) for future, one, order in zip(tried, schedules, orders, strict=True)
            ]
            ordered = [one for one in points if one is not None]
        return [self._kept(caller, given, point) for point in choice.front(greedy, ordered)], by

    def _kept(self, caller: Caller, given: Given, point: Point) -> PointView:
        """To be told, and to be submitted where it is an order."""
        plan = "" if point.order is None else self._keep(caller, given, point.order)
        where = {spot: tuple(given.keys[name] for name in names) for spot, names in point.where.items()}
        return PointView(point.by, point.makespan, point.energy, point.utilisation, plan, where)

    def _keep(self, caller: Caller, given: Given, order: Order) -> str:
        keys = given.keys
        links = {keys[name]: tuple(keys[other] for other in others) for name, others in order.behind.items()}
        pins = {keys[name]: pin for name, pin in order.pins.items()}
        in_order = tuple(keys[item.task.id] for item in order.event.tasks)
        return self._orderings.keep(Ordering(caller.principal, in_order, links, pins))

    async def _better(
        self,
        caller: Caller,
        taken: Snapshot,
        given: Given,
        futures: Sequence[Forecourse],
        policy: Policy,
        seconds: float,
    ) -> tuple[list[Forecourse], str]:
        """An order of the given tasks that ends sooner than under any of the policies, by a dry run of its own, and its
        id. Nothing where there is none."""
        asked = await asyncio.to_thread(question.question_of, taken, given.event, futures[0])
        complete = [one for one in futures if all(one.runs[name].start is not None for name in given.keys)]
        if asked is None or seconds <= 0:
            return [], ""
        starts = [question.starts_of(asked, one, taken.now) for one in complete]
        choices = [question.choice_of(asked, one) for one in complete]
        answer = await question.ask(asked, starts, choices, seconds)
        if answer is None:
            return [], ""
        order = ordering.in_order(asked, answer["starts"], given.event, answer["choice"])
        (found,) = await asyncio.to_thread(_futures, taken, [policy], order.event, SECONDS)
        if _end(found, given) >= _end(_shortest(futures, given), given) - _LEAST_GAIN:
            return [], ""
        found.policy = "search"
        return [found], self._keep(caller, given, order)

    async def _given(self, caller: Caller, request: PlanTasks) -> Given:
        """A key of a task says when it is the same again, which matters to submissions alone."""
        assert request.tasks is not None
        specs = {key: spec.model_copy(update={"idempotency_key": None}) for key, spec in request.tasks.items()}
        specs = await self._declared(caller, specs)
        made = await self._composed(caller, SubmitGraph(tasks=specs), "graph", Layout(specs), None)
        ended = {
            name: task.status.state
            for new in made.tasks
            for name in new.task.after
            if (task := self._cluster.tasks.get(name)) is not None and task.status.state in FINAL
        }
        now = self._clock.now()
        group = None
        if len(made.tasks) > 1:
            group = Group(made.id, "", "graph", caller.principal, len(made.tasks), now)
        else:
            made.tasks[0].task.group = ""
        event = Submitted(made.tasks, group, {**made.names.outside, **ended})
        return Given(event, {name: key for key, name in made.ids.items()})

    async def _ask_forecasts(self, taken: Snapshot, given: Iterable[Task]) -> None:
        classes = taken.classes()
        book = self._books["seconds"]
        for number, task in enumerate((*taken.tasks, *given)):
            is_stranger = book.series((name_of(task.terms),)) is None
            taken.known.note(self._cluster, task, classes, is_stranger=is_stranger)
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)

    def _planned(
        self, run: Run, now: float, future: Forecourse, caller: Caller, keys: Mapping[str, str]
    ) -> PlannedView:
        def told(name: str) -> str:
            other = future.runs.get(name)
            if other is None or name in keys or _may_see(caller, other.task):
                return keys.get(name, name)
            return _SOMEBODY

        has_end = run.end is not None and run.start is not None
        return PlannedView(
            id=told(run.task.id),
            start=None if run.start is None else run.start - now,
            end=run.end - now if has_end and run.end is not None else None,
            node=run.node,
            devices=tuple(self._short(run.node, uuid) for uuid in run.devices),
            after=tuple(dict.fromkeys(told(name) for name in run.because)),
            assumed=run.assumed,
            why=_renamed(run.why, keys),
        )

    def _short(self, node: str, uuid: str) -> str:
        room = self._cluster.rooms.get(node)
        state = None if room is None else room.devices.states.get(uuid)
        return uuid if state is None else state.seen.short

    def _notes(
        self, taken: Snapshot, futures: Sequence[Forecourse], told: Sequence[Run], seconds: float
    ) -> Iterable[str]:
        """What to know before one relies on it."""
        if taken.left_out:
            yield (
                f"{len(taken.tasks) + taken.left_out:,} tasks are unfinished; the plan looks at the "
                f"{len(taken.tasks):,} that go first."
            )
        assumed = sum(run.assumed for run in told)
        if assumed:
            yield f"Of {assumed} the time is assumed: nothing like them has ended yet."
        if any(future.cut for future in futures):
            yield f"The plan was cut after {seconds:g} s: later ends are not known."
        if self._cluster.paused:
            yield "The queue is paused; the plan is as if it went on now."
        if any(room.strain for room in self._cluster.rooms.values()):
            yield "The memory of a node is nearly full: nothing starts there until that is over."
        if any(run.task.status.state is State.HELD for run in told):
            yield "Held tasks are left where they are."


def _shortest(futures: Sequence[Forecourse], given: Given) -> Forecourse:
    return min(futures, key=lambda one: _end(one, given))


def _end(future: Forecourse, given: Given) -> float:
    """When the last of the given tasks ends; never, where one does not."""
    ends = [future.runs[name].end for name in given.keys]
    return max((inf if end is None else end) for end in ends)


def _futures(
    taken: Snapshot, policies: Sequence[Policy], arriving: Submitted | None, seconds: float
) -> list[Forecourse]:
    """In a thread. Each policy has its part of the time that is left."""
    found: list[Forecourse] = []
    over = monotonic() + seconds
    with no_collection():
        for place, policy in enumerate(policies):
            begin = monotonic()
            until = begin + max(0.0, over - begin) / (len(policies) - place)
            found.append(DryRun(taken, policy, arriving).finish(until))
    return found


def _tried(taken: Snapshot, policy: Policy, events: Sequence[Submitted]) -> list[Forecourse]:
    """In a thread. The same tasks in several orders, all together in the time of one plan."""
    over = monotonic() + SECONDS
    with no_collection():
        return [DryRun(taken, policy, event).finish(over) for event in events]


def _about(points: Sequence[PointView], futures: Sequence[Forecourse], by: str) -> Iterable[str]:
    """What to know of a front."""
    if not points:
        yield "There is no front: under no policy do all of the tasks end in this plan."
    elif by == "policies":
        yield "The front is of the policies alone: with one task and one place for it there is nothing else to choose."
    elif by == "sweep":
        yield "The front is of the policies and the search for an order: pymoo (mcp-scheduler[pareto]) is not there."
    if cut := [one.policy for one in futures if one.cut]:
        yield f"Cut, and so not in the front: {', '.join(cut)}."
    if others := [one.by for one in points if not one.plan]:
        yield f"Without a plan: only another policy does it ({', '.join(others)})."


def _outcomes(
    taken: Snapshot, futures: Sequence[Forecourse], caller: Caller, keys: Mapping[str, str] | None
) -> tuple[OutcomeView, ...]:
    """In a thread: thousands of tasks are added up."""
    return tuple(outcome(taken, one, [run for run in one.runs.values() if _is_told(run, caller, keys)])
                 for one in futures)  # fmt: skip


def _may_see(caller: Caller, task: Task) -> bool:
    return not caller.isolated or task.terms.principal == caller.principal


def _is_told(run: Run, caller: Caller, keys: Mapping[str, str] | None) -> bool:
    """Of given tasks those alone; else all that the caller may see."""
    return run.task.id in keys if keys is not None else _may_see(caller, run.task)


def _renamed(text: str, keys: Mapping[str, str]) -> str:
    for name, key in keys.items():
        if name in text:
            return text.replace(name, key)
    return text
