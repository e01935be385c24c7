"""The shim of commands: runs one command after the other, and writes a durable record of the end of each.

Forked from the zygote, single-threaded, with a session of its own; subreaper for everything below it. It outlives the
engine: limits hold without one, and a stop goes on. The next command begins only when nothing of the last one is left
and its record is written; so at any moment it stands for one attempt. Those that wait are no attempts yet: they are
given back when they are asked for, and forgotten when the engine dies. A command that stands still is let go on then:
only an engine knows for whom it made way. An end is told when its record is on disk; ends
that follow each other closely share the fsync.

A JSON object a line: in `{"environment": [key, variables]}`, `{"run": order}`, `{"recall": true}`, `{"stop":
{"attempt", "reason", "grace"}}`, `{"pause": attempt}`, `{"continue": attempt}`, `{"leave": true}`; out `{"hello": …}`,
`{"began": [attempt, time]}`, `{"progress": [attempt, share, text]}`, `{"surviving": n}`, `{"returned": [attempt, …]}`,
`{"ended": [[attempt, outcome], …], "file": name}`.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

from mcp_scheduler.executors.local import process, tree
from mcp_scheduler.executors.local.control import Control
from mcp_scheduler.executors.local.ends import Ends
from mcp_scheduler.executors.local.held import Held, add_line
from mcp_scheduler.executors.local.pump import Pump
from mcp_scheduler.executors.local.run import Run
from mcp_scheduler.executors.local.spare import Spare

FIRST_CONTACT = 5.0  # seconds that a new shim waits for its engine
ROUND = (0.002, 0.5)  # shortest and longest pause between two rounds against what is left of a tree
TELL_SURVIVORS = 10.0  # seconds after which processes that cannot be killed are reported
PROGRESS_PAUSE = 0.1  # seconds between two words on progress
DISK_PAUSE = 1.0  # seconds until a record that could not be written is tried again
SHARED = 0.005  # seconds that an end may wait for others that go to disk with it, while more is to be run


def supervise(order: dict[str, Any], held: Held) -> int:
    """The whole life of a shim, in the process that was forked for it. Its exit code."""
    os.setsid()
    process.become_subreaper()
    return CommandShim(order, held).live()


class CommandShim:
    """See the module."""

    def __init__(self, order: dict[str, Any], held: Held) -> None:
        self._order, self._held = order, held
        self._attempts, self._results = Path(order["attempts"]), Path(order["results"])
        self._selector = selectors.PollSelector()
        self._control = Control(held.control, self._selector, self._heard, self._greeting, self._unheard)
        self._started = time.monotonic()
        self._leaving = False
        self._environments: dict[str, dict[str, str]] = {}
        self._waiting: deque[dict[str, Any]] = deque()
        self._ends = Ends(Path(order["ends"]), order["worker"])
        self._spare = Spare(Path(order["tasks"]), order["worker"])
        self._untold: list[tuple[str, dict[str, Any]]] = []  # ends that are written, and not on disk yet
        self._tell_at = 0.0
        self._run: Run | None = None
        self._outcome: dict[str, Any] | None = None  # of a run that is over
        self._keeping = False  # the run is over, and its record not on disk yet
        self._unrecorded = False
        self._kill_at: float | None = None  # when the next round against the tree is due
        self._striking_since = 0.0
        self._survivors = 0
        self._progress_at = 0.0

    def live(self) -> int:
        signals = process.catch_children()
        signal.signal(signal.SIGTERM, process.heed)  # arrives through the same socket
        self._selector.register(signals, selectors.EVENT_READ, self._on_signal)
        while not self._is_over():
            for key, _ in self._selector.select(self._patience()):
                if self._selector.get_map().get(key.fd) is key:  # not gone by what was done before it
                    key.data(key.fileobj)
            if self._run is not None:
                self._on_time(self._run, time.monotonic())
            while self._run is None and self._waiting:
                self._begin(self._waiting.popleft())
            if self._untold and (self._run is None or time.monotonic() >= self._tell_at):
                self._tell_ends()
        self._spare.remove()
        if not self._unrecorded:  # else the lock file stays: the next engine sees what had begun
            self._held.berth.remove()
        return 0

    def _is_over(self) -> bool:
        """With nothing to run, it stays only for an engine that is there, or about to come."""
        if self._run is not None or self._untold:
            return False
        if self._leaving or self._control.met:
            return self._leaving or not self._control.is_open
        return time.monotonic() - self._started >= FIRST_CONTACT

    # -- the engine

    def _greeting(self) -> dict[str, Any]:
        run = self._run
        return {
            "worker": self._order["worker"],
            "pid": os.getpid(),
            "current": run.attempt if run else None,
            "began": run.began + run.stood if run else None,  # as if it had never stood still
            "progress": run.progress if run else None,
        }

    def _heard(self, message: dict[str, Any]) -> None:
        if "run" in message:
            self._waiting.append(message["run"])
            if self._leaving:
                self._give_back()
        elif "stop" in message:
            stop = message["stop"]
            if self._run is not None and stop["attempt"] in (None, self._run.attempt):
                self._stop(self._run, stop["reason"], stop["grace"])
            else:
                self._give_back(stop["attempt"])
        elif "pause" in message or "continue" in message:
            self._take_turns(message)
        elif "recall" in message:
            self._give_back()
        elif "environment" in message:
            key, variables = message["environment"]
            self._environments[key] = variables
        elif "leave" in message:
            self._leave()

    def _unheard(self) -> None:
        """The engine is gone. What had not begun is nobody's: the next engine finds no trace of it."""
        self._waiting.clear()
        if self._run is not None:
            self._run.go_on()

    def _take_turns(self, message: dict[str, Any]) -> None:
        if "pause" in message:
            self._pause(message["pause"])
        elif self._run is not None and self._run.attempt == message["continue"]:
            self._run.go_on()

    def _pause(self, attempt: str) -> None:
        """What ends anyway, or has begun to, is left alone; what has not begun is given back."""
        run = self._run
        if run is None or run.attempt != attempt:
            self._give_back(attempt)
        elif run.end is None and not run.stopped and not self._keeping:
            run.stand_still()

    def _give_back(self, attempt: str | None = None) -> None:
        """What waits has not begun: all of it, or this one."""
        back = [order["attempt"] for order in self._waiting if attempt in (None, order["attempt"])]
        self._waiting = deque(order for order in self._waiting if order["attempt"] not in back)
        if back:
            self._control.tell({"returned": back})

    def _leave(self) -> None:
        self._leaving = True
        self._give_back()

    # -- a run

    def _begin(self, order: dict[str, Any]) -> None:
        run = self._run = Run(order, self._environments[order["environment"]], self._attempts, self._results)
        for pump in run.pumps:
            self._selector.register(pump.reading, selectors.EVENT_READ, partial(self._on_output, run, pump))
        add_line(self._held.lock, {"attempt": run.attempt, "cookie": run.cookie, "leaf": run.leaf.folder})
        run.start(self._spare)
        if order["timeout"] is not None:
            self._control.tell({"began": [run.attempt, run.began]})
        if run.end is not None:
            self._reap(run)

    def _on_output(self, run: Run, pump: Pump, _source: int) -> None:
        if not pump.carry(run.attempt):
            self._selector.unregister(pump.reading)

    def _on_signal(self, signals: socket.socket) -> None:
        caught = signals.recv(4096)
        if signal.SIGTERM in caught:  # somebody ends us: end the command in order first
            self._leave()
            if self._run is not None:
                self._stop(self._run, "cancelled", self._order["grace"])
        if self._run is not None:
            self._reap(self._run)

    def _stop(self, run: Run, reason: str, grace: float) -> None:
        """SIGTERM for everything below us, each hears it once. The first reason stays."""
        if run.end is not None or run.stopped:
            return
        run.stopped = reason
        below = tree.descendants(os.getpid())
        tree.strike(below, signal.SIGTERM)
        tree.strike(below, signal.SIGCONT)  # a stopped process does not hear SIGTERM
        run.go_on()
        self._kill_at = time.monotonic() + grace

    def _reap(self, run: Run) -> None:
        """Collect whoever has ended. No child left means that the whole tree is gone: orphans become ours."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._finish(run)
                return
            if pid == 0:
                break
            if pid == run.child:
                run.go_on()
                run.ended(status, usage.ru_maxrss * 1024)
                if not run.stopped:  # else they have heard the stop, too, and have the same time
                    self._kill_at = 0.0  # what it leaves behind has no time of its own

    def _on_time(self, run: Run, now: float) -> None:
        if self._keeping:
            self._keep(run)
            return
        if self._kill_at is not None and now >= self._kill_at:
            run.leaf.kill()
            self._strike(now)
            self._reap(run)
            if self._run is None:
                return
        if run.end is None and not run.stopped and (reason := run.overdue()):
            self._stop(run, reason, self._order["grace"])
        if run.news is not None and now >= self._progress_at:
            self._progress_at = now + PROGRESS_PAUSE
            self._control.tell({"progress": [run.attempt, *run.news]})
            run.news = None

    def _strike(self, now: float) -> None:
        """Another round against everything that is left, until nothing is."""
        self._striking_since = self._striking_since or now
        left = tree.strike_below(os.getpid())
        self._kill_at = now + min(max(ROUND[0], (now - self._striking_since) / 10), ROUND[1])
        if now - self._striking_since > TELL_SURVIVORS and left != self._survivors:
            self._survivors = left
            self._control.tell({"surviving": left})

    def _patience(self) -> float | None:
        """Seconds until something is due by itself."""
        now = time.monotonic()
        run = self._run
        if self._keeping:
            return DISK_PAUSE
        due = [self._tell_at - now] if self._untold else []
        if run is None:
            if not self._control.met:
                due.append(self._started + FIRST_CONTACT - now)
            return max(0.0, min(due)) if due else None
        if self._kill_at is not None:
            due.append(self._kill_at - now)
        if run.news is not None:
            due.append(self._progress_at - now)
        if run.end is None and not run.stopped and (limit := run.patience()) is not None:
            due.append(limit)
        return max(0.0, min(due)) if due else None

    # -- its end

    def _finish(self, run: Run) -> None:
        """The tree is gone. Output, then the durable record, then the word to the engine: in this order nothing is
        lost wherever a kill falls."""
        if run.leaf.is_populated() or (run.stopped and tree.strike_carriers([run.cookie])):
            self._kill_at = time.monotonic() + ROUND[0]  # it had hidden behind another process: once more
            return
        for pump in run.pumps:
            if pump.reading in self._selector.get_map():
                self._selector.unregister(pump.reading)
        self._keep(run)

    def _keep(self, run: Run) -> None:
        self._keeping = True
        try:
            self._outcome = self._outcome or run.record()
            self._ends.add(run.attempt, self._outcome)
        except OSError as error:
            print(f"{run.attempt}: no exit record: {error}", file=sys.stderr)  # noqa: T201 (the log)
            if self._outcome is None or not self._control.is_open:
                return  # tried again: an engine may come, or the disk get room
            self._unrecorded = True
            self._leave()
        if not self._untold:
            self._tell_at = time.monotonic() + SHARED
        self._untold.append((run.attempt, self._outcome))
        self._outcome, self._keeping = None, False
        run.close(self._spare)
        self._run, self._kill_at = None, None
        self._striking_since, self._survivors = 0.0, 0

    def _tell_ends(self) -> None:
        try:
            self._ends.sync()
        except OSError as error:
            print(f"{self._order['worker']}: exit records not on disk: {error}", file=sys.stderr)  # noqa: T201 (the log)
            if not self._control.is_open:
                self._tell_at = time.monotonic() + DISK_PAUSE
                return
            self._unrecorded = True
            self._leave()
        ends, self._untold = self._untold, []
        self._control.tell({"ended": ends, "file": self._ends.name})
