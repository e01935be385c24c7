"""Client campaign: `python -m campaigns.clients --cancels 10000`.

Processes are frozen for longer than any limit and thawed again; clients close our output, never read, or take their
requests back at random. Whoever asks gets an answer that names what hangs, nothing is decided twice, and nothing
of those who have gone stays behind.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import anyio

from campaigns import raw
from campaigns.house import House, opened, strike
from campaigns.judge import Verdict, conclude, defects
from campaigns.trouble import Course
from mcp_scheduler.app import attend
from mcp_scheduler.engine import Engine
from mcp_scheduler.hello import capture_environment
from mcp_scheduler.home import EngineLock, Home
from mcp_scheduler.runtime.watch import Waiter
from mcp_scheduler.server.tools import Toolbox
from mcp_scheduler.vigil import FROZEN, QUIET

SETTINGS = {"MCP_SCHEDULER_POOL__CPUS": "3", "MCP_SCHEDULER_POOL__GRACE": "0.5", "MCP_SCHEDULER_POOL__GPUS": "false"}
LIMIT = 60.0  # seconds that anything may take on a busy machine
EXIT = 2.0  # seconds in which a relay without a client has to be gone
DOORS = 8
UNDER_WAY = 40  # requests of a door


# -- frozen


async def frozen_engine(house: House, course: Course) -> None:
    """SIGSTOP of the engine until both clients have their answer, SIGCONT; an ended task is as it was."""
    async with house.client("auto", "modern") as modern, house.client("legacy", "old") as old:
        task = await _submit(modern, "quick", "before", value=2)
        await modern.call_tool("wait_for_tasks", {"ids": [task], "timeout": 30})
        story = (await modern.call_tool("get_task", {"id": task, "detail": True})).structured_content
        pid = house.engine()
        assert pid is not None
        strike(pid, signal.SIGSTOP)
        texts: list[str] = []
        begun = time.monotonic()

        async def ask(client: Any) -> None:
            answer = await client.call_tool("get_task", {"id": task})
            texts.append(answer.content[0].text if answer.is_error else f"no error: {answer.content}")

        with anyio.move_on_after(LIMIT):
            async with anyio.create_task_group() as group:
                group.start_soon(ask, modern)
                group.start_soon(ask, old)
        course.figures["engine frozen: both clients have their answer after"] = f"{time.monotonic() - begun:.1f} s"
        course.should(len(texts) == 2, f"a frozen engine: {len(texts)} of 2 calls were answered in {LIMIT:.0f} s")
        course.broken += [f"a frozen engine, told as: {text}" for text in texts if f"process {pid}" not in text]
        strike(pid, signal.SIGCONT)
        after = (await modern.call_tool("get_task", {"id": task, "detail": True})).structured_content
        course.should(after == story, f"ended as {story}, after the thaw it is {after}")


async def quiet_engine(house: House, course: Course) -> None:
    """A wait in which nothing happens for longer than a frozen engine would be given is answered as ever."""
    seconds = QUIET + FROZEN + 2
    async with house.client("auto", "modern") as modern, house.client("legacy", "old") as old:
        task = await _submit(modern, "until", "quiet", file=str(house.folder / "never"))
        found: list[Any] = []

        async def wait(client: Any) -> None:
            found.append(await client.call_tool("wait_for_tasks", {"ids": [task], "timeout": seconds}))

        async with anyio.create_task_group() as group:
            group.start_soon(wait, modern)
            group.start_soon(wait, old)
        course.should(not any(answer.is_error for answer in found), f"a quiet wait of {seconds:.0f} s: {found}")
        await modern.call_tool("cancel_task", {"ids": [task]})
    course.figures[f"waits of {seconds:.0f} s in which nothing happens, answered as ever"] = len(found)


async def frozen_parts(house: House, course: Course) -> None:
    """Shim or worker stand still while a function ends; the result is there once, after the thaw."""
    for role in ("shim", "worker"):
        async with house.client("auto", role) as client:
            gate = house.folder / f"gate {role}"
            task = await _submit(client, "until", role, file=str(gate))
            while not list((house.folder / "runs").glob(f"{role} *")):  # noqa: ASYNC110 (another process makes it)
                await anyio.sleep(0.02)
            pids = house.processes()[role]
            for pid in pids:
                strike(pid, signal.SIGSTOP)
            gate.touch()
            await anyio.sleep(3.0)
            for pid in pids:
                strike(pid, signal.SIGCONT)
            answer = await client.call_tool("wait_for_tasks", {"ids": [task], "timeout": 30})
            done = (answer.structured_content or {}).get("done", [])
            is_right = len(done) == 1 and done[0]["state"] == "succeeded" and done[0]["result"] == "seen"
            course.should(is_right, f"a frozen {role}: {done}")
            runs = len(list((house.folder / "runs").glob(f"{role} *")))
            course.should(runs == 1, f"a frozen {role}: its call ran {runs} times")
    course.figures["shim, worker frozen for 3 s while a call ends"] = "its result is there, once"


# -- clients that leave, or do not listen


def closed_output(house: House, course: Course) -> None:
    """A client that closes our output has gone, whatever it leaves open."""
    relay = _relay(house)
    assert relay.stdin is not None
    assert relay.stdout is not None
    relay.stdin.write(_hello())
    relay.stdin.flush()
    relay.stdout.readline()
    relay.stdout.close()
    begun = time.monotonic()
    relay.stdin.write(_request(1))
    relay.stdin.flush()
    try:
        relay.wait(LIMIT)
    except subprocess.TimeoutExpired:
        relay.kill()
    seconds = time.monotonic() - begun
    relay.stdin.close()
    course.figures["output closed by the client: the relay is gone after"] = f"{seconds:.2f} s"
    course.should(seconds < EXIT, f"a relay whose output is closed stays for {seconds:.1f} s")


async def never_reads(house: House, course: Course, requests: int) -> None:
    """One client asks and never reads; the others do not notice, and nobody's memory grows with its requests."""
    relay = _relay(house)
    assert relay.stdin is not None
    async with house.client("auto", "patient") as client:
        await client.call_tool("list_tasks", {})
        engine = house.engine()
        assert engine is not None
        before = memory(engine)
        os.set_blocking(relay.stdin.fileno(), False)
        flood = memoryview(_hello() + b"".join(_request(number) for number in range(1, requests + 1)))
        latencies: list[float] = []
        until = time.monotonic() + 5.0
        while time.monotonic() < until:
            try:
                flood = flood[os.write(relay.stdin.fileno(), flood[:65536]) :]
            except BlockingIOError:
                await anyio.sleep(0.005)
            begun = time.monotonic()
            await client.call_tool("list_tasks", {})
            latencies.append(time.monotonic() - begun)
        grown, relays = memory(engine) - before, memory(relay.pid)
    relay.kill()
    relay.wait()
    relay.stdin.close()
    assert relay.stdout is not None
    relay.stdout.close()
    p99 = sorted(latencies)[int(0.99 * (len(latencies) - 1))]
    course.figures["a client that never reads: others' p99, engine's and relay's memory"] = (
        f"{p99 * 1000:.0f} ms, {grown:+.0f} MB, {relays:.0f} MB"
    )
    course.should(grown < 64, f"the engine grew by {grown:.0f} MB for a client that never reads")
    course.should(relays < 192, f"the relay takes {relays:.0f} MB for a client that never reads")


