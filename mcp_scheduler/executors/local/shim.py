"""The shim: one small process above each worker, which outlives the engine and tells truthfully how the worker ended.

It is forked from the zygote and single-threaded. It leads a session of its own, is subreaper for everything below it,
holds the lock that means "alive" for life, carries output into files, ends the tree on request, and, when the worker
is gone, kills what is left below it, writes the exit records and tells the engine. Control connection, a JSON object a
line: in `{"stop": {"attempt": id | null, "reason", "grace"}}`, `{"spare": id}`; out `{"hello": …}`, `{"missed": id}`,
`{"surviving": n}`, `{"ended": …}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcp_scheduler.executors.local import ending, log, process, tree
from mcp_scheduler.executors.local.control import Control
from mcp_scheduler.executors.local.folders import Berth
from mcp_scheduler.executors.local.held import Held, listen, take_lock
from mcp_scheduler.executors.local.pump import Pump
from mcp_scheduler.executors.local.stopping import Stopping
from mcp_scheduler.sdk.now import Now

FIRST_CONTACT = 5.0  # seconds that the end of a worker waits for an engine that has not connected yet
LAST_WORDS = 4000  # bytes of the worker's own stderr that the engine is told
ALONE_TICK = 1.0  # how often, without an engine, the deadline of the running call is looked at
ROUND = (0.02, 1.0)  # first and longest pause between two rounds against what is left of the tree
TELL_SURVIVORS = 10.0  # seconds after which processes that cannot be killed are reported


class WorkerHeld(Held):
    """Also the worker's socket, and the page that names the call under way."""

    def __init__(self, held: Held, calls: socket.socket, now: int) -> None:
        super().__init__(held.berth, held.lock, held.control)
        self.calls, self.now = calls, now

    @classmethod
    def prepare(cls, order: dict[str, Any]) -> WorkerHeld:
        """Errors: OSError, and then nothing is left behind."""
        berth = Berth(Path(order["run"]), order["worker"])
        try:
            lock = take_lock(berth, {key: order[key] for key in ("worker", "cookie", "environment", "attempts")})
            now = Now.create(str(berth.now))
            return cls(Held(berth, lock, listen(berth.control)), listen(berth.calls), now)
        except OSError:
            berth.remove()
            raise

    def close(self) -> None:
        super().close()
        os.close(self.now)
        self.calls.close()


def supervise(order: dict[str, Any], held: WorkerHeld) -> int:
    """The whole life of a shim, in the process that was forked for it. Its exit code."""
    os.setsid()
    process.become_subreaper()
    return Shim(order, held).run()


