"""The composition root: the one file that names concrete rooms, and the life of an engine from lock to last commit."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Self

from mcp_scheduler.collection import no_collection
from mcp_scheduler.core.breakers import Breakers
from mcp_scheduler.core.budget import RetryBudget
from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.energy import Watts
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.recurring import may_rest
from mcp_scheduler.core.task import Kind
from mcp_scheduler.executors.local.executor import LocalExecutor
from mcp_scheduler.executors.local.folders import Folders
from mcp_scheduler.executors.local.inputs import LocalInputs
from mcp_scheduler.executors.local.limits import Limits, idle_of
from mcp_scheduler.executors.local.outputs import LocalOutputs
from mcp_scheduler.forecast.anomalies import Anomalies
from mcp_scheduler.forecast.book import Book
from mcp_scheduler.forecast.durations import Durations
from mcp_scheduler.forecast.footprints import MemoryFootprints
from mcp_scheduler.home import EngineLock, Home
from mcp_scheduler.plugins import found_policies
from mcp_scheduler.policies.catalogue import Policies
from mcp_scheduler.runtime.accounts import Accounts
from mcp_scheduler.runtime.calendar import CronCalendar
from mcp_scheduler.runtime.clock import SystemClock
from mcp_scheduler.runtime.effects import Effects
from mcp_scheduler.runtime.leavings import Leavings
from mcp_scheduler.runtime.lessons import Lessons
from mcp_scheduler.runtime.loop import Loop
from mcp_scheduler.runtime.noticing import Noticing
from mcp_scheduler.runtime.payloads import Payloads
from mcp_scheduler.runtime.pooling import Pooling
from mcp_scheduler.runtime.training import Training
from mcp_scheduler.runtime.upkeep import Upkeep
from mcp_scheduler.runtime.watch import Watch
from mcp_scheduler.service import Service
from mcp_scheduler.service.adapting import Adapting
from mcp_scheduler.service.snapshots import Snapshots
from mcp_scheduler.settings import Pool, Queue, Settings, load
from mcp_scheduler.store.spot import Spot
from mcp_scheduler.store.sqlite import SqliteStore
from mcp_scheduler.telemetry.feed import GpuFeed
from mcp_scheduler.telemetry.host import HostSensor
from mcp_scheduler.telemetry.sampler import LoadSampler

log = logging.getLogger("mcp_scheduler.engine")

SOON = 3600.0  # seconds; the engine stays for an occurrence that is due within this time


class Engine:
    """One durable queue with its executor pool. Use as `async with await Engine.open(home, lock) as engine`.

    `service` is what every door calls. Closing finishes the commits under way; running work goes on in its own
    processes, and the next engine takes it over.
    """

    def __init__(self, home: Home, lock: EngineLock, settings: Settings, *, embedded: bool) -> None:
        self.settings = settings
        self.over = asyncio.Event()
        self._lock = lock
        path = Path(home.path)
        folders, pool = _folders(home, path), settings.pool
        self._clock = SystemClock()
        self._store = SqliteStore(path / "scheduler.db", Spot())
        self._sensor = HostSensor(pool, path)
        policies = _policies(settings.queue)
        self._cluster = Cluster(policies.find(settings.queue.policy))
        self._lessons = Lessons(self._store, _furnish(self._cluster, settings))
        self._cluster.watcher = self._anomalies = Anomalies()
        self._accounts = Accounts(self._cluster, self._store, self._clock, {"unusual": self._anomalies})
        outputs = LocalOutputs(folders)
        self._executor = LocalExecutor(
            folders,
            self._clock,
            limits_of(pool),
            visibility=lambda devices: self._gpus.visibility(devices) if pool.gpus or devices else {},
        )
        watch, payloads = Watch(), Payloads(self._store, outputs)
        # The loop is made of the effects: it is not there yet.
        effects = Effects(self._cluster, self._executor, payloads, self._clock, lambda event: self._loop.report(event))  # noqa: PLW0108
        self._loop = Loop(self._cluster, self._store, effects, self._clock, watch, settings.queue.batch_seconds)
        self._load = LoadSampler(self._sensor, self._loop.report, pool.memory_limit)
        self._gpus = GpuFeed.of(pool.devices, self._loop.report, self._executor.tenants, path, nvidia=pool.gpus)
        self._at_work = (0, 0)
        self._inputs = LocalInputs(folders.inputs, settings.inputs)
        self._leavings = Leavings(self._cluster, self._store, outputs)
        self._upkeep = Upkeep(
            self._cluster, self._store, outputs, self._inputs, self._clock, settings.queue, self._leavings.add
        )
        self._adapting = Adapting(self._cluster, self._loop, policies, self._store)
        self._tasks: list[asyncio.Task[None]] = []
        self.service = self._desk(policies, outputs, watch, path, embedded=embedded)
        self.service.on_stop = self.over.set
        self._listen()

    def _desk(self, policies: Policies, outputs: LocalOutputs, watch: Watch, path: Path, *, embedded: bool) -> Service:
        """The use cases, with all that they work with."""
        return Service(
            loop=self._loop,
            cluster=self._cluster,
            store=self._store,
            functions=self._executor,
            outputs=outputs,
            sensor=self._sensor,
            clock=self._clock,
            watch=watch,
            limits=self.settings.queue,
            policies=policies,
            home=path,
            snapshots=Snapshots(self._inputs, self.settings.inputs, str(path)),
            embedded=embedded,
            gpus=self._gpus,
            load=self._load,
            books=self._lessons.books,
            hangs=self._executor.frozen,
            watts=_watts(self.settings.pool),
        )

    def _listen(self) -> None:
        """Who hears what has happened; among them who looks for what is unusual, of which nothing is decided, and who
        lets the pool breathe."""
        self._loop.on_commit += [self._watch_gpus, self._adapting.committed, self._inputs.committed]
        self._loop.on_commit.append(self._leavings.committed)
        noticing = Noticing(self._cluster, self._anomalies, self._clock)
        self._loop.on_commit.append(noticing.committed)
        self._loop.on_progress.append(noticing.progressed)
        self._load.on_look.append(noticing.loaded)
        least = self.settings.pool.least_cpus
        pooling = Pooling(self._cluster, least, self._loop.report, self._clock, lambda: self._load.soon)
        self._loop.on_commit.append(pooling.committed)
        self._load.on_look.append(pooling.loaded)

    @classmethod
    async def open(cls, home: Home, lock: EngineLock, *, embedded: bool = False, **flags: Any) -> Self:
        """Start from what the home holds: read the queue, take over what runs, go on."""
        engine = cls(home, lock, load(Path(home.path), **flags), embedded=embedded)
        await engine._boot()
        return engine

    async def _boot(self) -> None:
        looking = asyncio.create_task(self._gpus.start(), name="first look at the GPUs")
        boot = await self._store.open()
        if not boot.clean:
            log.warning(
                "The last engine of this home did not close it: %d attempts were under way.", len(boot.attempts)
            )
        with no_collection():
            self._cluster.load(boot.tasks, boot.attempts, boot.next_seq, boot.latest)
        for state, count in (await self._store.counts()).items():
            self._cluster.gone[state] = count - self._cluster.counts[state]
        self._cluster.set_node(self._sensor.node())
        await self.service.environments.load({task.terms.environment for task in boot.tasks})
        await self._executor.start(self._loop.report)
        under_way = {attempt.id.task for attempt in boot.attempts}
        terms = {task.id: task.terms for task in boot.tasks if task.id in under_way}
        leases = {name for name, of in terms.items() if of.kind is Kind.LEASE}
        with_processes = [attempt for attempt in boot.attempts if attempt.id.task not in leases]
        await self._executor.recover(with_processes, terms)
        await self._inputs.sweep(self._store.tasks, {str(attempt.id) for attempt in with_processes})
        with no_collection():
            self._cluster.rebuild()
        await self.service.load_drains()
        await self.service.load_policy()
        await self.service.load_pause()
        await looking
        self._watch_gpus(Changes())
        kept = await self._store.forecasts()
        self._lessons.load(kept)
        self._accounts.take_up(kept)
        self._loop.stop_asked_again()
        self._loop.wake()
        self._tasks = [
            asyncio.create_task(self._guarded(self._loop.run()), name="loop"),
            asyncio.create_task(self._upkeep.run(), name="upkeep"),
            asyncio.create_task(self._leavings.run(), name="leavings"),
            asyncio.create_task(self._adapting.run(), name="adapting"),
            asyncio.create_task(self._lessons.run(), name="lessons"),
            asyncio.create_task(self._accounts.run(), name="accounts"),
            asyncio.create_task(self._load.run(), name="load"),
            asyncio.create_task(
                Training(self._lessons.books["seconds"], self.settings.forecasts.train_every).run(), name="training"
            ),
        ]

    def _watch_gpus(self, _changes: Changes) -> None:
        """While anything runs on devices they are looked at often, and at once when it begins or ends."""
        held, resting = len(self._cluster.rooms[LOCAL].devices.held), len(self._cluster.resting)
        if (held, resting) != self._at_work:
            self._at_work = (held, resting)
            self._gpus.changed(is_busy=held > resting)

    async def _guarded(self, running: Any) -> None:
        """A loop that has died must not leave an engine behind that accepts and never decides."""
        try:
            await running
        except Exception:
            log.exception("The engine's loop has failed; the engine ends, and the next one starts from the disk.")
            raise
        finally:
            self.over.set()

    def has_reason_to_stay(self) -> bool:
        """Unfinished work, other than what a person holds back, and what recurs and is not due soon."""
        return not may_rest(self._cluster, self._clock.now() + SOON)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish what is being written, close the store, let go of the home."""
        self._loop.stop()
        loop, *beside = self._tasks
        for task in beside:
            task.cancel()
        await asyncio.gather(loop, *beside, return_exceptions=True)
        await self._lessons.keep()
        await self._accounts.keep()
        await self._executor.close()
        await self._inputs.close()
        await self._gpus.close()
        await self._store.close()
        self._lock.release()


