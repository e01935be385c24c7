"""Trouble: `python -m campaigns.trouble --damaged 200`.

A full disk, a wall clock that jumps by a day, no file descriptors, no processes, and databases that are damaged. Each
time: whoever asks meanwhile is told what is wrong and may ask again, all is well a few seconds after the trouble is
over, and nothing that was acknowledged is lost.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from campaigns.damage import damage
from campaigns.disk import Disk, Fault
from campaigns.house import House, opened
from campaigns.judge import Verdict, conclude, defects

SETTINGS = {"MCP_SCHEDULER_POOL__CPUS": "4", "MCP_SCHEDULER_POOL__GRACE": "0.5", "MCP_SCHEDULER_POOL__GPUS": "false"}
RECOVERY = 5.0  # seconds after the trouble until all is well
LIMIT = 60.0  # seconds that anything may take on a busy machine
DAY = 86_400
ROOM = 8  # MiB of the small disk
TRIES = 400


class Course:
    """What a case has found."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.broken: list[str] = []

    def should(self, is_so: object, otherwise: str) -> None:
        """Note `otherwise` if it is not so."""
        if not is_so:
            self.broken.append(otherwise)


async def _call(client: Client, tool: str, **arguments: Any) -> tuple[dict[str, Any] | None, str]:
    """The answer, or the text of the error that the model can read."""
    with anyio.fail_after(LIMIT):
        answer = await client.call_tool(tool, arguments)
    if answer.is_error or not isinstance(answer.structured_content, dict):
        return None, " ".join(getattr(part, "text", "") for part in answer.content)
    return answer.structured_content, ""


async def _submit(client: Client, function: str, token: str, **fields: Any) -> tuple[str, str]:
    arguments = {"token": token, **fields.pop("arguments", {})}
    answer, text = await _call(
        client, "submit_task", function=f"work.{function}", arguments=arguments, idempotency_key=token, **fields
    )
    return (answer["id"] if answer else ""), text


async def _ends(client: Client, ids: Sequence[str], seconds: float = LIMIT) -> dict[str, str]:
    """How each has ended after at most so many seconds; what has not is "" there."""
    until, found = time.monotonic() + seconds, dict.fromkeys(ids, "")
    while "" in found.values() and time.monotonic() < until:
        left = [name for name, state in found.items() if not state]
        answer, _ = await _call(client, "wait_for_tasks", ids=left, timeout=0.2)
        for task in (answer or {}).get("done", ()):
            found[task["id"]] = task["state"]
    return found


# -- the cases


async def clock(house: House, disk: Disk, course: Course) -> None:
    """The wall clock jumps a day ahead, a day back, and is right again."""
    async with house.client("auto", "clock") as client:
        gate = house.folder / "gate"
        running, _ = await _submit(client, "until", "running", arguments={"file": str(gate)}, timeout=600)
        while not list((house.folder / "runs").glob("running *")):  # noqa: ASYNC110 (another process makes it)
            await anyio.sleep(0.02)
        later, _ = await _submit(client, "quick", "later", arguments={"value": 1}, start_after=600)
        for jump in (DAY, -DAY):
            disk.orders.clock = jump
            soon, _ = await _submit(client, "quick", f"soon{jump}", arguments={"value": 1}, start_after=0.3)
            retry = {"max_attempts": 2, "delay": 0.3, "on": ["error"]}
            again, _ = await _submit(
                client, "flaky", f"again{jump}", arguments={"value": 1, "failures": 1}, retry=retry
            )
            ends = await _ends(client, [soon, again], 2 * RECOVERY)
            course.should(
                set(ends.values()) == {"succeeded"}, f"with the clock {jump:+} s a delay of 0.3 s ended as {ends}"
            )
            for name, state in ((running, "running"), (later, "scheduled")):
                seen, _ = await _call(client, "get_task", id=name)
                course.should(seen and seen["state"] == state, f"with the clock {jump:+} s a {state} task is {seen}")
        disk.orders.clock = 0
        gate.touch()
        course.should(
            (await _ends(client, [running]))[running] == "succeeded", "what ran through the jumps did not end"
        )
        await _call(client, "cancel_task", ids=[later])
    course.figures["clock a day ahead and back"] = "no task expired, began or waited because of it"


