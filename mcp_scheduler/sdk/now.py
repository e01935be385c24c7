"""The "now" file: what a worker is doing this moment, in memory shared with its shim.

The file is mapped by both and outlives both (it lies in the page cache), so after any kill it is known which calls had
begun. Every multi-step change ends with one aligned eight-byte store that makes it visible; a kill between two steps
leaves the old word standing, or errs to the careful side (a call counts as begun).

Layout: a header of eight-byte cells in the host's own byte order, then `SLOTS` slots of `SLOT_SIZE` bytes (length,
text), one for each call that has begun and whose result the engine has not yet acknowledged; then a room of
`ROOM_SIZE` bytes (a cell of length, text) for the outcome of each, if that is short.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import Final, NamedTuple

MAGIC: Final = 0x776F6E2D6463736D  # "mcsd-now"
HEADER_SIZE: Final = 4096
SLOT_SIZE: Final = 128
SLOTS: Final = 512
ROOM_SIZE: Final = 384
_ROOMS: Final = HEADER_SIZE + SLOT_SIZE * SLOTS  # where they begin
SIZE: Final = _ROOMS + ROOM_SIZE * SLOTS
LONGEST_ATTEMPT: Final = SLOT_SIZE - 1
LONGEST_OUTCOME: Final = ROOM_SIZE - 8

# Cells of the header.
_MAGIC: Final = 0
_SEQUENCE: Final = 1  # grows by one at the begin and by one at the end of each call: odd while a call runs
_SLOT: Final = 2  # the slot of the running call
_BEGAN: Final = 3  # CLOCK_BOOTTIME, seconds
_DEADLINE: Final = 4  # CLOCK_BOOTTIME, seconds; 0 for none
_STOP_SEQUENCE: Final = 5  # the sequence that a stop is meant for
_STOP_REASON: Final = 6  # index into STOP_REASONS
_PUMPING: Final = 7  # 1 while the shim carries output from a pipe to a file
_END: Final = 8  # 1 once the whole worker is to end

STOP_REASONS: Final = ("", "cancelled", "timeout", "idle_timeout")


def boot_time() -> float:
    """Seconds since boot, suspended time included: comparable between the processes of one host."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def wall_time() -> float:
    """Seconds since the epoch, for people."""
    return time.time()  # noqa: TID251 (outside the engine)


class Running(NamedTuple):
    """The call that runs. `sequence` names this run of it; times are of CLOCK_BOOTTIME, deadline 0 for none."""

    attempt: str
    sequence: int
    began: float
    deadline: float


