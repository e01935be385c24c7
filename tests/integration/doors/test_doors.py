"""The engine's side of the doors, over a real socket: who comes in, who does not, and what an engine knows of them."""

# The tests look at files between two steps; nothing else runs on their loops meanwhile.
# ruff: noqa: ASYNC240

import asyncio
import json
import os
import resource
import socket
import stat
import struct
import tempfile
from pathlib import Path

import pytest

from mcp_scheduler._version import __version__
from mcp_scheduler.hello import environment_key, make_hello
from mcp_scheduler.home import Home
from mcp_scheduler.server import doors as doors_module
from mcp_scheduler.server import hello as hello_module
from mcp_scheduler.server.doors import Doors

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def home():
    with tempfile.TemporaryDirectory(prefix="doors-") as folder:
        yield Home(folder)


class Guests:
    """Doors that are served by an echo, and remembers who came."""

    def __init__(self, home, **options):
        self.met = []
        self.left_for = 0
        self.doors = Doors(home, {"mcp": self.serve, "owner": self.fail}, hand_over=self.leave, **options)

    def leave(self):
        self.left_for += 1

    async def serve(self, door):
        self.met.append(door)
        while line := await door.reader.readline():
            door.writer.write(line.upper())

    async def fail(self, door):
        raise RuntimeError("this door's server is broken")


@pytest.fixture
async def guests(home):
    guests = Guests(home)
    await guests.doors.listen()
    yield guests
    await guests.doors.close()


async def knock(home, line):
    """Connect and say `line` (a hello's dictionary or bytes); reader and writer."""
    reader, writer = await asyncio.open_unix_connection(home.engine_address())
    writer.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
    return reader, writer


def open_forever(files):
    while True:
        files.append(os.open("/dev/null", os.O_RDONLY))


async def told(home, line):
    """What the engine answers first."""
    reader, writer = await knock(home, line)
    answer = json.loads(await asyncio.wait_for(reader.readline(), 10))
    writer.close()
    return answer


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - conditions of many kinds, none of which has an event
            await asyncio.sleep(0)


async def test_a_welcome_and_then_the_bytes_of_the_client(home, guests):
    reader, writer = await knock(home, make_hello("mcp", principal="me", commands=["python *"]))
    writer.write(b"hi\n")
    welcome = json.loads(await reader.readline())
    assert welcome == {"mcp_scheduler": 1, "engine": {"pid": os.getpid(), "version": __version__, "embedded": False}}
    assert await reader.readline() == b"HI\n"
    assert len(guests.doors.open_doors) == 1
    assert not guests.doors.none_open.is_set()
    writer.close()
    await asyncio.wait_for(guests.doors.none_open.wait(), 10)


async def test_a_door_knows_who_came_and_what_it_may_do(home, guests):
    hello = make_hello("mcp", principal="me", client="x", commands=["python *"], environ={"PATH": "/bin"})
    await told(home, hello)
    await until(lambda: guests.met)
    (door,) = guests.met
    assert (door.id, door.principal, door.client, door.speak) == (hello["door"], "me", "x", "mcp")
    assert (door.version, door.resumed, door.attempt, door.pid) == (__version__, False, "", os.getpid())
    assert (door.grant.any_command, door.grant.commands, door.grant.nested) == (False, ("python *",), False)
    assert door.environment.key == environment_key(hello["environment"])
    assert door.environment.cwd == str(Path.cwd())
    assert door.environment.variables == {"PATH": "/bin"}


async def test_equal_environments_have_equal_keys_and_others_have_not():
    one = {"python": "/p", "cwd": "/", "path": ["/a"], "functions": [], "variables": {"A": "1", "B": "2"}}
    same = {"variables": {"B": "2", "A": "1"}, "functions": [], "path": ["/a"], "cwd": "/", "python": "/p"}
    assert environment_key(one) == environment_key(same)
    assert len(environment_key(one)) == 16
    for name, value in (("python", "/q"), ("path", []), ("functions", ["x.py"]), ("variables", {"A": "1"})):
        assert environment_key(one | {name: value}) != environment_key(one)