def _policies(queue: Queue) -> Policies:
    others, flaws = found_policies()
    return Policies(tau=queue.ageing, steepness=queue.steepness, quantum=queue.quantum, others=others, flaws=flaws)


def limits_of(pool: Pool) -> Limits:
    """What the settings say to the local executor."""
    return Limits(
        grace=pool.grace,
        head=pool.output_head,
        tail=pool.output_tail,
        idle=idle_of(pool.cpus),
        idle_seconds=pool.idle_workers,
        calls=pool.calls_per_worker,
        growth=pool.worker_growth,
    )


def _watts(pool: Pool) -> Watts:
    return Watts(pool.watts_idle, pool.watts_cpu, pool.watts_device_idle, pool.watts_device)


def _folders(home: Home, path: Path) -> Folders:
    return Folders(path / "attempts", path / "results", Path(home.socket_folder()) / "run", path / "tasks")


def _furnish(cluster: Cluster, settings: Settings) -> dict[str, Book]:
    """Give the cluster what it does not make itself: what the settings say, a calendar, and books to learn into."""
    cluster.warm_seconds = settings.pool.idle_workers
    queue, pool = settings.queue, settings.pool
    cluster.breakers = Breakers(pool.quarantine_after, pool.quarantine_seconds, pool.quarantine_longest)
    cluster.expires = queue.expire
    cluster.retry_budget = RetryBudget(queue.retry_share, queue.retries_per_minute, queue.retry_burst)
    cluster.calendar = CronCalendar()
    durations, footprints = Durations(), MemoryFootprints()
    cluster.forecasts, cluster.footprints = durations, footprints
    return {"seconds": durations.book, "memory": footprints.host, "device_memory": footprints.device}