class Now:
    """One mapped now file. Of the methods, `begin`, `end` and `forget` belong to the worker, `ask_stop`, `ask_end` and
    `pumping =` to the shim; reading is anybody's. `begin` and `end` are called by one thread."""

    @staticmethod
    def create(path: str) -> int:
        """A new file, empty and private; returns a descriptor for `Now` and for the child."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.ftruncate(fd, SIZE)
        os.pwrite(fd, MAGIC.to_bytes(8, "little"), 0)
        return fd

    def __init__(self, fd: int) -> None:
        """Map the file behind `fd`, which may be closed afterwards. ValueError if it is not a now file."""
        if os.fstat(fd).st_size != SIZE or os.pread(fd, 8, 0) != MAGIC.to_bytes(8, "little"):
            raise ValueError("This is not a now file of this version.")
        self._map = mmap.mmap(fd, SIZE)
        view = memoryview(self._map)[:HEADER_SIZE]
        self._words = view.cast("Q")
        self._times = view.cast("d")
        self._lengths = memoryview(self._map)[_ROOMS:].cast("Q")[:: ROOM_SIZE // 8]  # of the outcomes, by slot
        self._free = [slot for slot in reversed(range(SLOTS)) if not self._map[_offset(slot)]]
        self._taken = {self._text(slot): slot for slot in range(SLOTS) if self._map[_offset(slot)]}

    # -- the worker's side

    @property
    def is_full(self) -> bool:
        """No call may begin before an older one is forgotten."""
        return not self._free

    def begin(self, attempt: str, timeout: float | None = None) -> int:
        """The call of `attempt` begins now; returns its sequence. ValueError for an id that has no room."""
        text = attempt.encode()
        if not 0 < len(text) <= LONGEST_ATTEMPT:
            raise ValueError(f"An attempt's id has 1 to {LONGEST_ATTEMPT} bytes, this one {len(text)}.")
        slot = self._free.pop()
        start = _offset(slot) + 1
        self._lengths[slot] = 0
        self._map[start : start + len(text)] = text
        self._map[start - 1] = len(text)
        self._taken[attempt] = slot
        began = boot_time()
        self._words[_SLOT] = slot
        self._times[_BEGAN] = began
        self._times[_DEADLINE] = began + timeout if timeout else 0.0
        sequence = self._words[_SEQUENCE] + 1
        self._words[_SEQUENCE] = sequence
        return sequence

    def end(self, outcome: bytes = b"") -> bool:
        """The running call is over. It still counts as begun until it is forgotten. Whether its outcome (JSON) is kept
        here: then it is known even if this process dies before it tells."""
        is_kept = 0 < len(outcome) <= LONGEST_OUTCOME
        if is_kept:
            slot = self._words[_SLOT]
            start = _room(slot)
            self._map[start : start + len(outcome)] = outcome
            self._lengths[slot] = len(outcome)
        self._words[_SEQUENCE] += 1
        return is_kept

    def forget(self, attempt: str) -> None:
        """The result of `attempt` is durable elsewhere. Unknown attempts are passed over: an ack may come twice."""
        slot = self._taken.pop(attempt, None)
        if slot is not None:
            self._map[_offset(slot)] = 0
            self._free.append(slot)

    # -- the shim's side

    def ask_stop(self, sequence: int, reason: str) -> None:
        """Say what the SIGTERM that follows is for: this run and no later one."""
        self._words[_STOP_REASON] = STOP_REASONS.index(reason)
        self._words[_STOP_SEQUENCE] = sequence

    def ask_end(self) -> None:
        """Say that the SIGTERM that follows is for the whole worker. What was asked of a run stands beside it."""
        self._words[_END] = 1

    @property
    def pumping(self) -> bool:
        """The shim is carrying output. Set before it asks which call runs, cleared after the output is in a file."""
        return bool(self._words[_PUMPING])

    @pumping.setter
    def pumping(self, value: bool) -> None:
        self._words[_PUMPING] = value

    # -- anybody's

    def running(self) -> Running | None:
        """The call that runs, or ran when the worker died."""
        while True:
            sequence = self._words[_SEQUENCE]
            if not sequence % 2:
                return None
            found = Running(self._text(self._words[_SLOT]), sequence, self._times[_BEGAN], self._times[_DEADLINE])
            if self._words[_SEQUENCE] == sequence:
                return found

    def begun(self) -> list[str]:
        """Every attempt whose call has begun and whose result is not known to be durable, the running one included."""
        return [self._text(slot) for slot in range(SLOTS) if self._map[_offset(slot)]]

    def outcomes(self) -> dict[str, bytes]:
        """How calls ended that count as begun (JSON), where that was short enough to be kept here."""
        return {
            self._text(slot): self._map[_room(slot) : _room(slot) + length]
            for slot, length in enumerate(self._lengths)
            if length and self._map[_offset(slot)]
        }

    @property
    def stop_asked(self) -> tuple[int, str]:
        """The last stop: the sequence it is meant for and its reason ("" when none was ever asked)."""
        return self._words[_STOP_SEQUENCE], STOP_REASONS[self._words[_STOP_REASON]]

    @property
    def end_asked(self) -> bool:
        """The whole worker is to end."""
        return bool(self._words[_END])

    def close(self) -> None:
        """Unmap the file."""
        self._words.release()
        self._times.release()
        self._lengths.release()
        self._map.close()

    def _text(self, slot: int) -> str:
        start = _offset(slot) + 1
        return self._map[start : start + self._map[start - 1]].decode(errors="replace")


def _offset(slot: int) -> int:
    return HEADER_SIZE + slot * SLOT_SIZE


def _room(slot: int) -> int:
    return _ROOMS + slot * ROOM_SIZE + 8
