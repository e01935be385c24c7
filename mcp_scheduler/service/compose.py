"""From requests to tasks: ids, terms, dependencies, payloads. What is wrong is refused here; nothing is changed."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mcp_scheduler import errors
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import NewTask
from mcp_scheduler.core.ids import SUFFIX_LENGTH, make_id
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Status, Task, Terms
from mcp_scheduler.ports import Clock, FunctionEntry, Store, Tree
from mcp_scheduler.ports import Functions as FunctionsPort
from mcp_scheduler.requests import Caller, ChunkSpec, TaskSpec
from mcp_scheduler.service.caching import digest_of, refuse_uncacheable
from mcp_scheduler.service.calls import Functions, refuse_later
from mcp_scheduler.service.commands import command_call, head_of
from mcp_scheduler.service.compensation import compensation_of, id_of, refuse_owner
from mcp_scheduler.service.copies import with_copies
from mcp_scheduler.service.devices import no_such_devices
from mcp_scheduler.service.environments import Environments
from mcp_scheduler.service.extras import extras_of, first_occurrence
from mcp_scheduler.service.references import MARK, Names, dependencies, names_in
from mcp_scheduler.service.sizes import files_of, half_powers, look_up, texts_of
from mcp_scheduler.service.snapshots import asked_of
from mcp_scheduler.service.terms import chunk_terms, command_terms, deadline_of, function_terms, lease_terms, moment
from mcp_scheduler.settings import Queue

_TERM_FIELDS = {"needs", "retry", "timeout", "idle_timeout"}  # with none of these, terms are the function's own
_PLAIN_FIELDS = {"function", "arguments", "name", "tags", "idempotency_key", "priority", "hold", *_TERM_FIELDS}
_TEXT_FIELDS = {"name", "idempotency_key", "tags", "reads", "writes"}
_DEVICE_WORDS = ("gpus", "gpu_memory")  # of needs, beside the resources of nodes
_as_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_SUPPLY = 64  # ids for which chance is drawn at once


@dataclass(frozen=True, slots=True)
class Plan:
    """What a task runs, on which terms, and what the function itself has declared."""

    terms: Terms
    call: dict[str, Any]
    declared: Mapping[str, Any]
    folder: str  # where relative paths begin
    fingerprint: str = ""  # of the function's code


class Composer:
    """Makes tasks of specs for one engine."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        functions: FunctionsPort,
        environments: Environments,
        clock: Clock,
        limits: Queue,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._functions = functions
        self._environments = environments
        self._clock = clock
        self._limits = limits
        self._known: dict[str, Functions] = {}
        self._plain_terms: dict[tuple[str, str, str, str], Terms] = {}
        self.absent: Callable[[], str] = str  # why there are no GPUs
        self._supply = b""  # of chance

    async def functions_for(self, environment: str, specs: Iterable[TaskSpec]) -> Functions | None:
        """The environment's functions, where one of the specs calls one: a command alone starts no worker."""
        called = any(spec.function is not None or "function" in (spec.on_failure or ()) for spec in specs)
        return await self.functions(environment) if called else None

    async def functions(self, environment: str) -> Functions:
        """What the environment offers, as last described."""
        catalogue = await self._functions.catalogue(environment)
        known = self._known.get(environment)
        if known is None or known.catalogue is not catalogue:
            known = self._known[environment] = Functions(catalogue)
            self._plain_terms.clear()
        return known

    async def names(
        self,
        caller: Caller,
        specs: Collection[TaskSpec],
        keys: Mapping[str, str],
        lists: Mapping[str, tuple[str, ...]] | None = None,
        flat: Iterable[str] = (),
    ) -> Names:
        """Look up everything that the specs name outside of this submission: tasks, groups, files. `lists` are tasks
        of it, by their ids, which have a name together; those of a list in `flat` are chunks."""
        names = Names(keys=dict(keys), groups=dict(lists or {}))
        names.chunks.update((name, len(names.groups[name])) for name in flat)
        wanted: set[str] = set()
        for spec in specs:
            wanted |= names_in(spec)
            undo = compensation_of(spec)
            wanted |= names_in(undo) if undo is not None else set()
        unknown = [name for name in wanted if not names.knows(name) and name not in self._cluster.tasks]
        found = await self._store.tasks(unknown) if unknown else {}
        for name in unknown:
            if name in found:
                names.outside[name] = found[name].status.state
            else:
                names.groups[name] = await self._members(name, names)
        if any(texts_of(spec) for spec in specs):
            folder = self._environments.get(caller.environment).cwd
            names.sizes = await asyncio.to_thread(look_up, specs, folder)
        return names

    async def _members(self, name: str, names: Names) -> tuple[str, ...]:
        members = await self._store.members(name)
        if not members:
            near = difflib.get_close_matches(name, [*names.keys, *list(self._cluster.tasks)[-1000:]], n=2)
            hint = f"Did you mean {' or '.join(near)}? " if near else ""
            raise errors.UnknownDependency(
                f"'{name}' is neither a task nor a group that is known here.",
                hint=hint + "Use a key of this graph, or an id that submit_task returned.",
            )
        group = await self._store.group(name)
        if group is not None and group.chunk:
            names.chunks[name] = group.chunks
        if group is not None:
            members = [task for place, task in enumerate(members) if group.has_result(place)]
        for task in members:
            if task.id not in self._cluster.tasks:
                names.outside[task.id] = task.status.state
        return tuple(task.id for task in members)

    def fresh_id(self, name: str) -> str:
        """An id that no task in memory has; the store's primary key stands behind it."""
        while (found := make_id(name, self._chance())) in self._cluster.tasks:
            pass
        return found

    def _chance(self) -> bytes:
        """Random bytes for one id, of a supply: the way to the kernel costs more than all the rest of an id."""
        if not self._supply:
            self._supply = os.urandom(_SUPPLY * SUFFIX_LENGTH)
        drawn, self._supply = self._supply[:SUFFIX_LENGTH], self._supply[SUFFIX_LENGTH:]
        return drawn

    def task(
        self,
        caller: Caller,
        spec: TaskSpec,
        functions: Functions | None,
        names: Names,
        task_id: str,
        group: str = "",
        behind: tuple[str, ...] = (),
    ) -> NewTask:
        """One task, checked from all sides. `behind`: the tasks that conflict with it and come before it."""
        refuse_later(spec)
        _refuse_broken_text(spec)
        plan = self._plan(caller, spec, functions)
        tree = _inputs_of(spec, names)
        if tree is not None:
            plan.call["inputs"] = {"tree": tree.name, "files": tree.files, "bytes": tree.bytes}
        payload = self._payload(plan.call)
        after: tuple[str, ...] = ()
        has_mark = MARK in payload
        if spec.after or has_mark:
            after, call = dependencies(spec, plan.call if has_mark else {}, names)
            payload = self._payload(call) if has_mark else payload
        now = self._clock.now()
        declared = plan.declared
        priority = spec.priority if spec.priority is not None else int(declared.get("priority", 0))
        task = Task(
            task_id,
            self._cluster.take_seq(),
            plan.terms,
            now,
            Status(State.PENDING, now, held=spec.hold, priority=priority),
            spec.name or "",
            group,
            after,
            tuple(spec.tags) or tuple(declared.get("tags", ())),
            key=spec.idempotency_key or "",
            size=half_powers(len(payload) + _file_bytes(spec, plan, names)),
        )
        if not spec.model_fields_set <= _PLAIN_FIELDS or behind:
            self._say_more(task, spec, plan, behind, names)
        return NewTask(task, payload)

    def _say_more(self, task: Task, spec: TaskSpec, plan: Plan, behind: tuple[str, ...], names: Names) -> None:
        """What few tasks ask for: times, things they share, what is to happen if they fail."""
        now = task.submitted_at
        task.start_after = moment(spec.start_after, now, "start_after")
        task.deadline = deadline_of(spec.deadline, now)
        task.extras = with_copies(spec, plan.terms, extras_of(spec, behind, _source(spec, names)))
        if (tree := _inputs_of(spec, names)) is not None:
            task.extras = replace(task.extras, inputs=tree.name)
        if spec.recurs:
            task.extras = first_occurrence(spec, task.extras, task.start_after, now)
            task.start_after = task.extras.time
        if spec.cache:
            refuse_uncacheable(spec)
            task.digest = digest_of(plan.terms, spec.arguments or {}, plan.fingerprint, task.extras.inputs)
        if spec.on_failure is not None:
            refuse_owner(spec)
            task.extras = replace(task.extras, undo=id_of(task.id))

    def compensation(
        self,
        caller: Caller,
        spec: TaskSpec,
        functions: Functions | None,
        names: Names,
        owner: Task,
        graph: str = "",
    ) -> NewTask | None:
        """The task that undoes what `owner` did, where its spec names one. `graph`: what fails or succeeds as a whole
        with it. What it refers to must not have succeeded: where it has not, null stands in the place of its result."""
        undo = compensation_of(spec)
        if undo is None:
            return None
        new = self.task(caller, undo, functions, names, id_of(owner.id))
        new.task.name = new.task.name or f"undo {owner.name or owner.id}"
        new.task.tags = new.task.tags or owner.tags
        new.task.extras = replace(new.task.extras, undoes=owner.id, saga=graph or owner.id)
        return new

    def _plan(self, caller: Caller, spec: TaskSpec, functions: Functions | None) -> Plan:
        if spec.command is not None:
            environment = self._environments.get(caller.environment)
            call = command_call(caller, spec, environment)
            terms = self._checked(command_terms(caller, spec, head_of(call["command"]), self._limits.timeout))
            folder = str(call.get("cwd") or environment.cwd)
            return Plan(terms, _with_limits(call, spec, terms), {}, folder)
        if spec.lease:
            return Plan(self._checked(lease_terms(caller, spec)), {"lease": True}, {}, "")
        assert functions is not None, "a submission with functions has a catalogue"
        entry = functions.find(spec.function or "")
        terms = self._terms(caller, spec, entry)
        folder = self._environments.get(caller.environment).cwd
        if isinstance(spec, ChunkSpec):
            for arguments in spec.each:
                functions.check(entry, arguments)
            terms = self._checked(chunk_terms(terms, len(spec.each)))
            chunk: dict[str, Any] = {"function": entry.name, "each": spec.each, "first": spec.first}
            if spec.seconds:
                chunk["seconds"] = spec.seconds
            return Plan(terms, _with_limits(chunk, spec, terms), entry.options, folder)
        functions.check(entry, spec.arguments or {})
        call = {"function": entry.name, "arguments": spec.arguments or {}}
        return Plan(terms, _with_limits(call, spec, terms), entry.options, folder, entry.fingerprint)

    def _terms(self, caller: Caller, spec: TaskSpec, entry: FunctionEntry) -> Terms:
        """Terms are shared: a thousand equal calls make them once."""
        if spec.model_fields_set & _TERM_FIELDS:
            return self._checked(function_terms(caller, spec, entry, self._limits.timeout))
        key = (caller.environment, caller.principal, entry.name, entry.fingerprint)
        terms = self._plain_terms.get(key)
        if terms is None:
            terms = self._checked(function_terms(caller, spec, entry, self._limits.timeout))
            self._plain_terms[key] = terms
        return terms

    def _checked(self, terms: Terms) -> Terms:
        """`Unsatisfiable` where no node is large enough, however long one waits."""
        rooms = self._cluster.rooms.values()
        if any(room.could_ever_fit(terms.needs) for room in rooms):
            return self._cluster.intern(terms)
        have: dict[str, int] = {}
        for room in rooms:
            for name, amount in room.total.items():
                have[name] = max(have.get(name, 0), amount)
        short = [
            f"{name}: {told(name, amount)} asked, {told(name, have.get(name, 0))} there"
            for name, amount in terms.needs.amounts
            if amount > have.get(name, 0)
        ]
        if not short and terms.needs.has_devices:
            raise no_such_devices(terms.needs, rooms, self.absent())
        raise errors.Unsatisfiable(
            f"No node is large enough ({'; '.join(short)}).",
            hint=f"{_meant(terms, have)}This scheduler knows these resources: {', '.join(sorted(have))}.",
        )

    def _payload(self, call: Mapping[str, Any]) -> bytes:
        try:
            payload = _as_json(call).encode()
        except (ValueError, UnicodeEncodeError) as error:
            raise errors.BadArguments(f"The call is not JSON: {error}.") from None
        if len(payload) > self._limits.max_arguments:
            raise errors.TooLarge(
                f"The call has {len(payload):,} bytes; {self._limits.max_arguments:,} are accepted.",
                hint="Put the bulk into a file and pass its path.",
            )
        return payload