async def descriptors(house: House, disk: Disk, course: Course) -> None:  # noqa: ARG001 (every case is called alike)
    """The engine may open no further file while ten clients come, then it may again."""
    async with house.client("auto", "first") as first:
        await _ends(first, [(await _submit(first, "quick", "warm", arguments={"value": 1}))[0]])
        engine = house.engine()
        assert engine is not None
        before = resource.prlimit(engine, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{engine}/fd"))
        resource.prlimit(engine, resource.RLIMIT_NOFILE, (used, before[1]))
        told: list[str] = []
        accepted: list[str] = []

        async def one(number: int) -> None:
            async with house.client(("auto", "legacy")[number % 2], f"late{number}") as client:
                task, text = await _submit(client, "quick", f"late{number}", arguments={"value": number})
                (accepted if task else told).append(task or text)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(one, number)
            task, text = await _submit(first, "quick", "meanwhile", arguments={"value": 1})
            (accepted if task else told).append(task or text)
            await anyio.sleep(1.0)
            resource.prlimit(engine, resource.RLIMIT_NOFILE, before)
            freed = time.monotonic()
        course.figures["no descriptors: clients answered after there were some again"] = (
            f"{time.monotonic() - freed:.1f} s"
        )
        course.should(house.engine() == engine, "the engine died for want of descriptors")
        ends = await _ends(first, accepted)
        course.should(set(ends.values()) <= {"succeeded"}, f"accepted without descriptors, and ended as {ends}")
        course.figures["no descriptors: accepted, told to come again"] = f"{len(accepted)}, {len(told)}"
        course.broken += [f"without descriptors: {text}" for text in told if not _is_clear(text)]


async def processes(house: House, disk: Disk, course: Course) -> None:
    """Nothing can be forked and no thread begun, then it can again."""
    async with house.client("auto", "pids") as client:
        await _ends(client, [(await _submit(client, "quick", "early", arguments={"value": 1}))[0]])
        disk.orders.no_processes = 1
        accepted: list[str] = []
        told: list[str] = []
        for number in range(6):
            task, text = await _submit(
                client, "repeatable", f"pid{number}", arguments={"value": number, "seconds": 0.2}
            )
            (accepted if task else told).append(task or text)
        await _ends(client, accepted, 1.0)
        disk.orders.no_processes = 0
        freed = time.monotonic()
        ends = await _ends(client, accepted)
        seconds = time.monotonic() - freed
        course.figures["no processes: all ended after there were some again"] = f"{seconds:.1f} s"
        course.should(seconds < RECOVERY + 1.2, f"it took {seconds:.1f} s after processes could be made again")
        course.should(set(ends.values()) <= {"succeeded"}, f"accepted without processes, and ended as {ends}")
        course.figures["no processes: accepted, told to come again"] = f"{len(accepted)}, {len(told)}"
        course.broken += [f"without processes: {text}" for text in told if not _is_clear(text)]


async def full_disk(house: House, disk: Disk, course: Course) -> None:
    """The home's disk fills up while a client submits, and is freed again."""
    async with house.client("auto", "disk") as client:
        gate = house.folder / "room"
        running, _ = await _submit(client, "until", "through", arguments={"file": str(gate)})
        await _call(client, "get_task", id=running)
        accepted, told = [running], ""
        with _full(house.home, disk) as how:
            for number in range(TRIES):
                task, told = await _submit(client, "quick", f"full{number}", arguments={"value": number})
                if told:
                    break
                accepted.append(task)
            course.should(told, f"{TRIES} tasks were accepted on a full disk")
            course.should(_is_clear(told), f"on a full disk: {told}")
            gate.touch()  # what runs ends while its end cannot be written
            await anyio.sleep(0.5)
            seen, text = await _call(client, "get_task", id=running)
            course.should(seen, f"on a full disk nothing can be read: {text}")
        freed = time.monotonic()
        while (await _submit(client, "quick", "freed", arguments={"value": 1}))[1]:  # noqa: ASYNC110 (no event)
            await anyio.sleep(0.05)
        seconds = time.monotonic() - freed
        course.figures[f"full disk ({how}): accepted until then, told"] = f"{len(accepted)}, {told[:90]!r}"
        course.figures["full disk: accepted again after it was freed"] = f"{seconds:.1f} s"
        course.should(seconds < RECOVERY, f"it took {seconds:.1f} s after the disk was freed")
        ends = await _ends(client, accepted)
        course.should(set(ends.values()) == {"succeeded"}, f"accepted on a disk that filled up, and ended as {ends}")


@contextlib.contextmanager
def _full(home: Path, disk: Disk) -> Iterator[str]:
    """No room: on a small disk of its own where there is one, else by order to the preloaded library."""
    if os.path.ismount(home):
        ballast = home / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield f"tmpfs of {ROOM} MiB"
        ballast.unlink()
    else:
        disk.order(Fault.FROM_THEN_ON, 1, errno.ENOSPC, writes_only=True)
        yield "ENOSPC from the library"
        disk.order(Fault.NONE)


def _is_clear(text: str) -> bool:
    """Says that the same may succeed later, and shows no traceback."""
    return "Traceback" not in text and any(
        word in text for word in ("right now", "again", "Repeat", "repeat", "later", "cannot be used")
    )


@contextlib.contextmanager
def _small_disk(home: Path) -> Iterator[None]:
    """A small disk at the home, if this user may mount one."""
    home.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}m,mode=0700", "mcp-scheduler-campaign", str(home)],
        capture_output=True, check=False,
    ).returncode == 0  # fmt: skip
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(home)], check=True)