class Shim:
    """One worker's supervisor; see the module."""

    def __init__(self, order: dict[str, Any], held: WorkerHeld) -> None:
        self._order, self._held = order, held
        self._attempts = Path(order["attempts"])
        self._now = Now(held.now)
        self._selector = selectors.DefaultSelector()
        # Nothing hangs on an engine that leaves: what is due is looked at on the clock.
        self._control = Control(held.control, self._selector, self._heard, self._greeting, lambda: None)
        self._started = time.monotonic()
        self._child = 0
        self._stopping = Stopping(self._now, lambda signum: tree.strike([self._child], signum))
        self._end: ending.End | None = None
        self._ended_at = 0.0
        self._round_at: float | None = None
        self._pause = ROUND[0]
        self._empty = False
        self._survivors = 0
        self._oom_kills = process.oom_kills()

    def run(self) -> int:
        signals = process.catch_children()
        signal.signal(signal.SIGTERM, process.heed)  # arrives through the same socket
        self._watch(signals, self._on_signal)
        self._pumps = self._start()
        while not self._is_over():
            for key, _ in self._selector.select(self._patience()):
                if self._selector.get_map().get(key.fd) is key:  # not gone by what was done before it
                    key.data(key.fileobj)
            self._on_time(time.monotonic())
        self._finish()
        return 0

    # -- the worker

    def _start(self) -> list[Pump]:
        berth, caps = self._held.berth, tuple(self._order["caps"])
        pumps = [
            Pump(lambda owner: self._attempts / f"{owner}.out" if owner else berth.out, caps),
            Pump(lambda owner: self._attempts / f"{owner}.err" if owner else berth.err, caps),
        ]
        calls, now = self._held.calls.fileno(), self._held.now
        spec = {**self._order["spec"], "listen_fd": calls, "now_fd": now}
        env = {
            **self._order["env"],
            tree.COOKIE: self._order["cookie"],
            "MCP_SCHEDULER_WORKER": json.dumps(spec),
        }
        stdio = (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), pumps[0].writing, pumps[1].writing)
        try:
            self._child = process.spawn(self._order["argv"], env, self._order["cwd"], stdio, (calls, now))
        except OSError as error:
            self._end = ending.End(failure=f"cannot start {error.filename}: {error.strerror}")
            self._empty = True
        for fd in stdio:
            os.close(fd)
        self._held.calls.close()
        for pump in pumps:
            self._watch(pump.reading, lambda _, pump=pump: self._on_output(pump))
        return pumps

    def _on_output(self, pump: Pump) -> None:
        # First the flag, then the question whose output it is: a worker at the end of a call waits for the flag.
        self._now.pumping = True
        running = self._now.running()
        alive = pump.carry(running.attempt if running else "")
        self._now.pumping = False
        if not alive:
            self._selector.unregister(pump.reading)

    # -- stopping

    def _on_signal(self, signals: socket.socket) -> None:
        if signal.SIGTERM in signals.recv(4096) and self._end is None:
            self._stopping.end(self._order["grace"])  # somebody ends us: the worker in order first
        self._reap()

    def _reap(self) -> None:
        """Collect whoever has ended. No child left means that the whole tree is gone: orphans become ours."""
        while not self._empty:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._empty = True
                return
            if pid == 0:
                break
            if pid == self._child:
                self._end = ending.End.of(status, usage.ru_maxrss * 1024, process.oom_kills() > self._oom_kills)
                self._ended_at = time.monotonic()
                self._round_at = self._ended_at

    def _on_time(self, now: float) -> None:
        if self._end is None:
            self._stopping.on_time(now)
        if self._round_at is not None and now >= self._round_at and not self._empty:
            self._strike_rest(now)
        if not self._control.is_open and self._end is None:
            self._keep_deadline()

    def _strike_rest(self, now: float) -> None:
        """The worker is gone, others of its tree are not."""
        left = tree.strike_below(os.getpid())
        self._round_at = now + self._pause
        self._pause = min(2 * self._pause, ROUND[1])
        if now - self._ended_at > TELL_SURVIVORS and left != self._survivors:
            self._survivors = left
            self._control.tell({"surviving": left})

    def _keep_deadline(self) -> None:
        """Without an engine nobody else does."""
        running = self._now.running()
        if running and ending.is_overdue(running) and self._stopping.told[0] != running.sequence:
            self._stopping.stop(running.attempt, "timeout", self._order["grace"])

    def _patience(self) -> float | None:
        """Seconds until something is due by itself."""
        now = time.monotonic()
        due: list[float] = []
        if self._empty and not self._control.met:
            due.append(self._started + FIRST_CONTACT)
        elif self._end is not None and self._round_at is not None:
            due.append(self._round_at)
        elif self._stopping.kill_at is not None:
            due.append(self._stopping.kill_at)
        if not self._control.is_open:
            due.append(now + ALONE_TICK)
        return max(0.0, min(due) - now) if due else None

    # -- the engine

    def _greeting(self) -> dict[str, Any]:
        return {"worker": self._order["worker"], "pid": os.getpid(), "child": self._child}

    def _heard(self, message: dict[str, Any]) -> None:
        if self._end is not None:
            return  # the worker is gone: how it ended is about to be told
        if "spare" in message:
            self._stopping.spare(message["spare"])
            return
        stop = message["stop"]
        if stop["attempt"] is None:
            self._stopping.end(stop["grace"])
        elif not self._stopping.stop(stop["attempt"], stop["reason"], stop["grace"]):
            self._control.tell({"missed": stop["attempt"]})

    def _watch(self, source: Any, act: Callable[[Any], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, act)

    # -- the end

    def _is_over(self) -> bool:
        waited = self._control.met or time.monotonic() - self._started >= FIRST_CONTACT
        return self._empty and waited

    def _finish(self) -> None:
        """The tree is gone. Output, then durable records, then the word to the engine, then our files: in this order
        nothing is lost wherever a kill falls."""
        assert self._end is not None
        running = self._now.running()
        for pump in self._pumps:
            pump.carry(running.attempt if running else "")
            pump.release()
        said = log.read(self._held.berth.err, -LAST_WORDS, LAST_WORDS)[0].decode(errors="replace")
        try:
            ending.write_records(self._attempts, self._now, self._end, self._stopping.told)
        except OSError as error:
            # The now file stays behind then: the next engine sees from it what had begun.
            print(f"{self._order['worker']}: exit records not written: {error}", file=sys.stderr)  # noqa: T201 (the log)
            self._control.tell({"ended": {**self._end.told(said), "unrecorded": self._now.begun()}})
            return
        self._control.tell({"ended": self._end.told(said)})
        with contextlib.suppress(OSError):
            self._held.berth.remove()