# -- requests that are taken back


async def cancelled_requests(folder: Path, course: Course, cancels: int, seed: int) -> None:
    """The engine lives in this process: what stays behind can be counted."""
    home = Home(str(folder / "home"))
    home.prepare()
    lock = EngineLock.take(home)
    assert lock is not None
    environment = capture_environment(python=sys.executable, functions=[str(folder / "work.py")])
    tally: Counter[str] = Counter()
    async with await Engine.open(home, lock, pool={"cpus": 1, "gpus": False}) as engine:
        doors = await attend(engine, home, Toolbox(engine.service))
        async with raw.door(home.path, "modern", environment) as first:
            made = await first.call(0, "submit_task", _wanted("first"), LIMIT)
            assert made is not None, first.answers
            before = len(asyncio.all_tasks())
            storms = [
                _storm(home.path, environment, number, cancels // DOORS, made["id"], Random(f"{seed} {number}"), tally)
                for number in range(DOORS)
            ]
            for lost in await asyncio.gather(*storms):
                course.broken += lost
            left = await _settled(before)
            course.should(left <= before, f"{left - before} tasks of the event loop were left by cancelled requests")
            gc.collect()
            waiters = sum(isinstance(one, Waiter) for one in gc.get_objects())
            course.should(waiters == 0, f"{waiters} waiters were left by cancelled requests")
            begun = time.monotonic()
            twice = await _submitted_again(first, tally["keys"], tally)
            course.broken += twice
            course.figures["submitted again after the storm"] = (
                f"{tally['keys']} keys: {tally['there']} were there, {tally['not there']} were not, "
                f"{time.monotonic() - begun:.0f} s"
            )
        await doors.close()
    course.figures["requests taken back, answered all the same, controls answered"] = (
        f"{tally['cancelled']}, {tally['answered']}, {tally['controls']}"
    )
    course.figures["left behind by them"] = f"{max(0, left - before)} tasks of the loop, {waiters} waiters"


async def _storm(
    home: str, environment: dict[str, Any], number: int, count: int, task: str, chance: Random, tally: Counter[str]
) -> list[str]:
    lost: list[str] = []
    async with raw.door(home, ("modern", "legacy")[number % 2], environment) as door:
        for turn in range(count):
            tool, arguments = _some_call(number, turn, task, chance, tally)
            ident = f"{number}-{turn}"
            door.send(door.request(ident, "tools/call", {"name": tool, "arguments": arguments}))
            for _ in range(chance.choice((0, 0, 1, 2, 5, 20))):
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                await asyncio.sleep(chance.expovariate(1 / 0.002))
            params = {"requestId": ident, "reason": "no longer wanted"}
            door.send(
                json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}).encode() + b"\n"
            )
            tally["cancelled"] += 1
            if turn % UNDER_WAY == 0:
                if await door.call(f"{number}-control-{turn}", "get_task", {"id": task}, LIMIT) is None:
                    lost.append(f"a valid request between cancelled ones was not answered (door {number}, {turn})")
                tally["controls"] += 1
        tally["answered"] += len(door.answers) - count // UNDER_WAY
    return lost


