"""The service: one method for each use case, the same for MCP, the CLI, HTTP and Python."""

from __future__ import annotations

import os
import sys

from mcp_scheduler import views
from mcp_scheduler._version import __version__
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.scoring import weight
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import MILLI
from mcp_scheduler.policies.guarded import Guarded
from mcp_scheduler.requests import Caller, Cancel, ListFunctions, Wait
from mcp_scheduler.service.alerts import alerts_of, distrust, pool_of
from mcp_scheduler.service.changing import Changing
from mcp_scheduler.service.choosing import Choosing
from mcp_scheduler.service.contention import things
from mcp_scheduler.service.devices import views_of
from mcp_scheduler.service.draining import Draining
from mcp_scheduler.service.foreseeing import Foreseeing
from mcp_scheduler.service.looking import Looking
from mcp_scheduler.service.pausing import Pausing
from mcp_scheduler.service.planning import Planning


class Service(Planning, Looking, Changing, Draining, Choosing, Pausing, Foreseeing):
    """The use cases. Every method is safe to cancel: what is durable stays, what is not has not happened."""

    async def load(self, caller: Caller) -> views.LoadView:  # noqa: ARG002 - every use case knows who asks
        """Nodes, what is reserved on them, how loaded they are."""
        watched = self._load if self._load is not None and self._load.load else None
        now = self._clock.now()
        load = dict(self._sensor.load() if watched is None else watched.load)
        nodes = tuple(
            views.NodeView(
                name=name,
                total={key: _units(key, amount) for key, amount in room.total.items()},
                reserved={key: _units(key, amount - room.free.get(key, 0)) for key, amount in room.total.items()},
                load=load,
                running=sum(attempt.node == name for attempt in self._cluster.attempts.values()),
                devices=views_of(room, self._cluster),
                soon=dict(watched.soon) if watched is not None and name == LOCAL else {},
                pool=pool_of(room),
                why=distrust(self._cluster, (name, ""), now),
                weight=weight(room),
            )
            for name, room in self._cluster.rooms.items()
        )
        alerts = [told for told in (self._loop.trouble, self._cluster.paused) if told]
        policy = self._cluster.policy
        trouble = policy.trouble if isinstance(policy, Guarded) else ""
        alerts += [trouble] if trouble else []
        alerts += self._gpus.alerts if self._gpus is not None else ()
        alerts += self._hangs.all() if self._hangs is not None else ()
        alerts += alerts_of(self._cluster, now)
        return views.LoadView(nodes, self._counts(), tuple(alerts), self._cluster.policy.name, things(self._cluster))

    async def functions(self, caller: Caller, request: ListFunctions) -> views.FunctionPage:
        """What the caller's environment offers."""
        known = (await self.composer.functions(caller.environment)).catalogue
        query = (request.query or "").lower()
        found = [entry for entry in known.functions if query in entry.name.lower() or query in entry.summary.lower()]
        shown = tuple(
            views.FunctionView(entry.name, entry.summary, dict(entry.parameters), dict(entry.options))
            for entry in found[: request.limit]
        )
        return views.FunctionPage(shown, len(found), known.problems, caller.environment)

    async def status(self, caller: Caller) -> views.EngineView:  # noqa: ARG002 - every use case knows who asks
        """The engine itself."""
        database = self._home / "scheduler.db"
        return views.EngineView(
            pid=os.getpid(),
            version=__version__,
            python=sys.executable,
            home=str(self._home),
            started_at=self._started_at,
            doors=self.doors(),
            counts=self._counts(),
            database_bytes=database.stat().st_size if database.exists() else 0,
            schema=self._store.schema,
            embedded=self._embedded,
            policy=self._cluster.policy.name,
            paused=self._cluster.paused,
        )

    async def stop(self, caller: Caller, *, force: bool = False) -> None:
        """End the engine. Running work goes on and is adopted by the next engine, unless `force` cancels it first."""
        if force:
            running = [task.id for task in self._cluster.tasks.values() if task.status.state is State.RUNNING]
            if running:
                await self.cancel(caller, Cancel(ids=running))
                await self.wait(caller, Wait(ids=running, timeout=30.0))
        self.on_stop()


def _units(name: str, amount: int) -> float:
    return float(amount) if name == "memory" else amount / MILLI