Case = Callable[[House, Disk, Course], Awaitable[None]]
CASES: Sequence[Case] = (clock, descriptors, processes, full_disk)


async def _one(case: Case, house: House, course: Course) -> None:
    disk = Disk(house.folder, house.home)
    house.settings |= disk.environment()
    await case(house, disk, course)
    house.stop()
    course.broken += [f"{case.__name__}: left over: {process}" for process in house.left_over()]
    # asyncio tells of an accept that found no descriptor, and tries again: that is how it should be.
    found = [text for text in defects(house.home) if "out of system resource" not in text]
    course.broken += [f"{case.__name__}: a traceback in the log: {text}" for text in found]


def campaign(damaged: int, seed: int, cases: Sequence[Case] = CASES) -> Verdict:
    """Every case in a house of its own, then the damaged databases."""
    course = Course()
    for case in cases:
        with opened(SETTINGS) as house, _small_disk(house.home) if case is full_disk else contextlib.nullcontext():
            anyio.run(_one, case, house, course)
            house.end()
    with opened() as house:
        figures, broken = anyio.run(damage, house.folder / "damaged", damaged, seed)
    return Verdict(course.figures | figures | {"broken": len(course.broken + broken)}, course.broken + broken)


def main() -> int:
    """Exit code 0 when every trouble was borne."""
    parser = argparse.ArgumentParser("python -m campaigns.trouble", description=__doc__)
    parser.add_argument("--damaged", type=int, default=200, help="starts on damaged databases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", choices=[case.__name__ for case in CASES], action="append", help="only these")
    given = parser.parse_args()
    cases = [case for case in CASES if not given.case or case.__name__ in given.case]
    verdict = campaign(given.damaged, given.seed, cases)
    return conclude(verdict)


if __name__ == "__main__":
    sys.exit(main())
