"""While the adaptive policy is in force: remember what has ended, and ask which order would have been best.

What it follows, and why, is kept among the store's settings: the next engine goes on with it, though the history that
it came from is gone. A person who chooses a policy, this one included, lets it begin anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Iterable
from itertools import chain
from typing import Final

from mcp_scheduler import errors
from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import Ended, PolicyChosen
from mcp_scheduler.core.slots import Room
from mcp_scheduler.core.task import Kind
from mcp_scheduler.policies.adaptive import CANDIDATES, Adaptive, choose
from mcp_scheduler.policies.catalogue import Policies
from mcp_scheduler.ports import Store
from mcp_scheduler.runtime.loop import Loop
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.replay import halves, measure
from mcp_scheduler.simulation.trace import Machine

HISTORY: Final = 1000  # tasks that have ended
ENOUGH: Final = 200  # new ones since the last comparison
EVERY: Final = 300.0  # seconds between two looks at whether there are
_SETTING: Final = "adaptive"
log = logging.getLogger("mcp_scheduler.policy")


class Adapting:
    """Listens to commits; `run` compares until it is cancelled."""

    def __init__(self, cluster: Cluster, loop: Loop, policies: Policies, store: Store) -> None:
        self.history: deque[Job] = deque(maxlen=HISTORY)
        self._cluster = cluster
        self._loop = loop
        self._policies = policies
        self._store = store
        self._fresh = 0

    def committed(self, changes: Changes) -> None:
        """Remember what has succeeded. Nothing is kept while another policy is in force."""
        if self._cluster.policy.name != "adaptive":
            return
        for ended in changes.ended:
            job = self._job(ended)
            if job is not None:
                self.history.append(job)
                self._fresh += 1

    def _job(self, ended: Ended) -> Job | None:
        task = self._cluster.tasks.get(ended.attempt.task)
        if task is None or ended.outcome.reason is not None or task.terms.kind is Kind.LEASE:
            return None
        expected = self._cluster.expected(task)
        return Job(
            task.id,
            max(task.submitted_at, task.start_after),
            max(ended.outcome.seconds, 1e-6),
            task.terms.needs,
            requested=None if expected is None else expected.median,
            priority=task.status.priority,
            principal=task.terms.principal,
            kind=task.terms.kind,
            target=task.terms.target,
            deadline=task.deadline,
        )

    async def run(self) -> None:
        """Compare now and then, for as long as the engine lives."""
        while True:
            await asyncio.sleep(EVERY)
            if self._fresh >= ENOUGH and isinstance(self._cluster.policy, Adaptive):
                await self.compare()

    async def compare(self) -> None:
        """Replay what has ended under each candidate, in a thread, and follow the winner."""
        current = self._cluster.policy
        if not isinstance(current, Adaptive):
            return
        self._fresh = 0
        jobs = list({job.id: job for job in self.history}.values())
        names = dict.fromkeys(chain((current.inner.name,), CANDIDATES))
        older, newer = halves(jobs, _machines(self._cluster.rooms.values()))
        policies = {name: self._policies.find(name) for name in names}
        first = await asyncio.to_thread(measure, older, policies)
        second = await asyncio.to_thread(measure, newer, policies)
        name, why = choose(current.inner.name, first, second)
        told = f"{len(jobs)} ended tasks were replayed: {why}"
        if self._cluster.policy is current:
            await self._store.set_setting(_SETTING, json.dumps({"policy": name, "why": told}))
        if self._cluster.policy is not current:
            return  # a person has chosen another one meanwhile
        if name != current.inner.name:
            log.warning("The adaptive policy follows %s from now on. %s", name, told)
        await self._loop.ask(PolicyChosen(Adaptive(policies[name], told)))


async def followed(store: Store, policies: Policies) -> Adaptive | None:
    """As the last engine has left it; None where nothing was compared since it was chosen. A policy that is not there
    any more (a plug-in was removed) is told, and it begins anew."""
    kept = json.loads(await store.setting(_SETTING) or "{}")
    if not kept:
        return None
    try:
        inner = policies.find(kept["policy"])
    except errors.InvalidRequest as error:
        log.warning("The adaptive policy begins anew: %s", error)
        return None
    return Adaptive(inner, f"{kept['why']} (found before the engine was started anew)")


async def begin_anew(store: Store) -> None:
    """What was followed so far says nothing any more."""
    await store.set_setting(_SETTING, "")


def _machines(rooms: Iterable[Room]) -> list[Machine]:
    """The nodes as they are, empty."""
    return [Machine(room.node, tuple(state.seen for state in room.devices.ordered)) for room in rooms]