def _meant(terms: Terms, have: Mapping[str, int]) -> str:
    """What to do about needs that no node covers: another name, where one is asked for that nobody has, else less."""
    unknown = [name for name, _ in terms.needs.amounts if name not in have]
    near = [close for name in unknown for close in difflib.get_close_matches(name, [*have, *_DEVICE_WORDS], n=1)]
    if near:
        return f"Did you mean {' and '.join(near)}? "
    return f"Ask for less, or leave {', '.join(unknown)} out. " if unknown else "Ask for less. "


def _source(spec: TaskSpec, names: Names) -> str:
    """The chunk of the stage before; "" where there is none."""
    return names.keys[spec.source] if isinstance(spec, ChunkSpec) and spec.source else ""


def _refuse_broken_text(spec: TaskSpec) -> None:
    """Half of a surrogate pair is no text: it could not be stored, and would take the whole commit with it."""
    if not spec.model_fields_set & _TEXT_FIELDS:
        return
    for text in (spec.name, spec.idempotency_key, *spec.tags, *spec.reads, *spec.writes):
        if text and not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise errors.InvalidRequest(f"{text!r} is no valid text: it holds half of a surrogate pair.")


def _file_bytes(spec: TaskSpec, plan: Plan, names: Names) -> int:
    if not names.sizes:
        return 0
    return sum(names.sizes.get(place, 0) for place in files_of(spec, plan.folder))


def _inputs_of(spec: TaskSpec, names: Names) -> Tree | None:
    asked = asked_of(spec)
    return None if asked is None or names.kept is None else names.kept[asked]


def _with_limits(call: dict[str, Any], spec: TaskSpec, terms: Terms) -> dict[str, Any]:
    """What the executor needs to know beside the call itself."""
    if spec.name:
        call["name"] = spec.name
    if terms.timeout is not None:
        call["timeout"] = terms.timeout
    if terms.idle_timeout is not None:
        call["idle_timeout"] = terms.idle_timeout
    if spec.hedge:
        call["hedge"] = True
    return call


def told(name: str, amount: int) -> str:
    """An amount in the units people use: cpus and named resources as numbers, memory in GiB."""
    if name == "memory":
        return f"{amount / 2**30:.1f} GiB"
    return f"{amount / 1000:g}"


def counted(name: str, amount: int) -> str:
    """`2 cpus`, `1 cpu`, `4.0 GiB memory`, `1 licence`."""
    count = told(name, amount)
    return f"{count} cpu" if (name, count) == ("cpus", "1") else f"{count} {name}"
