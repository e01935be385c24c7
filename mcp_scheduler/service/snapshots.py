"""Snapshots: the inputs of a submission are kept before it is acknowledged, and let go of if it comes to nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager

from mcp_scheduler import errors
from mcp_scheduler.core.events import NewTask
from mcp_scheduler.ports import Environment, Inputs, Tree
from mcp_scheduler.requests import Caller, TaskSpec
from mcp_scheduler.service.commands import folder_of
from mcp_scheduler.service.compensation import compensation_of
from mcp_scheduler.service.environments import Environments
from mcp_scheduler.service.gathering import Rules, gather
from mcp_scheduler.settings import Inputs as Limits

Asked = tuple[str, tuple[str, ...]]  # the folder that a command names, and what is asked for
Kept = Mapping[Asked, Tree]


class Snapshots:
    """`home` is the scheduler's own folder, from which nothing is given but the folders of tasks."""

    def __init__(self, inputs: Inputs, limits: Limits, home: str) -> None:
        self._inputs, self._limits, self._home = inputs, limits, os.path.realpath(home)

    @asynccontextmanager
    async def taken(self, caller: Caller, specs: Iterable[TaskSpec], known: Environments) -> AsyncGenerator[Kept]:
        """Keep what the specs, and what undoes them, ask for, for the time of a submission. Equal ones once."""
        asked = dict.fromkeys(asked for spec in specs for asked in _asked_by(spec))
        if not asked:
            yield {}
            return
        environment = known.get(caller.environment)
        rules = self._rules(caller, environment)
        taken: list[str] = []
        kept: dict[Asked, Tree] = {}
        try:
            for cwd, wanted in asked:
                base = folder_of(cwd or None, environment)
                files = await asyncio.to_thread(gather, wanted, base, rules)
                kept[cwd, wanted] = await self._inputs.take(files, taken)
            yield kept
        finally:
            self._inputs.let_go(taken)

    @asynccontextmanager
    async def held(self, tasks: Collection[NewTask]) -> AsyncGenerator[None]:
        """While these are handed in. A hand-in that was cancelled may still be carried out: its files stay, and are
        swept at the next start if it was not."""
        trees = {item.task.id: item.task.extras.inputs for item in tasks if item.task.extras.inputs}
        if not trees:
            yield
            return
        await self._inputs.hold(trees)
        try:
            yield
        except errors.SchedulerError:
            self._inputs.release(trees)
            raise

    def _rules(self, caller: Caller, environment: Environment) -> Rules:
        roots = (environment.cwd, *self._limits.allow)
        return Rules(
            tuple(os.path.realpath(os.path.expanduser(root)) for root in roots),
            caller.any_command,
            self._home,
            f"{self._home}/tasks",
            self._limits.task_files,
        )


def asked_of(spec: TaskSpec) -> Asked | None:
    """What a spec asks for; `InvalidRequest` where that cannot be."""
    if not spec.inputs:
        return None
    if spec.function is None and spec.command is None:
        raise errors.InvalidRequest("`inputs` belongs to a function or a command.", hint="Leave it out.")
    if spec.recurs:
        raise errors.InvalidRequest(
            "`inputs` are read once, at submission, and this task recurs.",
            hint="Leave it out: have each occurrence read the files themselves.",
        )
    return spec.cwd or "", spec.inputs


def _asked_by(spec: TaskSpec) -> list[Asked]:
    undo = compensation_of(spec) if "inputs" in (spec.on_failure or ()) else None
    return [asked for one in (spec, undo) if one is not None and (asked := asked_of(one)) is not None]
