"""Submitting: one task, many, a graph, a map. All or none of a submission, and durable when the call returns."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mcp_scheduler import errors, views
from mcp_scheduler.core.events import Group, NewTask, Submitted
from mcp_scheduler.core.task import MILLI, Task
from mcp_scheduler.requests import Caller, MapTask, SubmitGraph, SubmitMany, TaskSpec
from mcp_scheduler.service import caching, mapping
from mcp_scheduler.service.calls import Functions
from mcp_scheduler.service.causal import conflicts_before, order
from mcp_scheduler.service.commands import words_of
from mcp_scheduler.service.compensation import id_of
from mcp_scheduler.service.declared import with_declared
from mcp_scheduler.service.desk import Desk, origin_of
from mcp_scheduler.service.differences import differences
from mcp_scheduler.service.extras import refuse_recurring
from mcp_scheduler.service.folding import REDUCE
from mcp_scheduler.service.groups import Tally
from mcp_scheduler.service.layout import Layout
from mcp_scheduler.service.ordering import Pin, ordered, pin
from mcp_scheduler.service.references import Names
from mcp_scheduler.service.snapshots import Kept

_BREATH = 500  # tasks composed between two looks at what else is to be done


class Composed(NamedTuple):
    """A group that could be submitted: its id, the ids of its keys, what it names outside, its tasks and what undoes
    them."""

    id: str
    ids: dict[str, str]
    names: Names
    tasks: list[NewTask]
    undoing: list[NewTask | None]  # of each task


class Submitting(Desk):
    """The use cases that bring tasks in."""

    async def submit(self, caller: Caller, request: TaskSpec) -> views.Submitted:
        """One task. Returns when it is on the disk."""
        if request.recurs:
            return await self._submit_series(caller, request)
        tasks, duplicates = await self._submit_all(caller, [request])
        result = (await self._store.results([tasks[0].id])).get(tasks[0].id) if tasks[0].extras.cached_from else None
        return views.Submitted((self._look.task(tasks[0], result=result, duplicate=bool(duplicates)),))

    async def submit_many(self, caller: Caller, request: SubmitMany) -> views.Accepted:
        """Independent tasks, all or none. A task whose key is known already is answered with the first one."""
        for spec in request.tasks:
            refuse_recurring(spec, "submissions of many tasks")
        tasks, duplicates = await self._submit_all(caller, request.tasks)
        return views.Accepted(tuple(task.id for task in tasks), duplicates)

    async def _submit_all(self, caller: Caller, specs: Sequence[TaskSpec]) -> tuple[list[Task], tuple[str, ...]]:
        """The tasks, and the ids of those among them that were there before."""
        told = await self._already_told(caller)
        if told is not None:
            return told, tuple(task.id for task in told)
        self._refuse_flood(len(specs))
        functions = await self.composer.functions_for(caller.environment, specs)
        specs = with_declared(specs, functions)
        async with self._snapshots.taken(caller, specs, self.environments) as kept:
            return await self._submit_new(caller, specs, functions, kept)

    async def _submit_new(
        self, caller: Caller, specs: Sequence[TaskSpec], functions: Functions | None, kept: Kept
    ) -> tuple[list[Task], tuple[str, ...]]:
        await self.environments.keep(caller.environment)
        names = await self.composer.names(caller, specs, {})
        names.kept = kept
        new: list[NewTask] = []
        undoing: dict[str, NewTask] = {}
        for number, spec in enumerate(specs):
            task_id = self.composer.fresh_id(spec.name or _short(spec))
            new.append(self.composer.task(caller, spec, functions, names, task_id))
            undo = self.composer.compensation(caller, spec, functions, names, new[-1].task)
            if undo is not None:
                undoing[task_id] = undo
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)  # others are served while a flood is being composed
        known = {
            item.task.id: task
            for item in new
            if item.task.key and (task := await self._known_by_key(item, undo=undoing.get(item.task.id))) is not None
        }
        fresh = [item for item in new if item.task.id not in known]
        if fresh:
            await self._answer_from_cache(fresh, functions)
            fresh += [undoing[item.task.id] for item in fresh if item.task.id in undoing]
            await self._submit(caller, Submitted(fresh, outside=names.outside, origin=origin_of(caller)), known)
        tasks = [known.get(item.task.id, item.task) for item in new]
        return tasks, tuple(task.id for task in known.values())

    async def _submit(self, caller: Caller, event: Submitted, known: dict[str, Task]) -> None:
        """Hand in what is new. A key that was taken since it was looked up is looked up once more."""
        try:
            async with self._snapshots.held(event.tasks):
                await self._loop.ask(event)
        except errors.DuplicateKey:
            undoing = {item.task.extras.undoes: item for item in event.tasks if item.task.extras.undoes}
            for item in event.tasks:
                task = await self._known_by_key(item, undo=undoing.get(item.task.id))
                if task is not None:
                    known[item.task.id] = task
            again = [item for item in event.tasks if (item.task.extras.undoes or item.task.id) not in known]
            if len(again) == len(event.tasks):
                raise
            if again:
                await self._submit(caller, replace(event, tasks=again), known)

    async def _answer_from_cache(self, new: Sequence[NewTask], functions: Functions | None) -> None:
        asking = [item for item in new if item.task.digest]
        if asking and functions is not None:
            codes = {item.task.digest: functions.find(item.task.terms.target).fingerprint for item in asking}
            await caching.answer(self._store, asking, codes)

    async def _submit_series(self, caller: Caller, request: TaskSpec) -> views.Submitted:
        """A task that recurs: its first occurrence, in a group that is the handle of all of them."""
        told = await self._already_told(caller)
        if told:
            return self._series(await self._tally_of(told[0].group), caller, duplicate=True)
        self._refuse_flood(1)
        await self.environments.keep(caller.environment)
        functions = await self.composer.functions_for(caller.environment, [request])
        (request,) = with_declared([request], functions)
        name = request.name or _short(request)
        group_id = self.composer.fresh_id(name)
        names = await self.composer.names(caller, [request], {})
        new = self.composer.task(caller, request, functions, names, f"{group_id}-1", group_id)
        known = await self._known_by_key(new, group=[new])
        if known is None:
            group = Group(group_id, name, "series", caller.principal, 1, self._clock.now())
            await self._loop.ask(Submitted([new], group, origin=origin_of(caller)))
        tally = await self._tally_of(known.group if known else group_id)
        return self._series(tally, caller, duplicate=known is not None)

    def _series(self, tally: Tally, caller: Caller, *, duplicate: bool) -> views.Submitted:
        return views.Submitted(group=replace(self._group(tally, caller), duplicate=duplicate))

    async def _tally_of(self, group_id: str) -> Tally:
        tally = await self._groups.get(group_id)
        if tally is None:
            raise errors.UnknownTask(f"There is no group {group_id}.")
        return tally

    async def submit_graph(self, caller: Caller, request: SubmitGraph) -> views.Submitted:
        """Tasks with dependencies, all or none."""
        return await self._submit_group(caller, request, "graph", Layout(request.tasks))

    async def submit_map(self, caller: Caller, request: MapTask) -> views.Submitted:
        """One template over many items, and perhaps a reduce over their results."""
        items = mapping.items_of(request.over)
        size = await self._chunk_size(caller, request, len(items))
        try:
            return await self._submit_group(caller, request, "map", mapping.layout_of(request, items, size))
        except errors.BadArguments as error:
            raise errors.BadArguments(error.message, hint=mapping.advice_about(request.over) or error.hint) from error

    async def _chunk_size(self, caller: Caller, request: MapTask, count: int) -> int:
        each: float | None = None
        if mapping.chunk_seconds(request) and request.task.function is not None:
            functions = await self.composer.functions(caller.environment)
            name = functions.find(request.task.function).name
            each = self._cluster.chunking.seconds(name) or self._cluster.estimates.seconds(name)
        cpus = sum(room.total.get("cpus", 0) for room in self._cluster.rooms.values()) / MILLI
        return mapping.chunk_size(request, count, each, cpus)

    async def _submit_group(
        self,
        caller: Caller,
        request: SubmitGraph | MapTask,
        kind: str,
        layout: Layout,
    ) -> views.Submitted:
        told = await self._already_told(caller)
        if told:
            tally = await self._groups.get(told[0].group)
            return views.Submitted(
                group=replace(self._group(tally, caller, keys=None), duplicate=True) if tally else None
            )
        self._refuse_flood(len(layout.specs))
        layout = replace(layout, specs=await self._declared(caller, layout.specs))
        async with self._snapshots.taken(caller, layout.specs.values(), self.environments) as kept:
            return await self._submit_new_group(caller, request, kind, layout, kept)

    async def _submit_new_group(
        self, caller: Caller, request: SubmitGraph | MapTask, kind: str, layout: Layout, kept: Kept
    ) -> views.Submitted:
        await self.environments.keep(caller.environment)
        group_id, ids, names, new, undoing = await self._composed(caller, request, kind, layout, kept)
        new[0].task.key = request.idempotency_key or ""
        known = await self._known_by_key(new[0], group=new, undo=undoing[0])
        if known is None:
            now = self._clock.now()
            group = Group(
                group_id, request.name or "", kind, caller.principal, len(new), now,
                layout.items, layout.chunk, layout.stages, layout.folds,
            )  # fmt: skip
            functions = await self.composer.functions_for(caller.environment, layout.specs.values())
            await self._answer_from_cache(new, functions)
            made = [*new, *(undo for undo in undoing if undo is not None)]
            async with self._snapshots.held(made):
                await self._loop.ask(Submitted(made, group, names.outside, origin_of(caller)))
        tally = await self._tally_of(known.group if known else group_id)
        named = {key: name for key, name in ids.items() if kind == "graph" or key == REDUCE}
        keys = None if known else named
        return views.Submitted(group=replace(self._group(tally, caller, keys=keys), duplicate=known is not None))

    async def _declared(self, caller: Caller, specs: Mapping[str, TaskSpec]) -> dict[str, TaskSpec]:
        functions = await self.composer.functions_for(caller.environment, specs.values())
        return dict(zip(specs, with_declared(specs.values(), functions), strict=True))

    async def _composed(
        self,
        caller: Caller,
        request: SubmitGraph | MapTask,
        kind: str,
        layout: Layout,
        kept: Kept | None,
    ) -> Composed:
        """The tasks of a group, checked from all sides; nothing is changed yet. Without `kept` it is a dry run."""
        specs = layout.specs
        functions = await self.composer.functions_for(caller.environment, specs.values())
        for spec in specs.values():
            refuse_recurring(spec, f"the tasks of a {kind}")
        in_order = order(specs)
        before = conflicts_before(specs, in_order) if kind == "graph" else {}
        pins: Mapping[str, Pin] = {}
        if isinstance(request, SubmitGraph) and request.plan is not None:
            planned = self._orderings.find(caller, request.plan)
            in_order, before = ordered(specs, before, planned, request.plan)
            pins = planned.pins
        group_id = self.composer.fresh_id(request.name or kind)
        ids = {
            key: self.composer.fresh_id(specs[key].name or (key if kind == "graph" else group_id)) for key in in_order
        }
        lists = {name: tuple(ids[key] for key in keys) for name, keys in layout.lists.items()}
        names = await self.composer.names(caller, specs.values(), ids, lists, layout.flat)
        names.kept = kept
        new = [
            self.composer.task(
                caller, _in_group(key, specs[key], request), functions, names, ids[key], group_id,
                tuple(ids[other] for other in before.get(key, ())),
            )
            for key in in_order
        ]  # fmt: skip
        pin(((key, item.task) for key, item in zip(in_order, new, strict=True)), pins)
        undoing = [
            self.composer.compensation(
                caller, specs[key], functions, names, item.task, group_id if kind == "graph" else ""
            )
            for key, item in zip(in_order, new, strict=True)
        ]
        return Composed(group_id, ids, names, new, undoing)

    async def _known_by_key(
        self, new: NewTask, group: Sequence[NewTask] = (), undo: NewTask | None = None
    ) -> Task | None:
        """The task that took this key before; `DuplicateKey` where it asked for something else."""
        task = new.task
        if not task.key:
            return None
        found = await self._find.by_key(task.terms.principal, task.key)
        if found is None:
            return None
        stored = await self._store.payloads([found.id, id_of(found.id)])
        unlike = differences(found, stored.get(found.id, b""), task, new.payload)
        if (undo.payload if undo else b"").replace(task.id.encode(), found.id.encode()) != stored.get(
            id_of(found.id), b""
        ):
            unlike.append("on_failure is not the same")
        if bool(found.group) != bool(task.group):
            unlike = ["one is a single task, the other a group"]
        elif found.group and not unlike:
            tally = await self._groups.get(found.group)
            if tally is not None and tally.group.size != len(group):
                unlike = [f"{tally.group.size} tasks then, {len(group)} now"]
        if unlike:
            raise errors.DuplicateKey(
                f"The idempotency key '{task.key}' belongs to {found.group or found.id}, which differs: "
                f"{'; '.join(unlike)}.",
                hint="Use another key for other work, or submit exactly the same again.",
                task=found.id,
            )
        return found

    def _refuse_flood(self, count: int) -> None:
        if self._cluster.unfinished + count > self._limits.max_queued:
            raise errors.Unavailable(
                f"{self._cluster.unfinished:,} tasks are unfinished and {count:,} more would pass the limit of "
                f"{self._limits.max_queued:,}.",
                hint="Wait for some to end (wait_for_tasks), or cancel what is not needed.",
            )


def _short(spec: TaskSpec) -> str:
    """A name for a task that was given none: its function's, or its program's."""
    if spec.function is not None:
        return spec.function.rpartition(".")[2]
    if spec.command is not None:
        return Path(str(words_of(spec.command)[0])).name
    return "lease" if spec.lease else "task"


def _in_group(key: str, spec: TaskSpec, request: SubmitGraph | MapTask) -> TaskSpec:
    """A task of a group carries the group's tags; the key belongs to the group alone."""
    if spec.idempotency_key is not None:
        raise errors.InvalidRequest(
            f"Task '{key}' has an idempotency_key of its own.", hint="Give the key to the whole submission."
        )
    if not request.tags:
        return spec
    return spec.model_copy(update={"tags": list(dict.fromkeys([*spec.tags, *request.tags]))})
