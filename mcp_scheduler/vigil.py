"""Whether the engine at the other end of a door still lives: silence while somebody waits, a question, silence again.

Standard library only, and little of it: every client's start imports this file.
"""

from __future__ import annotations

QUIET = 5.0  # seconds of silence, while somebody waits, after which the engine is asked for a sign of life
FROZEN = 10.0  # seconds that it then has
# Any answer is a sign of life, an error as well: both eras of the protocol give one.
QUESTION = b'{"jsonrpc":"2.0","id":"mcp-scheduler relay: alive?","method":"ping"}\n'
QUESTION_ID = "mcp-scheduler relay: alive?"


class Vigil:
    """Told by `heard` of every byte of the engine, and asked by `step` what to do. Times are monotonic, in seconds."""

    __slots__ = ("_asked", "_frozen", "_quiet", "_since")

    def __init__(self, quiet: float = QUIET, frozen: float = FROZEN) -> None:
        self._quiet = quiet
        self._frozen = frozen
        self._since: float | None = None  # since when somebody waits in silence
        self._asked = False

    @property
    def limit(self) -> float:
        """Seconds of silence after which an engine counts as hanging."""
        return self._quiet + self._frozen

    def heard(self) -> None:
        """The engine has said something, or another one has taken its place."""
        self._since = None
        self._asked = False

    def step(self, now: float, waits: bool) -> str:
        """What is to be done: "ask" the engine, "give up" on what waits, or "" for nothing."""
        if not waits:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now >= self._since + self.limit:
            self._since = now  # who asks from now on has the same time
            return "give up"
        elif not self._asked and now >= self._since + self._quiet:
            self._asked = True  # once: what is asked of a frozen engine stays in its socket
            return "ask"
        return ""

    def patience(self, now: float) -> float | None:
        """Seconds until `step` has something to say; None for never."""
        if self._since is None:
            return None
        return max(0.0, self._since + (self.limit if self._asked else self._quiet) - now)


def told(pid: int, seconds: float) -> str:
    """Why a request has no answer, and what to do, for the model that made it."""
    return (
        f"{why(pid, seconds)} What was asked may still be carried out when it goes on: look with list_tasks before you "
        f"repeat a submission without an idempotency_key. {mend(pid)}"
    )


def why(pid: int, seconds: float) -> str:
    """What hangs, for a person."""
    how = "it is stopped (by SIGSTOP, or a debugger)" if _stands(pid) else "it hangs, or the machine is overloaded"
    return f"The scheduler's engine (process {pid}) has not answered for {seconds:.0f} s: {how}."


def mend(pid: int) -> str:
    """What a person can do about it."""
    act = f"`kill -CONT {pid}` lets it go on" if _stands(pid) else f"`kill -9 {pid}` ends it"
    return f"{act}; after an end the next call starts another engine, and nothing acknowledged is lost."


def _stands(pid: int) -> bool:
    return _state(pid) in ("T", "t")


def _state(pid: int) -> str:
    """The kernel's letter for the process's state, "" where it does not say."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