@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        (b"not json\n", "invalid_request", "not a hello"),
        (b"\xff\xfe\n", "invalid_request", "not a hello"),
        (b"[" * 5000 + b"\n", "invalid_request", "not a hello"),
        (b'{"jsonrpc": "2.0"}\n', "invalid_request", "not a hello"),
        (b"x" * (1024 * 1024 + 1) + b"\n", "too_large", "at most"),
        ({"mcp_scheduler": 2}, "invalid_request", "protocol 2"),
        ({"mcp_scheduler": 1, "speak": "klingon"}, "invalid_request", "klingon"),
        ({"mcp_scheduler": 1, "speak": 5}, "invalid_request", "'speak'"),
        ({"mcp_scheduler": 1, "speak": "mcp", "grant": []}, "invalid_request", "'grant'"),
        ({"mcp_scheduler": 1, "speak": "mcp", "grant": {"commands": [1]}}, "invalid_request", "'commands'"),
        ({"mcp_scheduler": 1, "speak": "mcp", "environment": {"variables": {"A": 1}}}, "invalid_request", "'A'"),
        ({"mcp_scheduler": 1, "speak": "mcp", "attempt": "train.1"}, "not_allowed", "train.1"),
    ],
)
async def test_a_bad_hello_is_refused_with_what_is_wrong_and_hurts_nobody(home, guests, line, code, word):
    error = (await told(home, line))["error"]
    assert (error["code"], word in error["message"]) == (code, True)
    assert "engine" in await told(home, make_hello("mcp"))


async def test_a_hello_that_never_comes_is_not_waited_for(home, guests, monkeypatch):
    monkeypatch.setattr(hello_module, "HELLO_TIME", 0.05)
    assert "No hello" in (await told(home, b'{"mcp_'))["error"]["message"]
    reader, writer = await knock(home, b"half a hello")
    writer.write_eof()
    assert "ended" in json.loads(await reader.readline())["error"]["message"]
    writer.close()


async def test_a_client_that_leaves_at_once_is_forgotten(home, guests):
    for line in (b"", b"{", json.dumps(make_hello("mcp")).encode() + b"\n"):
        _, writer = await knock(home, line)
        writer.transport.abort()
    await told(home, make_hello("mcp"))
    await asyncio.wait_for(guests.doors.none_open.wait(), 10)
    await until(lambda: not guests.doors._connections)


async def test_an_attempts_process_comes_in_where_its_grant_or_the_engine_allows_it(home, guests):
    hello = make_hello("mcp", environ={"MCP_SCHEDULER_COOKIE": "w3:abc"})
    assert "error" in await told(home, hello)
    assert "engine" in await told(home, hello | {"grant": {"nested": True}})


async def test_another_user_is_refused(home, guests, monkeypatch):
    def stranger(self, level, option, size):
        return struct.pack("3i", 77, 4321, 4321)

    monkeypatch.setattr(asyncio.trsock.TransportSocket, "getsockopt", stranger)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    reader, writer = await asyncio.open_unix_connection(home.file("engine.sock"))
    assert json.loads(await reader.readline())["error"]["code"] == "not_allowed"
    writer.close()


async def test_a_server_that_raises_closes_its_own_door_only(home, guests):
    reader, writer = await knock(home, make_hello("owner"))
    assert "engine" in json.loads(await reader.readline())
    assert await reader.read() == b""
    writer.close()
    assert "engine" in await told(home, make_hello("mcp"))
    await asyncio.wait_for(guests.doors.none_open.wait(), 10)


async def test_the_socket_is_the_users_alone_and_goes_with_the_engine(home):
    Path(home.engine_address()).touch()  # what a killed engine leaves behind
    guests = Guests(home)
    await guests.doors.listen()
    assert stat.S_IMODE(Path(home.engine_address()).stat().st_mode) == 0o600
    assert home.newest()["version"] == __version__
    reader, writer = await knock(home, make_hello("mcp"))
    await reader.readline()
    await guests.doors.close()
    assert await reader.read() == b""
    writer.close()
    assert not Path(home.engine_address()).exists()
    assert not guests.doors.open_doors


