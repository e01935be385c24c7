"""The composition root: the one file that names concrete rooms, and the life of an engine from lock to last commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.states import State
from mcp_scheduler.errors import InvalidRequest, SchedulerError
from mcp_scheduler.executors.local.executor import LocalExecutor
from mcp_scheduler.executors.local.folders import Folders
from mcp_scheduler.executors.local.limits import Limits
from mcp_scheduler.executors.local.outputs import LocalOutputs
from mcp_scheduler.home import EngineLock, Home
from mcp_scheduler.policies.order import ORDERS
from mcp_scheduler.runtime.clock import SystemClock
from mcp_scheduler.runtime.effects import Effects
from mcp_scheduler.runtime.loop import Loop
from mcp_scheduler.runtime.payloads import Payloads
from mcp_scheduler.runtime.upkeep import Upkeep
from mcp_scheduler.runtime.watch import Watch
from mcp_scheduler.server.doors import Doors
from mcp_scheduler.service import Service
from mcp_scheduler.settings import Settings, load
from mcp_scheduler.store.sqlite import SqliteStore
from mcp_scheduler.telemetry.host import HostSensor

log = logging.getLogger("mcp_scheduler.engine")


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
        folders = Folders(path / "attempts", path / "results", Path(home.socket_folder()) / "run", path / "tasks")
        pool = settings.pool
        limits = Limits(
            grace=pool.grace,
            head=pool.output_head,
            tail=pool.output_tail,
            idle_seconds=pool.idle_workers,
            calls=pool.calls_per_worker,
            growth=pool.worker_growth,
        )
        self._clock = SystemClock()
        self._store = SqliteStore(path / "scheduler.db")
        self._sensor = HostSensor(pool)
        self._cluster = Cluster(_order(settings.queue.policy))
        outputs = LocalOutputs(folders)
        self._executor = LocalExecutor(folders, self._clock, limits)
        watch = Watch()
        effects = Effects(
            self._cluster,
            self._executor,
            Payloads(self._store, outputs),
            self._clock,
            lambda event: self._loop.report(event),  # noqa: PLW0108 - the loop is made of the effects
        )
        self._loop = Loop(self._cluster, self._store, effects, self._clock, watch)
        self._upkeep = Upkeep(self._store, outputs, self._clock, settings.queue)
        self.service = Service(
            loop=self._loop,
            cluster=self._cluster,
            store=self._store,
            functions=self._executor,
            outputs=outputs,
            sensor=self._sensor,
            clock=self._clock,
            watch=watch,
            limits=settings.queue,
            home=path,
            embedded=embedded,
        )
        self.service.on_stop = self.over.set
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, home: Home, lock: EngineLock, *, embedded: bool = False, **flags: Any) -> Self:
        """Start from what the home holds: read the queue, take over what runs, go on."""
        engine = cls(home, lock, load(Path(home.path), **flags), embedded=embedded)
        await engine._boot()
        return engine

    async def _boot(self) -> None:
        boot = await self._store.open()
        if not boot.clean:
            log.warning(
                "The last engine of this home did not close it: %d attempts were under way.", len(boot.attempts)
            )
        self._cluster.load(boot.tasks, boot.attempts)
        self.service.composer.next_seq = boot.next_seq
        self._cluster.set_node(self._sensor.node())
        await self.service.environments.load({task.terms.environment for task in boot.tasks})
        await self._executor.start(self._loop.report)
        terms = {task.id: task.terms for task in boot.tasks if task.status.state is State.RUNNING}
        await self._executor.recover(boot.attempts, terms)
        self._cluster.rebuild()
        self._loop.stop_asked_again()
        self._loop.wake()
        self._tasks = [
            asyncio.create_task(self._guarded(self._loop.run()), name="loop"),
            asyncio.create_task(self._upkeep.run(), name="upkeep"),
        ]

    async def _guarded(self, running: Any) -> None:
        """A loop that has died must not leave an engine behind that accepts and never decides."""
        try:
            await running
        except Exception:
            log.exception("The engine's loop has failed; the engine ends, and the next one starts from the disk.")
            raise
        finally:
            self.over.set()

    async def has_reason_to_stay(self) -> bool:
        """Unfinished work, other than what a person holds back."""
        return self._cluster.unfinished > self._cluster.counts[State.HELD]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish what is being written, close the store, let go of the home."""
        self._loop.stop()
        loop, upkeep = self._tasks
        upkeep.cancel()
        await asyncio.gather(loop, upkeep, return_exceptions=True)
        await self._executor.close()
        await self._store.close()
        self._lock.release()


