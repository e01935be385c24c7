"""Shows on a real GPU what the scheduler sees: a child process takes memory, and the sensor is asked before, during and
after. `python -m mcp_scheduler.telemetry.gpu_check [--megabytes 1024]`. Without a GPU it says so and ends well."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final

from mcp_scheduler.core.devices import Devices
from mcp_scheduler.core.seen import CUDA, GpuSeen, Health, visibility
from mcp_scheduler.core.task import Needs
from mcp_scheduler.telemetry import gpu_burden
from mcp_scheduler.telemetry.gpu import GpuSensor, GpuSnapshot
from mcp_scheduler.telemetry.owners import Owners

MIB: Final = 2**20
_LIMIT: Final = 60.0  # seconds for each step
_COLUMNS: Final = "{:<8} {:<16} {:>10} {:>10} {:>10}   {}"
Say = Callable[[str], None]


class Looks:
    """Snapshots as they come, for a thread that waits for a certain one."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._last = GpuSnapshot()
        self._count = 0

    def hear(self, snapshot: GpuSnapshot) -> None:
        with self._condition:
            self._last = snapshot
            self._count += 1
            self._condition.notify_all()

    def until(self, wanted: Callable[[GpuSnapshot], bool]) -> GpuSnapshot | None:
        """The first snapshot from now on that is wanted; None if none comes in a minute."""
        with self._condition:
            first = self._count + 2  # the look that is under way may have begun before now
            found = self._condition.wait_for(lambda: self._count >= first and wanted(self._last), _LIMIT)
            return self._last if found else None


def main(argv: Sequence[str] | None = None, say: Say = print) -> int:
    """0 if all was seen as it should be, or if there is no GPU; 1 with what was not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024, help="how much the child takes on the GPU")
    parser.add_argument("--device", default="", help="which GPU: gpu0, a uuid, part of its name")
    chosen = parser.parse_args(argv)
    looks, tenants = Looks(), dict[str, str]()
    sensor = GpuSensor(
        Owners(tenants).tenant,
        visible=os.environ.get(CUDA),
        on_snapshot=looks.hear,
        interval=0.2,
        shares=(0.5, 0.5),
        retry=(0.2, 1.0),
    )
    sensor.start()
    try:
        before = looks.until(lambda _: True)
        if before is None:
            say("The driver does not answer.")
            return 1
        device = _device(before, chosen.device)
        if device is None:
            say(f"No GPU to check. {before.absent}".rstrip())
            return 0
        problems = _story(looks, tenants, device.uuid, chosen.megabytes * MIB, say)
    finally:
        sensor.close()
    for problem in problems:
        say(f"NOT AS IT SHOULD BE: {problem}")
    say("FAILED" if problems else "All is seen as it should be.")
    return 1 if problems else 0


def _device(snapshot: GpuSnapshot, wish: str) -> GpuSeen | None:
    well = [seen for seen in snapshot.gpus if seen.live and seen.health is Health.OK and seen.answers_to(wish)]
    return max(well, key=lambda seen: seen.free or 0, default=None)


def _story(looks: Looks, tenants: dict[str, str], uuid: str, amount: int, say: Say) -> list[str]:
    """Reserve, allocate, free; a row of the table each."""
    say(_COLUMNS.format("GPU", "when", "used MiB", "free MiB", "promise*", "processes (pid: MiB, whose)"))
    before = looks.until(lambda _: True)
    if before is None:
        return ["The driver stopped answering."]
    devices = Devices(before.gpus)
    _row("before", before, devices, uuid, say)
    devices.seize("check", Needs(gpus=1, gpu_memory=amount), [uuid])
    _row("reserved", before, devices, uuid, say)
    cookie = secrets.token_hex(8)
    tenants[cookie] = "check"
    environ = {**os.environ, **visibility([_seen(before, uuid)]), "MCP_SCHEDULER_COOKIE": cookie}
    order = [sys.executable, "-m", gpu_burden.__name__, str(amount)]
    with subprocess.Popen(order, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = child.stdout.readline().strip()
        if not told.startswith("holding"):
            return [f"The child could not take memory: {told or 'it said nothing'}."]
        say(f"         (child {child.pid} is {told})")
        during = looks.until(lambda now: _grew(before, now, uuid, amount)) or looks.until(lambda _: True)
        problems = _judge(before, during, devices, uuid, amount, say)
        child.communicate()  # its input ends, and so does it
    devices.give_back("check", gone=True)
    after = looks.until(lambda now: not _grew(before, now, uuid, amount // 2))
    if after is None:
        return [*problems, "The memory was not free a minute after its process had ended."]
    devices.observe(after.gpus)
    _row("after", after, devices, uuid, say)
    say("         * what could be promised to one more task that shares the GPU")
    return problems


def _judge(
    before: GpuSnapshot, during: GpuSnapshot | None, devices: Devices, uuid: str, amount: int, say: Say
) -> list[str]:
    if during is None:
        return ["The driver stopped answering."]
    devices.observe(during.gpus)
    _row("allocated", during, devices, uuid, say)
    problems: list[str] = []
    if not _grew(before, during, uuid, amount):
        problems.append("The device's used memory did not grow by what was allocated.")
    owners = {process.owner for process in _seen(during, uuid).processes}
    if "check" not in owners:
        known = "its processes cannot be told apart from here (a container?)" if None in owners or not owners else ""
        say(f"         (the child was not found among the processes of the GPU; {known or 'it is missing'})")
        if not known:
            problems.append("The child's process is listed as somebody else's.")
    allocated = {tenant: used for tenant, _, used in devices.uses()}.get("check", 0)
    if allocated < amount:
        problems.append(f"Only {allocated // MIB} MiB are attributed to the child.")
    return problems


def _grew(before: GpuSnapshot, now: GpuSnapshot, uuid: str, amount: int) -> bool:
    return (_seen(now, uuid).used or 0) - (_seen(before, uuid).used or 0) >= amount


def _seen(snapshot: GpuSnapshot, uuid: str) -> GpuSeen:
    return next(seen for seen in snapshot.gpus if seen.uuid == uuid)


def _row(when: str, snapshot: GpuSnapshot, devices: Devices, uuid: str, say: Say) -> None:
    seen, state = _seen(snapshot, uuid), devices.states[uuid]
    whose = {None: "unknown", "": "foreign", "check": "the check's"}
    processes = [f"{p.pid}: {_mib(p.memory)}, {whose.get(p.owner, p.owner)}" for p in seen.processes]
    promise = _mib(max(0, state.account.free))
    say(_COLUMNS.format(seen.short, when, _mib(seen.used), _mib(seen.free), promise, "; ".join(processes) or "none"))


def _mib(amount: int | None) -> str:
    return "?" if amount is None else str(amount // MIB)


if __name__ == "__main__":
    sys.exit(main())
