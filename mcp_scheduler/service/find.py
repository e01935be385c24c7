"""Finding tasks and groups by what people call them, for a caller who may see them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from mcp_scheduler import errors
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.states import FINAL
from mcp_scheduler.core.task import Task
from mcp_scheduler.ports import Store, TaskQuery
from mcp_scheduler.requests import Caller
from mcp_scheduler.service.groups import Groups, Tally

_LOOK: Final = 1_000  # tasks in memory that are looked at for a page; the store has indexes


class Finder:
    """In memory first; the store knows what has left it."""

    def __init__(self, cluster: Cluster, store: Store, groups: Groups) -> None:
        self._cluster = cluster
        self._store = store
        self._groups = groups

    async def task(self, caller: Caller, name: str) -> Task:
        """The task of this id; `UnknownTask` with the nearest ones."""
        found = await self.any(caller, name)
        if isinstance(found, Tally):
            raise errors.InvalidRequest(
                f"{name} is a {found.group.kind} of {len(found.states)} tasks.",
                hint="Name one of its tasks: list_tasks with this group shows them.",
            )
        return found

    async def any(self, caller: Caller, name: str) -> Task | Tally:
        """The task or group of this id."""
        task = self._cluster.tasks.get(name) or (await self._store.tasks([name])).get(name)
        if task is not None and self._may_see(caller, task.terms.principal):
            return task
        tally = await self._groups.get(name) if task is None else None
        if tally is not None and self._may_see(caller, tally.group.principal):
            return tally
        near = difflib.get_close_matches(name.lower(), list(self._cluster.tasks)[-1000:], n=2, cutoff=0.7)
        hint = f"Did you mean {' or '.join(near)}? " if near and not caller.isolated else ""
        raise errors.UnknownTask(f"There is no task or group '{name}'.", hint=hint + errors.UnknownTask.hint)

    async def all(self, caller: Caller, names: Sequence[str], *, members: bool) -> tuple[list[Task], list[Tally]]:
        """Tasks and groups; with `members` the tasks of the groups are among the tasks."""
        tasks: dict[str, Task] = {}
        tallies: list[Tally] = []
        missing = [name for name in names if name not in self._cluster.tasks]
        stored = await self._store.tasks(missing) if missing else {}
        for name in names:
            task = self._cluster.tasks.get(name) or stored.get(name)
            if task is not None and self._may_see(caller, task.terms.principal):
                tasks[name] = task
                continue
            found = await self.any(caller, name)
            if isinstance(found, Task):
                tasks[name] = found
            else:
                tallies.append(found)
                if members:
                    tasks.update({task.id: task for task in await self._of(found)})
        return list(tasks.values()), tallies

    async def members(self, caller: Caller, names: Iterable[str]) -> list[Task]:
        """The tasks named, and those of the groups named."""
        tasks, _ = await self.all(caller, list(names), members=True)
        return tasks

    async def _of(self, tally: Tally) -> list[Task]:
        gone = [name for name in tally.states if name not in self._cluster.tasks]
        stored = await self._store.tasks(gone) if gone else {}
        return [self._cluster.tasks.get(name) or stored[name] for name in tally.states]

    async def page(self, query: TaskQuery) -> tuple[list[Task], int | None]:
        """A page of a list, newest first, and the arrival number before which the next one ends (None: it is the last):
        from memory where a short look is sure to find all of it. What has left the wanted states since the store was
        asked is not shown, so a page may have fewer tasks than were asked for."""
        if query == TaskQuery(limit=query.limit):  # the newest of all, as most lists are asked for
            newest = list(islice(self._cluster.newest_first(), query.limit))
            if len(newest) == query.limit:
                return newest, newest[-1].seq
        found: list[Task] = []
        for task in islice(self._cluster.newest_first(), _LOOK):
            if query.matches(task):
                found.append(task)
                if len(found) == query.limit:
                    return found, task.seq
        stored = await self._store.find(query)
        now = [self._cluster.tasks.get(task.id, task) for task in stored]
        more = stored[-1].seq if len(stored) == query.limit else None
        return [task for task in now if query.matches(task)], more

    def by_tag(self, caller: Caller, tag: str) -> list[Task]:
        """Unfinished tasks with this tag."""
        return [
            task
            for task in self._cluster.tasks.values()
            if tag in task.tags and task.status.state not in FINAL and self._may_see(caller, task.terms.principal)
        ]

    async def by_key(self, principal: str, key: str) -> Task | None:
        """The task that carries this idempotency key."""
        known = self._cluster.keys.get((principal, key))
        if known is not None and known in self._cluster.tasks:
            return self._cluster.tasks[known]
        return await self._store.by_key(principal, key)

    def _may_see(self, caller: Caller, principal: str) -> bool:
        return not caller.isolated or caller.principal == principal