async def test_a_socket_that_somebody_removes_is_made_again_and_open_doors_stay_open(home, monkeypatch):
    monkeypatch.setattr(doors_module, "LOOK", 0.01)
    Path(home.file("engine.lock")).touch()
    guests = Guests(home)
    await guests.doors.listen()
    reader, writer = await knock(home, make_hello("mcp"))
    await reader.readline()
    Path(home.engine_address()).unlink()
    await until(Path(home.engine_address()).exists)
    assert stat.S_IMODE(Path(home.engine_address()).stat().st_mode) == 0o600
    assert "engine" in await told(home, make_hello("mcp"))
    writer.write(b"still here\n")
    assert await reader.readline() == b"STILL HERE\n"
    writer.close()
    await guests.doors.close()
    assert not Path(home.engine_address()).exists()


async def test_where_the_whole_home_is_removed_no_socket_is_made_for_nobody(home, monkeypatch):
    monkeypatch.setattr(doors_module, "LOOK", 0)
    guests = Guests(home)
    await guests.doors.listen()
    Path(home.engine_address()).unlink()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not Path(home.engine_address()).exists()
    await guests.doors.close()


async def test_an_engine_that_is_leaving_sends_newcomers_to_the_next(home, guests):
    reader, writer = await knock(home, make_hello("mcp"))
    await reader.readline()
    guests.doors.stop_accepting()
    assert (await told(home, make_hello("mcp")))["error"]["code"] == "shutting_down"
    writer.write(b"still here\n")
    assert await reader.readline() == b"STILL HERE\n"
    writer.close()


async def test_only_a_newer_program_can_ask_an_engine_to_leave(home, guests):
    for version in ("", "0.0.1", __version__):
        answer = await told(home, make_hello("mcp") | {"version": version, "hand_over": True})
        assert answer["error"]["code"] == "conflict"
    assert guests.left_for == 0
    reader, writer = await knock(home, make_hello("mcp") | {"version": "99.0", "hand_over": True})
    assert "engine" in json.loads(await reader.readline())
    assert guests.left_for == 1
    assert not guests.doors.open_doors  # that connection is no reason to stay
    await guests.doors.close()
    assert await reader.read() == b""
    writer.close()


async def test_an_embedded_engine_is_not_handed_over(home):
    guests = Guests(home, embedded=True)
    await guests.doors.listen()
    answer = await told(home, make_hello("mcp") | {"version": "99.0", "hand_over": True})
    assert answer["error"]["code"] == "conflict"
    assert (await told(home, make_hello("mcp")))["engine"]["embedded"] is True
    await guests.doors.close()


async def test_without_file_descriptors_the_engine_pauses_and_goes_on(home, guests, caplog):
    """Clients wait in the kernel's queue while the engine has no descriptor left, and are served when it has. That is
    told once, without a traceback."""
    clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(client.fileno() for client in clients)
    spare = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        with pytest.raises(OSError, match="Too many open files"):
            open_forever(spare)
        for client in clients:
            client.connect(home.engine_address())
            client.sendall(json.dumps(make_hello("mcp")).encode() + b"\n")
        await until(lambda: caplog.records)
        assert guests.met == []
    finally:
        for file in spare:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: len(guests.met) == 3)
    for client in clients:
        client.close()
    [told_once] = caplog.records
    assert "Nobody can open a door: [Errno 24] Too many open files" in told_once.getMessage()
    assert told_once.exc_info is None


async def test_a_hundred_doors_at_once_are_served(home, guests):
    answers = await asyncio.gather(*(told(home, make_hello("mcp")) for _ in range(100)))
    assert all("engine" in answer for answer in answers)


async def test_a_message_of_the_relays_limit_passes(home, guests):
    reader, writer = await knock(home, make_hello("mcp"))
    await reader.readline()
    reader._limit = doors_module.LINE_LIMIT
    line = b"x" * (16 * 1024 * 1024) + b"\n"
    writer.write(line)
    assert len(await reader.readline()) == len(line)
    writer.close()
