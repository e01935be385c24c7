"""lease: hold devices or resources for something interactive, which runs here, at this terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from mcp_scheduler.cli import arguments, options, out
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.failures import INTERRUPTED, TASK_FAILED, TIME_UP
from mcp_scheduler.cli.text import Json, note, one_line
from mcp_scheduler.errors import SchedulerError, Unavailable
from mcp_scheduler.owner import OwnerClient

LAPSES: Final = 60.0  # seconds without a renewal: so long others wait for what was held by a verb that was killed
BEAT: Final = LAPSES / 4
GRACE: Final = 10.0  # seconds between the polite end of the command and the other one
CANNOT_RUN: Final = 126
_QUESTION: Final = 20.0  # seconds of one wait for the grant


def lease(
    context: typer.Context,
    *,
    gpus: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Whole GPUs, or shares with --gpu-memory.")
    ] = None,
    gpu_memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Share: so much on each GPU.")] = None,
    device: Annotated[str | None, typer.Option(metavar="TEXT", help="Which: gpu0, h100, ...")] = None,
    needs: Annotated[
        list[str] | None, typer.Option(metavar="NAME=AMOUNT", help="What else is held: cpus=2,license=1. Repeatable.")
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="At most so long; then the command is ended, too.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="A name; the id begins with it.")] = None,
    priority: Annotated[
        int | None, typer.Option(metavar="N", min=-100, max=100, help="Higher is granted earlier; 0 is usual.")
    ] = None,
    home: options.Home = None,
    principal: options.As = "",
) -> int:
    """Hold GPUs or other resources while a command runs here.

    `lease --gpus 1 bash`: waits until it is granted, runs the command at this terminal with the variables that show
    it its GPUs, and gives them back at its end. Exit code: the command's own (128 + N for signal N; 126 where it cannot
    be started; 124 if --for was over). If this verb is killed, the lease lapses within a minute.
    """
    command = arguments.command(context.args, context.obj, "lease --gpus 1 bash")
    if shutil.which(command[0]) is None:
        out.aside(f"error: {command[0]} cannot be run: there is no such program.")
        return CANNOT_RUN
    seconds = None if lasting is None else arguments.seconds(lasting, "--for")
    held = arguments.pairs(needs or (), "--needs")
    held |= {field: value for field, value in (("gpus", gpus), ("gpu_memory", gpu_memory), ("device", device)) if value}
    task: Json = {"lease": True, "needs": held, "timeout": LAPSES, "name": name, "priority": priority}
    with engine(home, principal=principal) as client, _other_signals():
        made = client.call("submit", {field: value for field, value in task.items() if value is not None})
        holder = Holder(client, made["tasks"][0]["id"])
        try:
            granted = holder.wait_for_grant()
            return TASK_FAILED if granted is None else holder.run(command, granted, seconds)
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            holder.let_go()


@contextmanager
def _other_signals() -> Generator[None]:
    """A terminal that closes, or a polite kill, ends this verb as Ctrl-C does: what is held is given back."""

    def end(*_: Any) -> None:
        raise KeyboardInterrupt

    former = {name: signal.signal(name, end) for name in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for name, action in former.items():
            signal.signal(name, action)


@dataclass(slots=True)
class Holder:
    """One lease, from its request to its end."""

    client: OwnerClient
    id: str
    has_failed: bool = False

    def wait_for_grant(self) -> Json | None:
        """The lease as it is granted; None if it ended without (somebody cancelled it)."""
        said = ""
        while True:
            task: Json = self.client.call("get", {"id": self.id})
            if task["state"] == "running":
                return task
            if task.get("ended_at"):
                out.aside(f"{self.id} {task['state']}: {note(task)}".rstrip(": "))
                return None
            if (now := one_line(task.get("why", ""))) != said:
                out.aside(f"{self.id} waits: {now} · Ctrl-C takes it back.")
                said = now
            self.client.call("wait", {"ids": [self.id], "timeout": _QUESTION})

    def run(self, command: list[str], granted: Json, lasting: float | None) -> int:
        """Run the command, renew the lease while it does; its exit code."""
        variables: dict[str, str] = granted.get("variables") or {}
        shown = "".join(f" · {name}={value}" for name, value in variables.items() if value and "VISIBLE" in name)
        out.aside(f"{self.id} is held{shown}")
        marks = {"MCP_SCHEDULER_LEASE": f"{self.id}.{granted['attempt']}", "MCP_SCHEDULER_FENCE": str(granted["fence"])}
        # Ctrl-C is the command's: it reaches both of us. Not ignored, or the command would inherit that.
        former = signal.signal(signal.SIGINT, _leave_it_to_the_command)
        try:
            child = subprocess.Popen(command, env={**os.environ, **variables, **marks})
        except OSError as error:
            out.aside(f"error: {command[0]} cannot be run: {error.strerror}.")
            return CANNOT_RUN
        try:
            return self._attend(child, None if lasting is None else time.monotonic() + lasting)
        finally:
            _end(child)
            signal.signal(signal.SIGINT, former)

    def _attend(self, child: subprocess.Popen[bytes], until: float | None) -> int:
        beat = time.monotonic() + BEAT
        while True:
            now = time.monotonic()
            if until is not None and now >= until:
                out.aside("The time of --for is over; the command is ended.")
                _end(child)
                return TIME_UP
            if now >= beat:
                beat = now + BEAT
                if not self._renew():
                    _end(child)
            try:
                code = child.wait(max(0.0, min(beat, until or beat) - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
            return code if code >= 0 else 128 - code

    def _renew(self) -> bool:
        """Whether the lease is held still. Where no engine can be reached nobody can have it either."""
        try:
            answer = self.client.call("update", {"ids": [self.id], "action": "renew"})
        except Unavailable as error:
            if not self.has_failed:
                out.aside(f"{self.id} cannot be renewed just now: {one_line(error.message)}")
            self.has_failed = True
            return True
        self.has_failed = False
        if answer.get("count"):
            return True
        out.aside(f"{self.id} is lost ({one_line(answer['unchanged'][self.id])}): the command is ended.")
        return False

    def let_go(self) -> None:
        """Give back what is held, or take the request back. A call may have been cut off: come through a new door."""
        self.client.close()
        try:
            if not self.client.call("update", {"ids": [self.id], "action": "release"}).get("count"):
                self.client.call("cancel", {"ids": [self.id]})
        except SchedulerError as error:
            out.aside(f"{self.id} could not be released ({one_line(error.message)}); it lapses in {LAPSES:g} s.")


def _leave_it_to_the_command(*_: Any) -> None:
    """Ctrl-C ends what runs here, and we with it."""


def _end(child: subprocess.Popen[bytes]) -> None:
    """Politely first."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
