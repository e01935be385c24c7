"""From requests to tasks: ids, terms, dependencies, payloads. Nothing is changed here; what is wrong is refused here."""

from __future__ import annotations

import difflib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from mcp_scheduler import errors
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import NewTask
from mcp_scheduler.core.ids import make_id
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Status, Task, Terms
from mcp_scheduler.ports import Clock, FunctionEntry, Store
from mcp_scheduler.ports import Functions as FunctionsPort
from mcp_scheduler.requests import Caller, TaskSpec
from mcp_scheduler.service.calls import RESULT, Functions, has_reference, references, refuse_later
from mcp_scheduler.service.terms import function_terms, moment
from mcp_scheduler.settings import Queue

_MARK = b'"$result"'


@dataclass(slots=True)
class Names:
    """What `after` and `$result` may name in a submission: keys of the graph at hand, ids of tasks, ids of groups."""

    keys: dict[str, str] = field(default_factory=dict[str, str])  # graph key → task id
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])  # group id → its members
    outside: dict[str, State] = field(default_factory=dict[str, State])  # tasks that are no longer in memory

    def knows(self, name: str) -> bool:
        """Whether the name belongs to this submission itself."""
        return name in self.keys or name in self.groups


class Composer:
    """Makes tasks of specs for one engine."""

    def __init__(self, cluster: Cluster, store: Store, functions: FunctionsPort, clock: Clock, limits: Queue) -> None:
        self._cluster = cluster
        self._store = store
        self._functions = functions
        self._clock = clock
        self._limits = limits
        self._known: dict[str, Functions] = {}
        self._plain_terms: dict[tuple[str, str, str, str], Terms] = {}
        self.next_seq = 1

    async def functions(self, environment: str) -> Functions:
        """What the environment offers, as last described."""
        catalogue = await self._functions.catalogue(environment)
        known = self._known.get(environment)
        if known is None or known.catalogue is not catalogue:
            known = self._known[environment] = Functions(catalogue)
            self._plain_terms.clear()
        return known

    async def names(
        self, specs: Iterable[TaskSpec], keys: Mapping[str, str], items: tuple[str, ...] | None = None
    ) -> Names:
        """Look up everything that the specs name outside of this submission. `items` are a map's tasks, which its
        reduce may name."""
        names = Names(keys=dict(keys))
        if items is not None:
            names.groups["items"] = items
        wanted: set[str] = set()
        for spec in specs:
            wanted.update(spec.after)
            if spec.arguments is not None and has_reference(spec.arguments):
                wanted.update(_named(reference) for reference in references(spec.arguments))
        unknown = [name for name in wanted if not names.knows(name) and name not in self._cluster.tasks]
        found = await self._store.tasks(unknown) if unknown else {}
        for name in unknown:
            if name in found:
                names.outside[name] = found[name].status.state
            else:
                names.groups[name] = await self._members(name, names)
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
        for task in members:
            if task.id not in self._cluster.tasks:
                names.outside[task.id] = task.status.state
        return tuple(task.id for task in members)

    def order(self, specs: Mapping[str, TaskSpec]) -> Sequence[str]:
        """The keys of a graph, dependencies first. `CycleFound` names the tasks that wait for each other."""
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for key, spec in specs.items():
            named = [*spec.after, *(_named(reference) for reference in references(spec.arguments or {}))]
            sorter.add(key, *(name for name in named if name in specs))
        try:
            return list(sorter.static_order())
        except CycleError as error:
            cycle = " → ".join(reversed(error.args[1]))
            raise errors.CycleFound(
                f"These tasks wait for each other: {cycle}.", hint="Remove one of these dependencies."
            ) from None

    def fresh_id(self, name: str) -> str:
        """An id that no task in memory has; the store's primary key stands behind it."""
        while (found := make_id(name, secrets.randbits(48))) in self._cluster.tasks:
            pass
        return found

    def task(
        self, caller: Caller, spec: TaskSpec, functions: Functions, names: Names, task_id: str, group: str = ""
    ) -> NewTask:
        """One task, checked from all sides."""
        refuse_later(spec)
        entry = functions.find(spec.function or "")
        arguments = spec.arguments or {}
        functions.check(entry, arguments)
        after, arguments = self._dependencies(spec, arguments, names)
        payload = self._payload(entry, spec, arguments)
        now = self._clock.now()
        declared = entry.options
        priority = spec.priority if spec.priority is not None else int(declared.get("priority", 0))
        task = Task(
            id=task_id,
            seq=self.next_seq,
            terms=self._terms(caller, spec, entry),
            submitted_at=now,
            status=Status(State.PENDING, now, held=spec.hold, priority=priority),
            name=spec.name or "",
            group=group,
            after=after,
            tags=tuple(spec.tags) or tuple(declared.get("tags", ())),
            start_after=moment(spec.start_after, now, "start_after"),
            key=spec.idempotency_key or "",
        )
        self.next_seq += 1
        return NewTask(task, payload)

    def _terms(self, caller: Caller, spec: TaskSpec, entry: FunctionEntry) -> Terms:
        """Terms are shared: a thousand equal calls make them once."""
        if spec.needs is not None or spec.retry is not None or spec.timeout is not None:
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
        raise errors.Unsatisfiable(
            f"No node is large enough ({'; '.join(short)}).",
            hint=f"Ask for less. This scheduler knows these resources: {', '.join(sorted(have))}.",
        )

    def _payload(self, entry: FunctionEntry, spec: TaskSpec, arguments: Mapping[str, Any]) -> bytes:
        call: dict[str, Any] = {"function": entry.name, "arguments": arguments}
        if spec.name:
            call["name"] = spec.name
        timeout = spec.timeout if spec.timeout is not None else entry.options.get("timeout", self._limits.timeout)
        if timeout is not None:
            call["timeout"] = timeout
        try:
            payload = json.dumps(call, separators=(",", ":"), allow_nan=False).encode()
        except (ValueError, UnicodeEncodeError) as error:
            raise errors.BadArguments(f"The arguments are not JSON: {error}.") from None
        if len(payload) > self._limits.max_arguments:
            raise errors.TooLarge(
                f"The call has {len(payload):,} bytes; {self._limits.max_arguments:,} are accepted.",
                hint="Put the bulk into a file and pass its path.",
            )
        return payload

    def _dependencies(
        self, spec: TaskSpec, arguments: dict[str, Any], names: Names
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """The ids the task waits for, and its arguments with every `$result` in the form that the runtime reads."""
        after: dict[str, None] = {}
        spans: dict[str, list[int]] = {}

        def add(name: str) -> None:
            if name in names.groups:
                if name not in spans:
                    members = [member for member in names.groups[name] if member not in after]
                    spans[name] = [len(after), len(after) + len(members)]
                    after.update(dict.fromkeys(members))
            else:
                after.setdefault(names.keys.get(name, name))

        found = list(references(arguments)) if has_reference(arguments) else []
        for reference in found:  # groups first: their members must stand together
            if _named(reference) in names.groups:
                add(_named(reference))
        for name in (*(_named(reference) for reference in found), *spec.after):
            add(name)
        if not found:
            return tuple(after), arguments
        return tuple(after), _rewritten(arguments, names, spans)


def _rewritten(value: Any, names: Names, spans: Mapping[str, list[int]]) -> Any:
    if isinstance(value, dict):
        if RESULT in value:
            name = _named(value)  # pyright: ignore[reportUnknownArgumentType]
            return {**value, RESULT: spans.get(name) or names.keys.get(name, name)}
        return {key: _rewritten(item, names, spans) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_rewritten(item, names, spans) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _named(reference: Mapping[str, Any]) -> str:
    """The name in a `{"$result": name, "path": …}`; refuses any other form."""
    name, extra = reference.get(RESULT), set(reference) - {RESULT, "path"}
    if not isinstance(name, str) or extra or not isinstance(reference.get("path", ""), str):
        raise errors.InvalidRequest(
            f"{json.dumps(dict(reference))[:200]} is no reference.",
            hint='Write {"$result": "<task id or graph key>", "path": "<JMESPath, optional>"}.',
        )
    return name


def told(name: str, amount: int) -> str:
    """An amount in the units people use: cpus and named resources as numbers, memory in GiB."""
    if name == "memory":
        return f"{amount / 2**30:.1f} GiB"
    return f"{amount / 1000:g}"
