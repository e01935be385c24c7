"""The programs around an engine: as a process of its own, inside a client's stdio process, in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import shlex
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from mcp_scheduler import options
from mcp_scheduler.engine import Engine
from mcp_scheduler.errors import SchedulerError
from mcp_scheduler.home import DoorError, EngineLock, Home
from mcp_scheduler.idleness import LOOKS, Idleness
from mcp_scheduler.server import http
from mcp_scheduler.server.doors import Doors
from mcp_scheduler.server.owner import serve_owner
from mcp_scheduler.server.session import preload, serve_mcp
from mcp_scheduler.server.stdio import guest_of, serve_stdio
from mcp_scheduler.server.tokens import read_or_make_token, token_authenticator
from mcp_scheduler.server.tools import Toolbox

log = logging.getLogger("mcp_scheduler.engine")


async def attend(engine: Engine, home: Home, toolbox: Toolbox, *, embedded: bool = False) -> Doors:
    """Open the socket of an engine's home for MCP clients and owners."""
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
    return _run(_engine(home, lock))


def main_embedded(home: Home, hello: dict[str, Any]) -> int:
    """Engine and stdio door in one process; where the home is served already, a relay like any other."""
    home.prepare()
    lock = EngineLock.take(home)
    if lock is None:
        from mcp_scheduler import relay  # noqa: PLC0415 - the other road

        return relay.main(home, hello)
    return _run(_embedded(home, lock, hello))


def main_serve(words: Sequence[str]) -> int:
    """`mcp-scheduler serve`: the engine in the foreground, with streamable HTTP."""
    parser = argparse.ArgumentParser("mcp-scheduler serve", description=main_serve.__doc__, add_help=False)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    own, rest = parser.parse_known_args(words)
    try:
        chosen = options.parse(rest)
        hello = chosen.hello("mcp")
        home = Home.find(chosen.home)
        home.prepare()
    except (options.UsageError, DoorError) as error:
        sys.stderr.write(f"mcp-scheduler serve: {error}\n")
        return 2
    lock = EngineLock.take(home, wait=1.0)
    if lock is None:
        sys.stderr.write(f"Another engine serves {home.path}. End it with `mcp-scheduler stop`, then say this again.\n")
        return 3
    given = {name: value for name, value in (("host", own.host), ("port", own.port)) if value is not None}
    return _run(_serve(home, lock, hello, given))


def _shell_command(home: Home) -> str:
    """How an agent's shell calls the command line so that it meets this home."""
    if home.path == Home.find(environ={"HOME": os.environ.get("HOME", "")}).path:
        return "mcp-scheduler"
    return f"MCP_SCHEDULER_HOME={shlex.quote(home.path)} mcp-scheduler"


def tune() -> None:
    """Set this process up for many small objects and two threads that hand over often. For processes of our own; a
    program that runs the engine inside may call it, too.

    The collector's defaults walk through young objects every 700 allocations, which is every dozen tasks; where it
    seldom comes by, what an MCP request leaves behind in circles adds up to megabytes. And the interpreter's 5 ms
    between two threads are an eternity beside a commit, which hands over at each of its statements.
    """
    gc.freeze()
    gc.set_threshold(5_000, 20, 50)
    sys.setswitchinterval(0.0001)


def _run(engine: Coroutine[Any, Any, int]) -> int:
    """Everything is told on stderr: standard output belongs to the protocol."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("mcp_scheduler").setLevel(logging.INFO)
    tune()
    gc.enable()  # off while the engine process loads its modules
    try:
        return asyncio.run(engine)
    except SchedulerError as error:
        log.error("%s", error)  # noqa: TRY400 - the text is the message for the door that started us
        return 1


async def _engine(home: Home, lock: EngineLock) -> int:
    async with await Engine.open(home, lock) as engine:
        toolbox = Toolbox(engine.service, command=_shell_command(home))
        doors = await attend(engine, home, toolbox)
        beside = [
            asyncio.create_task(preload(), name="preload"),
            asyncio.create_task(_leave_when_idle(engine, doors), name="idle"),
        ]
        await _until_over(engine, doors, beside)
    return 0


async def _serve(home: Home, lock: EngineLock, hello: dict[str, Any], given: dict[str, Any]) -> int:
    async with await Engine.open(home, lock) as engine:
        settings = engine.settings.http.model_copy(update=given)
        http.check_bind(settings.host, has_authenticator=False, allowed_hosts=settings.allowed_hosts)
        toolbox = Toolbox(engine.service, command=_shell_command(home))
        doors = await attend(engine, home, toolbox)
        token_file = Path(home.file("http.token"))
        authenticator = token_authenticator(read_or_make_token(token_file))
        guest = guest_of(engine.service, hello)
        app = http.http_app(
            toolbox,
            authenticator,
            host=settings.host,
            allowed_hosts=settings.allowed_hosts,
            allowed_origins=settings.allowed_origins,
            guest=guest,
        )
        sock = http.listen(settings.host, settings.port)
        host, port = sock.getsockname()[:2]
        async with http.serve_http(app, sock):
            sys.stderr.write(f"Serving MCP at http://{host}:{port}{http.PATH}; the bearer token is in {token_file}\n")
            await _until_over(engine, doors, [])
    return 0


async def _embedded(home: Home, lock: EngineLock, hello: dict[str, Any]) -> int:
    async with await Engine.open(home, lock, embedded=True) as engine:
        toolbox = Toolbox(engine.service, command=_shell_command(home))
        doors = await attend(engine, home, toolbox, embedded=True)
        client = asyncio.create_task(serve_stdio(toolbox, hello), name="stdio")
        client.add_done_callback(lambda _: engine.over.set())
        await _until_over(engine, doors, [client])
    return 0


async def _until_over(engine: Engine, doors: Doors, beside: Sequence[asyncio.Task[None]]) -> None:
    """The life of an engine process. At its end nobody new is let in, and answers that are ready go out first."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(name, engine.over.set)
    logging.getLogger("mcp_scheduler").setLevel(engine.settings.engine.log_level)
    log.info("engine ready")
    await engine.over.wait()
    doors.stop_accepting()
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    await doors.close()
    log.info("engine ends")


async def _leave_when_idle(engine: Engine, doors: Doors) -> None:
    """End the engine when no door has been open and nothing unfinished for the idle time."""
    pause = engine.settings.engine.idle_exit / LOOKS
    idleness = Idleness()
    while True:
        await doors.none_open.wait()
        await asyncio.sleep(pause)
        is_busy = not doors.none_open.is_set() or engine.has_reason_to_stay()
        if idleness.look(visits=doors.visits, is_busy=is_busy):
            log.info("No door is open and nothing is to be done: the engine leaves.")
            engine.over.set()
            return
