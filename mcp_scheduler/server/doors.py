"""The engine's side of its doors: listen on the socket, check who knocks, read the hello, say welcome.

What is spoken behind the welcome is not this file's business: the connection goes to a callback by what it speaks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from mcp_scheduler._version import __version__
from mcp_scheduler.errors import Conflict, InvalidRequest, NotAllowed, SchedulerError, ShuttingDown
from mcp_scheduler.hello import PROTOCOL
from mcp_scheduler.home import Home, version_key
from mcp_scheduler.server.hello import Door, check_peer, first_line, parse, read_door
from mcp_scheduler.start import package_folder

LINE_LIMIT: Final = 16 * 1024 * 1024 + 1024  # bytes of a message behind the welcome; the relay sends no longer ones
BACKLOG: Final = 512  # connections the kernel holds while the loop is busy
LOOK: Final = 1.0  # seconds between two looks whether the socket is still where clients look for it

_log = logging.getLogger(__name__)


Serve = Callable[[Door], Awaitable[None]]


class Doors:
    """The socket of a home whose lock is held. `none_open` is set while no door is open; `visits` counts the doors that
    were ever opened.

    `serve[speak](door)` runs as long as the door is open; when it returns, or raises, the door is closed.
    """

    def __init__(
        self,
        home: Home,
        serve: Mapping[str, Serve],
        *,
        embedded: bool = False,
        nested: bool = False,
        hand_over: Callable[[], None] | None = None,
    ) -> None:
        """`nested` lets processes of attempts open doors. `hand_over` is called once a newer program has asked this
        engine to leave; without it, or `embedded`, such a request is refused."""
        self.none_open = asyncio.Event()
        self.none_open.set()
        self.open_doors: set[Door] = set()
        self.visits = 0
        self._home = home
        self._serve = serve
        self._embedded = embedded
        self._nested = nested
        self._hand_over = hand_over
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._address = Path()
        self._connections: set[asyncio.Task[None]] = set()
        self._closing = False

    async def listen(self) -> None:
        """Bind the socket (0600) and accept from now on; this engine becomes the home's newest, if it is."""
        self._address = Path(self._home.socket_folder()) / "engine.sock"
        await self._bind()
        self._keeping = asyncio.create_task(self._keep_address(), name="socket")
        try:
            self._home.record_newest(__version__, sys.executable, package_folder())
        except OSError as error:  # a full disk: an older program that starts next then starts its own engine
            _log.warning("It could not be noted that this engine is the newest of its home: %s", error)

    def stop_accepting(self) -> None:
        """Who knocks from now on is told to come back: the next engine will answer. Open doors stay open."""
        self._closing = True

    async def close(self) -> None:
        """Close the socket and every door; returns when all `serve` calls have ended."""
        self._closing = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._listener is not None:
            await self._unbind()
            _remove(self._address)
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bind(self) -> None:
        self._listener = _bound(self._address)
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._accepting = asyncio.create_task(self._accept_all(self._listener), name="doors")

    async def _unbind(self) -> None:
        """Accept nobody any more; doors that are open stay open."""
        assert self._accepting is not None
        assert self._listener is not None
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._listener.close()

    async def _accept_all(self, listener: socket.socket) -> None:
        """Where there are no file descriptors left, those who knock wait: that is told once, and tried again. (A server
        of asyncio tells it once for each connection that the kernel would hold, with a traceback.)"""
        trouble = ""
        while True:
            try:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError as error:
                if str(error) != trouble:
                    _log.warning("Nobody can open a door: %s. Those who knock wait.", error)
                trouble = str(error)
                await asyncio.sleep(LOOK)
                continue
            trouble = ""
            task = asyncio.create_task(self._open(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LINE_LIMIT)
        except OSError as error:  # it has gone already
            connection.close()
            _log.debug("A client left at once: %s", error)
            return
        await self._accept(reader, writer)

    async def _keep_address(self) -> None:
        """Whoever tidies up may remove the socket of a living engine. No client would find it any more, and none could
        start another: so it is made again. Where the home itself is gone there is nothing to keep."""
        trouble = ""
        while True:
            await asyncio.sleep(LOOK)
            if not self._is_lost():
                continue
            await self._unbind()  # nobody can reach it
            try:
                await self._bind()
            except OSError as error:
                if str(error) != trouble:  # told once, not each second
                    _log.warning("The socket %s is gone, and cannot be made again: %s", self._address, error)
                trouble = str(error)
            else:
                _log.warning("The socket %s was gone; it has been made again.", self._address)
                trouble = ""

    def _is_lost(self) -> bool:
        """The socket is gone, and the home is not."""
        return not self._address.exists() and os.path.lexists(self._home.file("engine.lock"))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._attend(reader, writer)
        except ConnectionError:
            _log.debug("A client left in the middle.")
        except asyncio.CancelledError:
            if not self._closing:
                raise
        except Exception:  # noqa: BLE001 - one door's failure is not the others'
            _log.exception("A door failed.")
        finally:
            writer.close()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            door, leave = await self._admit(reader, writer)
        except SchedulerError as error:
            refusal = {"code": error.code, "message": error.message, "hint": error.hint}
            _send(writer, error=refusal)
            return
        _send(writer, engine={"pid": os.getpid(), "version": __version__, "embedded": self._embedded})
        if leave is None:
            await self._keep(door)
            return
        leave()
        await reader.read()  # the end of this connection tells the newer program that the home is free

    async def _admit(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[Door, Callable[[], None] | None]:
        """The door that is asked for, and, if it is asked that this engine leaves, what makes it leave."""
        pid = check_peer(writer)
        hello = parse(await first_line(reader))
        if self._closing:
            raise ShuttingDown
        door = read_door(hello, pid, reader, writer)
        if hello.get("hand_over") is True:
            return door, self._way_out(door)
        if door.speak not in self._serve:
            raise InvalidRequest(f"Nobody here speaks {door.speak!r}.", hint=f"Speak one of {sorted(self._serve)}.")
        if door.attempt and not (self._nested or door.grant.nested):
            raise NotAllowed(
                f"A process of task attempt {door.attempt} may not use the scheduler.",
                hint="Let the client that submitted the task submit what shall follow it.",
            )
        return door, None

    def _way_out(self, door: Door) -> Callable[[], None]:
        if self._embedded or self._hand_over is None:
            raise Conflict("This engine lives inside another program and cannot be handed over.")
        if version_key(door.version) <= version_key(__version__):
            raise Conflict(f"This engine ({__version__}) is no older than {door.version or 'who asks'}.")
        return self._hand_over

    async def _keep(self, door: Door) -> None:
        self.open_doors.add(door)
        self.visits += 1
        self.none_open.clear()
        try:
            await self._serve[door.speak](door)
        finally:
            self.open_doors.discard(door)
            if not self.open_doors:
                self.none_open.set()


def _send(writer: asyncio.StreamWriter, **what: Any) -> None:
    writer.write(json.dumps({"mcp_scheduler": PROTOCOL} | what).encode() + b"\n")


def _bound(address: Path) -> socket.socket:
    _remove(address)  # a dead engine's: the lock is ours
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(address))
        address.chmod(0o600)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove(address: Path) -> None:
    address.unlink(missing_ok=True)