def _order(name: str) -> Any:
    try:
        return ORDERS[name]
    except KeyError:
        raise InvalidRequest(f"There is no policy '{name}'.", hint=f"Choose one of {', '.join(ORDERS)}.") from None


async def attend(engine: Engine, home: Home, *, embedded: bool = False) -> Doors:
    """Open the socket of an engine's home for MCP clients and owners."""
    from mcp_scheduler.server.owner import serve_owner  # noqa: PLC0415 - not before the lock is ours
    from mcp_scheduler.server.session import serve_mcp  # noqa: PLC0415
    from mcp_scheduler.server.tools import Toolbox  # noqa: PLC0415

    toolbox = Toolbox(engine.service)
    doors = Doors(
        home,
        {"mcp": lambda door: serve_mcp(door, toolbox), "owner": lambda door: serve_owner(door, engine.service)},
        embedded=embedded,
        nested=engine.settings.engine.allow_nested,
        hand_over=None if embedded else engine.over.set,
    )
    engine.service.doors = lambda: len(doors.open_doors)
    await doors.listen()
    return doors


def main_engine(home: Home, lock: EngineLock) -> int:
    """The engine process: until it is stopped, or nobody needs it any more."""
    _log_to_stderr()
    try:
        return asyncio.run(_engine(home, lock))
    except SchedulerError as error:
        log.error("%s", error)  # noqa: TRY400 - the text is the message for the door that started us
        return 1


async def _engine(home: Home, lock: EngineLock) -> int:
    from mcp_scheduler.server.session import preload  # noqa: PLC0415 - pulls in the server room

    async with await Engine.open(home, lock) as engine:
        logging.getLogger("mcp_scheduler").setLevel(engine.settings.engine.log_level)
        _end_on_signals(engine)
        doors = await attend(engine, home)
        warm = asyncio.create_task(preload(), name="preload")
        leave = asyncio.create_task(_leave_when_idle(engine, doors), name="idle")
        log.info("engine ready home=%s", home.path)
        await engine.over.wait()
        doors.stop_accepting()
        for task in (warm, leave):
            task.cancel()
        await asyncio.gather(warm, leave, return_exceptions=True)
        await asyncio.sleep(0)  # answers that are ready go out first
        await doors.close()
    log.info("engine ends")
    return 0


def _end_on_signals(engine: Engine) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(name, engine.over.set)


async def _leave_when_idle(engine: Engine, doors: Doors) -> None:
    """End the engine when no door has been open and nothing unfinished for the idle time."""
    quiet = engine.settings.engine.idle_exit
    while True:
        await doors.none_open.wait()
        await asyncio.sleep(quiet)
        if doors.none_open.is_set() and not await engine.has_reason_to_stay():
            log.info("No door is open and nothing is to be done: the engine leaves.")
            engine.over.set()


def main_embedded(home: Home, hello: dict[str, Any]) -> int:
    """Engine and stdio door in one process; where the home is served already, a relay like any other."""
    from mcp_scheduler import relay  # noqa: PLC0415 - the other road

    home.prepare()
    lock = EngineLock.take(home)
    if lock is None:
        return relay.main(home, hello)
    _log_to_stderr()
    return asyncio.run(_embedded(home, lock, hello))


async def _embedded(home: Home, lock: EngineLock, hello: dict[str, Any]) -> int:
    from mcp_scheduler.server.stdio import serve_stdio  # noqa: PLC0415 - pulls in the SDK
    from mcp_scheduler.server.tools import Toolbox  # noqa: PLC0415

    async with await Engine.open(home, lock, embedded=True) as engine:
        _end_on_signals(engine)
        doors = await attend(engine, home, embedded=True)
        client = asyncio.create_task(serve_stdio(Toolbox(engine.service), hello), name="stdio")
        over = asyncio.create_task(engine.over.wait(), name="over")
        await asyncio.wait((client, over), return_when=asyncio.FIRST_COMPLETED)
        for task in (client, over):
            task.cancel()
        await asyncio.gather(client, over, return_exceptions=True)
        await doors.close()
    return 0


def main_serve(words: Sequence[str]) -> int:
    """`mcp-scheduler serve`: the engine in the foreground with streamable HTTP."""
    from mcp_scheduler.server.http import main  # noqa: PLC0415 - pulls in the web server

    return main(words)


def _log_to_stderr() -> None:
    """Everything is told on stderr: standard output belongs to the protocol."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("mcp_scheduler").setLevel(logging.INFO)
    with contextlib.suppress(OSError, ValueError):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
