"""Runs calls one after the other in the main thread, and leaves the process as each call found it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mcp_scheduler.sdk import inputs
from mcp_scheduler.sdk.chunk import Chunk
from mcp_scheduler.sdk.current import RUNNING, CurrentTask, Yielded
from mcp_scheduler.sdk.describe import Offered
from mcp_scheduler.sdk.failures import lacks_memory, spoilt, told
from mcp_scheduler.sdk.link import Link, Waiting
from mcp_scheduler.sdk.memory import Peak
from mcp_scheduler.sdk.now import Now, wall_time
from mcp_scheduler.sdk.output import Output
from mcp_scheduler.sdk.plain import BadArguments
from mcp_scheduler.sdk.renewal import Renewal
from mcp_scheduler.sdk.results import NotJson, encode, encoded_bytes, store
from mcp_scheduler.sdk.stops import Stopped, Stops

if TYPE_CHECKING:
    import asyncio

_quoted: Final[Callable[[str], str]] = json.encoder.encode_basestring  # without a new encoder for each call


class Limits(NamedTuple):
    """`inline` and `result` are bytes of JSON; larger results than `inline` become files, than `result` errors."""

    inline: int = 64 * 1024
    result: int = 256 * 1024 * 1024
    calls: int = 20_000
    growth: int = 1 << 30  # bytes of resident memory
    alone: float = 30.0  # seconds without an engine and without a call


class End(NamedTuple):
    """How a call ended, before its result is written: reason None for success. `text` is the result as JSON, where it
    is that already; a chunk has one though some of its items failed."""

    reason: str | None
    error: str = ""
    value: Any = None
    text: str | None = None


class Calls:
    """The main thread's work: take, run, report, until the worker is to end."""

    def __init__(
        self,
        link: Link,
        now: Now,
        functions: Mapping[str, Offered],
        *,
        tasks: Path,
        results: Path,
        limits: Limits,
        kept: str = "",
    ) -> None:
        self._link = link
        self._now = now
        self._functions = functions
        self._tasks = str(tasks)
        self._kept = kept  # the folder of inputs
        self._results = results
        self._limits = limits
        self._stops = Stops(now, link.end)
        self._output = Output()
        self._peak = Peak()
        self._folder = os.getcwd()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_child = False
        self._stopped = False  # the last call was stopped: what it left in this process is anybody's guess
        self._spoilt = ""  # why no other call shall run in this process
        self.fingerprint = ""
        os.register_at_fork(after_in_child=self._forked)

    def serve(self, renewal: Renewal) -> None:
        """Run calls until somebody ends the worker or it is due for renewal."""
        while True:
            waiting = self._link.take()
            if self._link.ending:
                self._link.leave("it was asked to end", [waiting.attempt] if waiting else [])
                return
            if waiting is None:
                continue
            due = renewal.due()
            if due:
                self._link.leave(due, [waiting.attempt])
                return
            sequence = self._link.begin(waiting)
            if sequence:
                self._run(waiting, sequence)
                renewal.rests()
            if self._stopped:
                self._link.leave("")
                return
            if self._spoilt:
                self._link.leave(self._spoilt)
                return

    def _run(self, waiting: Waiting, sequence: int) -> None:
        attempt, call = waiting.attempt, waiting.call
        task, _, number = attempt.rpartition(".")
        folder = f"{self._tasks}/{task}"
        os.environ["MCP_SCHEDULER_ATTEMPT"] = attempt
        os.environ["MCP_SCHEDULER_FOLDER"] = folder
        if inputs.VARIABLE in os.environ:
            del os.environ[inputs.VARIABLE]
        RUNNING.task = CurrentTask(
            task, int(number), folder, name=call.get("name") or "", devices=tuple(call.get("devices") or ()),
            report=self._reporter(attempt), stop_asked=self._stops.asked,
            yield_asked=lambda: self._link.yield_asked == attempt,
        )  # fmt: skip
        started = time.perf_counter()
        end = self._ended(call, sequence)
        if self._is_child:
            os._exit(0)  # a child that user code forked has come back: its parent reports
        seconds = time.perf_counter() - started
        RUNNING.task = None
        if call.get("devices"):
            self._spoilt = spoilt(end.reason, end.error)
        outcome = self._outcome(end, seconds)
        self._tidy()
        self._link.done(attempt, outcome)

    def _reporter(self, attempt: str) -> Callable[[float | None, str], None]:
        def report(fraction: float | None, text: str) -> None:
            with self._stops.shield():
                self._link.progress(attempt, fraction, text)

        return report

    # -- the call itself

    def _ended(self, call: dict[str, Any], sequence: int) -> End:
        name = call["function"]
        offered = self._functions.get(name)
        if offered is None:
            return End(
                "rejected", f"There is no function {name} here: its code has changed, or it could not be loaded."
            )
        task = RUNNING.task
        assert task is not None
        chunk = (
            Chunk(call["each"], call["first"], f"{self._tasks}/{task.id}", call.get("seconds", 0.0))
            if "each" in call
            else None
        )
        try:
            end = self._stoppable(offered, call, chunk, sequence)
        except Stopped:
            end = End(None)
        self._stops.disarm()
        # Looked at once: a stop that is heard after this line has missed the call. The engine hears that the call ended
        # by itself, and gives this worker more to do: so it must stay.
        self._stopped = bool(self._stops.reason)
        if self._stopped:
            end = End(self._stops.reason, f"The call was asked to stop ({self._stops.reason}).")
        return end if chunk is None else _closed(chunk, end)

    def _stoppable(self, offered: Offered, call: dict[str, Any], chunk: Chunk | None, sequence: int) -> End:
        """Stopped may come out of any line here, the last included."""
        value = None
        try:
            self._stops.arm(sequence)
            if "inputs" in call:
                self._lay_out(call["inputs"]["tree"])
            if chunk is None:
                value = self._value(offered, call.get("arguments") or {})
            else:
                assert RUNNING.task is not None
                chunk.run(lambda item: self._value(offered, item), RUNNING.task)
            self._stops.disarm()
        except Stopped:
            raise
        except Yielded:
            self._stops.disarm()
            return End("yielded", "It gave way to others; the next attempt goes on from its folder.")
        except BadArguments as mismatch:
            return End("rejected", f"{offered.name}: {mismatch}")
        except BaseException as error:  # noqa: BLE001 (SystemExit and whatever else user code raises)
            self._stops.disarm()
            return End(_reason(error), told(error))
        return End(None, "", value)

    def _lay_out(self, tree: str) -> None:
        assert RUNNING.task is not None
        try:
            folder = inputs.lay_out(self._kept, tree, os.environ["MCP_SCHEDULER_ATTEMPT"])
        except OSError as error:
            raise OSError(f"The inputs cannot be laid out: {error}.") from error
        os.environ[inputs.VARIABLE] = folder
        RUNNING.task.inputs_are_in(folder)

    def _value(self, offered: Offered, arguments: dict[str, Any]) -> Any:
        value = offered.call(**offered.convert(arguments))
        if hasattr(value.__class__, "__await__"):
            value = self._awaited(value)
        if self._is_child:
            os._exit(0)  # a child that user code forked has come back: its parent goes on
        return value

    def _awaited(self, awaitable: Any) -> Any:
        import asyncio  # noqa: PLC0415 (costs 40 ms that most workers never need)

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        loop = self._loop
        task = loop.create_task(_whole(awaitable))

        def cancel() -> None:
            loop.call_soon_threadsafe(task.cancel)

        try:
            with self._stops.cancelling(cancel):
                return loop.run_until_complete(task)
        finally:
            left = asyncio.all_tasks(loop)
            for other in left:
                other.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=1))

    # -- after the call

    def _outcome(self, end: End, seconds: float) -> str:
        text, name, size = "null", "", 0
        if end.reason is None or end.text is not None:
            try:
                text = encode(end.value) if end.text is None else end.text
                raw = encoded_bytes(text, self._limits.result)
                size = len(raw)
                if size > self._limits.inline:
                    text, name = "null", store(self._results, raw)
                else:
                    text = _quoted(text)
            except NotJson as problem:
                end, text, size = End("error", str(problem)), "null", 0
            except OSError as error:
                end, text, size = End("error", f"The result cannot be written to disk: {error}"), "null", 0
            except BaseException as error:  # noqa: BLE001 (a property or a __str__ of the user's result)
                end, text, size = End(_reason(error), told(error)), "null", 0
        parts = f'"result":{text}' if text != "null" else ""
        if end.reason is not None:
            parts += f',"reason":"{end.reason}","error":{_quoted(end.error)}'
        if name:
            parts += f',"result_file":"{name}"'
        return (
            f'{{"seconds":{seconds:.7f},"at":{wall_time():.6f},"memory_peak":{self._peak.take(seconds)},'
            f'"result_size":{size},"fingerprint":"{self.fingerprint}"{"," if parts else ""}{parts.lstrip(",")}}}'
        )

    def _tidy(self) -> None:
        self._stops.install()
        self._output.restore()
        self._output.drain(self._now)
        try:
            folder = os.getcwd()
        except OSError:
            folder = ""  # it has been removed under us
        if folder != self._folder:
            with contextlib.suppress(OSError):
                os.chdir(self._folder)

    def _forked(self) -> None:
        """In a child that user code forked: it is no worker."""
        self._is_child = True
        self._stops.disarm()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._link.abandon()


async def _whole(awaitable: Any) -> Any:
    return await awaitable


def _closed(chunk: Chunk, end: End) -> End:
    """A chunk of which an item failed has failed, with the results of the others; what is done is kept for the next
    attempt."""
    failure = chunk.failure()
    if end.reason is None and not failure:
        return End(None, text=chunk.result())
    reason, error = (end.reason, end.error) if end.reason is not None else ("error", failure)
    try:
        chunk.keep(is_part=reason == "yielded")
    except OSError as problem:
        reason = "error" if reason == "yielded" else reason  # to begin anew each time would never end
        error += f"\nWhat is done could not be kept for the next attempt: {problem}"
    return End(reason, error, text=chunk.result())


def _reason(error: BaseException) -> str:
    return "out_of_memory" if lacks_memory(error) else "error"
