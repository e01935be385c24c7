"""How a command ended, as its durable record tells it: exit code or signal, a sentence, and its result."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mcp_scheduler.executors.local import log
from mcp_scheduler.executors.local.ending import signal_name
from mcp_scheduler.plaintext import one_line, plain_text

STDOUT_TAIL: Final = 2048  # bytes of standard output that a result carries
INLINE: Final = 64 * 1024  # bytes; a larger result becomes a file named by its content
LARGEST: Final = 64 * 1024 * 1024  # bytes of $MCP_SCHEDULER_RESULT
LINE: Final = 500  # characters of the line that an error quotes
_RAW: Final = 4 * STDOUT_TAIL  # bytes that are looked at: escape sequences and progress bars fall away

_STOPPED: Final = {
    "cancelled": "The command was cancelled.",
    "timeout": "The command ran longer than its timeout.",
    "lost": "The device that it ran on is gone or broken.",
    "idle_timeout": "The command printed nothing for longer than its idle timeout.",
}
_FIRST_LINE: Final = 256  # bytes of it that the kernel reads
_REFUSED: Final = {
    errno.EACCES: "it may not be executed by this user",
    errno.ENOEXEC: "it is no program, and has no #! line that names an interpreter",
    errno.E2BIG: "its arguments and its environment are together larger than the system takes; put long texts into "
    "`stdin` or into a file",
    errno.EAGAIN: "the limit of processes of this user is reached",
    errno.ENOTDIR: "a part of its path is no folder",
    errno.EINVAL: "an argument or a variable holds a NUL byte",
}


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """The end of a command's own process. `stopped` is why it was told to end ("" for nobody told it), `failure` why
    it never started."""

    exit_code: int | None = None
    signum: int | None = None
    memory_peak: int = 0
    oom: bool = False
    stopped: str = ""
    failure: str = ""

    @classmethod
    def of(cls, status: int, memory_peak: int, stopped: str, oom_seen: Callable[[], bool]) -> CommandEnd:
        """From the kernel's wait status. A SIGKILL that nobody sent, while an OOM kill was counted, was that one."""
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return cls(exit_code=code, memory_peak=memory_peak, stopped=stopped)
        oom = -code == signal.SIGKILL and not stopped and oom_seen()
        return cls(signum=-code, memory_peak=memory_peak, oom=oom, stopped=stopped)

    def text(self) -> str:
        """One sentence on how the process went."""
        if self.signum is not None:
            return f"It was killed by signal {self.signum} ({signal_name(self.signum)})."
        return f"It exited with {self.exit_code}."


def refusal(program: str, folder: str, error: OSError | ValueError) -> str:
    """Why a command could not be started."""
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    if isinstance(error, OSError) and error.filename == folder and folder != program:
        return f"The command cannot run in {folder}: {os.strerror(number or 0)}."
    why = _absent(program) if number == errno.ENOENT else _REFUSED.get(number or 0) or os.strerror(number or 0)
    return f"{program} cannot be started: {why}."


def _absent(program: str) -> str:
    """What is not there: the program, or the interpreter that its first line names."""
    try:
        with open(program, "rb") as file:
            first = file.readline(_FIRST_LINE)
    except OSError:
        return "there is no such program"
    if not first.startswith(b"#!"):
        return "the loader that it asks for is not there; it was made for another system"
    interpreter = first[2:].strip(b" \n")
    if interpreter.endswith(b"\r"):
        return f"its lines end as on Windows, and so does the name of its interpreter: sed -i 's/\\r$//' {program}"
    return f"its first line names an interpreter that is not there: {interpreter.decode(errors='replace')}"


def record(end: CommandEnd, out: Path, err: Path, result: Path, results: Path) -> dict[str, Any]:
    """The outcome. `out`, `err`: what was printed; `result`: the file that the command may have written, which is
    taken away; `results`: the folder of large results. Errors: OSError."""
    printed, _, stdout_bytes = log.read(out, -_RAW, _RAW)
    complained, _, stderr_bytes = log.read(err, -_RAW, _RAW)
    told: dict[str, Any] = {
        "exit_code": end.exit_code,
        "signal": end.signum,
        "memory_peak": end.memory_peak,
        "stdout_bytes": stdout_bytes,
        "stderr_bytes": stderr_bytes,
    }
    reason, error = _verdict(end, complained or printed)
    if reason is None:
        reason, error, more = _success(printed, result, results)
        told |= more
    result.unlink(missing_ok=True)
    return {"reason": reason, "error": error, **told}


def _verdict(end: CommandEnd, said: bytes) -> tuple[str | None, str]:
    if end.failure:
        return "rejected", end.failure
    if end.stopped:
        return end.stopped, f"{_STOPPED[end.stopped]} {end.text()}"
    if end.oom:
        return "out_of_memory", "The command was killed by the kernel's out-of-memory killer (SIGKILL)."
    if end.signum is not None:
        return "crashed", f"The command was killed by signal {end.signum} ({signal_name(end.signum)})."
    if end.exit_code:
        last = _last_line(said)
        return "error", f"exited with {end.exit_code}" + (f": {last}" if last else "")
    return None, ""


def _last_line(said: bytes) -> str:
    lines = plain_text(said.decode(errors="replace")).split("\n")
    return next((told for line in reversed(lines) if (told := one_line(line, LINE))), "")


def _success(printed: bytes, result: Path, results: Path) -> tuple[str | None, str, dict[str, Any]]:
    told: dict[str, Any] = {"exit_code": 0, "stdout_tail": tail_of(printed)}
    try:
        fd = os.open(result, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None, "", {"result": json.dumps(told, ensure_ascii=False)}
    from mcp_scheduler.sdk.results import NotJson  # noqa: PLC0415 - loads OpenSSL: not into every shim

    try:
        with open(fd, "rb") as file:
            return None, "", _with_result(told, file.fileno(), results)
    except NotJson as error:
        return "error", f"{error} (The command itself exited with 0.)", {}


def _with_result(told: dict[str, Any], fd: int, results: Path) -> dict[str, Any]:
    """Raises NotJson, with what to do instead."""
    from mcp_scheduler.sdk.results import NotJson, encode, encoded_bytes, store  # noqa: PLC0415 - as above

    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST:
        raise NotJson(
            f"$MCP_SCHEDULER_RESULT is no regular file of at most {LARGEST:,} bytes. Write large things into "
            "$MCP_SCHEDULER_FOLDER, and their names into the result."
        )
    try:
        value = json.loads(os.pread(fd, facts.st_size, 0).decode())
    except (ValueError, RecursionError) as error:
        raise NotJson(
            f"What the command wrote to $MCP_SCHEDULER_RESULT is not JSON: {str(error)[:200]}. Write one JSON value "
            "there (json.dump does), or nothing."
        ) from None
    text = encode({**told, "result": value})
    raw = encoded_bytes(text, 2 * LARGEST)
    if len(raw) <= INLINE:
        return {"result": text}
    return {"result_file": store(results, raw), "result_size": len(raw)}


def tail_of(printed: bytes) -> str:
    """The end of standard output, fit to be read by a model."""
    text = plain_text(printed.decode(errors="replace")).encode(errors="replace")
    return text[-STDOUT_TAIL:].decode(errors="ignore")