def _some_call(number: int, turn: int, task: str, chance: Random, tally: Counter[str]) -> tuple[str, dict[str, Any]]:
    kind = chance.randrange(4)
    if kind == 0:
        key = tally["keys"]
        tally["keys"] += 1
        return "submit_task", _wanted(f"key{key}")
    if kind == 1:
        return "wait_for_tasks", {"ids": [task], "timeout": 20}
    if kind == 2:
        return "list_tasks", {"limit": 5}
    return "update_task", {"ids": [task], "action": "set_priority", "priority": turn % 10 + number % 2}


def _wanted(key: str) -> dict[str, Any]:
    return {
        "function": "work.quick",
        "arguments": {"token": key, "value": 1},
        "idempotency_key": key,
        "start_after": 3600,
    }


async def _submitted_again(door: raw.Door, keys: int, tally: Counter[str]) -> list[str]:
    """A key leads to one task, whether its submission was cancelled before or after it was durable."""
    broken: list[str] = []
    found: set[str] = set()
    for key in range(keys):
        answer = await door.call(f"again {key}", "submit_task", _wanted(f"key{key}"), LIMIT)
        if answer is None:
            broken.append(f"key{key} cannot be submitted again")
            continue
        tally["there" if answer.get("duplicate") else "not there"] += 1
        found.add(answer["id"])
    if len(found) != keys:
        broken.append(f"{keys} keys lead to {len(found)} tasks")
    return broken


async def _settled(before: int) -> int:
    until = time.monotonic() + LIMIT
    while (left := len(asyncio.all_tasks())) > before and time.monotonic() < until:  # noqa: ASYNC110 (no event says so)
        await asyncio.sleep(0.05)
    return left


# --


async def _submit(client: Any, function: str, token: str, **arguments: Any) -> str:
    answer = await client.call_tool(
        "submit_task", {"function": f"work.{function}", "arguments": {"token": token, **arguments}}
    )
    assert not answer.is_error, answer.content
    return str(answer.structured_content["id"])


def _relay(house: House) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        house.relay_command(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=house.environment,
    )  # fmt: skip


def _hello() -> bytes:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "rude", "version": "1"}}
    return json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).encode() + b"\n"


def _request(number: int) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/list", "params": {}}).encode() + b"\n"


def memory(pid: int) -> float:
    """Megabytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def campaign(cancels: int, seed: int, *, patient: bool = True) -> Verdict:
    """Everything; without patience, without what has to wait for the relay's limits."""
    course = Course()
    with opened(SETTINGS) as house:
        anyio.run(_with_processes, house, course, patient)
        course.broken += [f"left over: {process}" for process in house.left_over()]
        course.broken += defects(house.home)
    with opened() as house:
        anyio.run(cancelled_requests, house.folder, course, cancels, seed)
    return Verdict(course.figures | {"broken": len(course.broken)}, course.broken)


async def _with_processes(house: House, course: Course, patient: bool) -> None:
    await frozen_parts(house, course)
    closed_output(house, course)
    await never_reads(house, Course(), 20_000)  # what a thousand requests at once take, an engine takes once
    await never_reads(house, course, 20_000)
    if patient:
        await quiet_engine(house, course)
        await frozen_engine(house, course)
    house.stop(force=True)


def main() -> int:
    """Exit code 0 when every client was served."""
    parser = argparse.ArgumentParser("python -m campaigns.clients", description=__doc__)
    parser.add_argument("--cancels", type=int, default=10_000, help="requests that are taken back")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    verdict = campaign(given.cancels, given.seed)
    return conclude(verdict)


if __name__ == "__main__":
    sys.exit(main())
