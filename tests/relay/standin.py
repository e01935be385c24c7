"""A stand-in for the engine: the real lock and the real doors of a home, and behind them a toy protocol.

    python standin.py HOME [--version V] [--embedded] [--nested] [--broken] [--broken-while FILE]

It ends by SIGTERM or when it is handed over, and notes in HOME/notes what it saw, each line with its process id.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # an engine's environment has no PYTHONPATH

from mcp_scheduler.home import EXIT_LOCKED, EngineLock, Home
from mcp_scheduler.server import doors as doors_module
from mcp_scheduler.server.doors import Doors

HOME = Home(sys.argv[1])
MODERN = "io.modelcontextprotocol/protocolVersion"


def option(name, default=""):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


class Talk:
    """One MCP-like connection."""

    def __init__(self, door):
        self.door = door
        self.is_ready = False
        self.questions = {}

    def send(self, message):
        self.door.writer.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")

    async def run(self):
        async with asyncio.TaskGroup() as tasks:
            while line := await self.door.reader.readline():
                try:
                    message = json.loads(line)
                except (ValueError, RecursionError):
                    message = None
                if not isinstance(message, dict):
                    self.send({"method": "notifications/garbage", "params": {"size": len(line)}})
                    continue
                tasks.create_task(self.take(message))
            raise asyncio.CancelledError

    async def take(self, message):
        method, number = message.get("method"), message.get("id")
        if method is None:
            self.questions.pop(number).set_result(message)
        elif number is None:
            self.is_ready = self.is_ready or method == "notifications/initialized"
            if method == "notifications/cancelled":
                note("cancelled " + json.dumps(message["params"]["requestId"]))
        else:
            note("request " + json.dumps(number) + " " + method)
            self.send({"id": number, **await self.answer(method, message.get("params") or {})})
            await self.door.writer.drain()

    async def answer(self, method, params):
        if method == "initialize":
            return {"result": {"protocolVersion": params.get("protocolVersion", ""), "pid": os.getpid()}}
        if not self.is_ready and MODERN not in params.get("_meta", {}):
            return {"error": {"code": -32600, "message": "not initialized"}}
        if method == "wait_for_file":
            while not exists(params["file"]):  # noqa: ASYNC110 - the sign comes from another process
                await asyncio.sleep(0.005)
            return {"result": {"pid": os.getpid(), "seen": True}}
        if method == "subscriptions/listen":
            await asyncio.Event().wait()
        if method == "big":
            return {"result": "x" * params["size"]}
        if method == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if method == "ask":
            return {"result": await self.ask(params)}
        return {"result": {"pid": os.getpid(), "echo": params, "method": method}}

    async def ask(self, params):
        """Ask the client something; with `die_after_asking`, end before it can answer, once."""
        if params.get("die_after_asking") and first_time():
            self.send({"id": 1, "method": "elicitation/create", "params": {"message": "first"}})
            await self.door.writer.drain()
            os.kill(os.getpid(), signal.SIGKILL)
        self.questions[1] = asyncio.get_running_loop().create_future()
        self.send({"id": 1, "method": "elicitation/create", "params": {"message": "second"}})
        return (await self.questions[1])["result"]


def exists(path):
    return Path(path).exists()


def first_time():
    """True once in a home's life, whichever engine asks."""
    marker = Path(HOME.file("once"))
    is_first = not marker.exists()
    marker.touch()
    return is_first


def note(text):
    with Path(HOME.file("notes")).open("a") as file:
        file.write(f"{os.getpid()} {text}\n")


async def serve_mcp(door):
    note(f"door {door.id} resumed={door.resumed}")
    await Talk(door).run()


async def serve_owner(door):
    while line := await door.reader.readline():
        request = json.loads(line)
        method, params = request["method"], request.get("params", {})
        if method == "fail":
            error = {"code": -32000, "message": "No such task.", "data": {"code": "unknown_task", "facts": {"id": "a"}}}
            answer = {"error": error}
        elif method == "die" and first_time():
            os.kill(os.getpid(), signal.SIGKILL)
        elif method == "silence":
            continue
        else:
            progress = {"jsonrpc": "2.0", "method": "progress", "params": {"id": request["id"], "text": "half"}}
            door.writer.write(json.dumps(progress).encode() + b"\n")
            answer = {"result": {"pid": os.getpid(), "params": params, "resumed": door.resumed}}
        door.writer.write(json.dumps({"jsonrpc": "2.0", "id": request["id"]} | answer).encode() + b"\n")


async def main():
    leave = asyncio.Event()
    doors = Doors(
        HOME,
        {"mcp": serve_mcp, "owner": serve_owner},
        embedded="--embedded" in sys.argv,
        nested="--nested" in sys.argv,
        hand_over=leave.set,
    )
    await doors.listen()
    note("listens")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    await leave.wait()
    await doors.close()


if version := option("--version"):
    doors_module.__version__ = version
HOME.prepare()
lock = EngineLock.take(HOME, wait=1.0)
if lock is None:
    sys.exit(EXIT_LOCKED)
if "--broken" in sys.argv or exists(option("--broken-while", "/nowhere")):
    sys.exit("the database is on fire")
asyncio.run(main())
