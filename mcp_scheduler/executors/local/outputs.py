"""What attempts printed, and the files of large results."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from pathlib import Path

from mcp_scheduler.core.events import Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.executors.local import log
from mcp_scheduler.executors.local.folders import Folders
from mcp_scheduler.ports import Printed, Pruned

SUFFIXES = {"stdout": "out", "stderr": "err"}
CLOCK_GRAIN = 0.05  # seconds that a folder's time of change may lag behind
CLAIMED = 600.0  # seconds; a result's file that was returned again so lately may be about to be named by a task
_RESULT_FILE = re.compile(r"[0-9a-f]{64}")
_ASIDE = ".aside"


class LocalOutputs:
    """Implements `ports.Outputs`. Reading goes to a thread; what an attempt never printed reads as empty."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._attempts = str(folders.attempts)

    async def read(self, attempt: AttemptId, stream: str, *, offset: int, limit: int) -> Printed:
        """Bytes of the stream from `offset` (negative: from its end)."""
        text, end, total = await asyncio.to_thread(log.read, self._place(attempt, stream), offset, limit)
        return Printed(text, offset if offset >= 0 else max(0, total + offset), end, total)

    async def result(self, file: str) -> bytes:
        """Errors: `InvalidRequest` for a name that is none, or a file that was pruned."""
        path = self._result_place(file)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError:
            raise InvalidRequest(f"The result {file} is not here any more.") from None

    async def files(self) -> list[str]:
        """The names of all large results."""
        return await asyncio.to_thread(self._all)

    def discard(self, file: str) -> None:
        """Remove one now, not in a thread: nothing may begin between the look that it is not wanted and this."""
        self._result_place(file).unlink(missing_ok=True)

    async def remove(self, pruned: Pruned) -> list[str]:
        return await asyncio.to_thread(self._remove, pruned)

    def changed_at(self) -> float:
        """Who began after this time has printed nothing: a first byte makes a file, and that changes the folder."""
        return os.stat(self._attempts).st_mtime + CLOCK_GRAIN

    def count(self, attempt: AttemptId, outcome: Outcome) -> None:
        """Note in `outcome` how much was printed."""
        outcome.stdout_bytes = log.length(self._place(attempt, "stdout"))
        outcome.stderr_bytes = log.length(self._place(attempt, "stderr"))

    def _place(self, attempt: AttemptId, stream: str) -> Path:
        return self._folders.attempts / f"{attempt}.{SUFFIXES[stream]}"

    def _result_place(self, file: str) -> Path:
        if not _RESULT_FILE.fullmatch(file):
            raise InvalidRequest(f"{file[:80]!r} does not name a result.")
        return self._folders.results / file[:2] / file

    def _all(self) -> list[str]:
        for aside in self._folders.results.glob(f"*/*{_ASIDE}"):  # whoever put it there was killed
            aside.rename(aside.with_suffix(""))
        places = self._folders.results.glob("*/*")
        return [place.name for place in places if _RESULT_FILE.fullmatch(place.name)]

    def _remove(self, pruned: Pruned) -> list[str]:
        tasks = set(pruned.tasks)
        if tasks:
            for path in self._folders.attempts.iterdir():
                if path.name.partition(".")[0] in tasks:  # drafts of somebody who was killed, too
                    path.unlink(missing_ok=True)
        for task in tasks:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._folders.tasks / task)
        return [file for file in pruned.result_files if not _is_removed(self._result_place(file))]


def _is_removed(place: Path) -> bool:
    """Remove a result's file, unless a call has returned the same lately. It is put aside first: whoever returns the
    same from then on finds nothing and writes it anew, and a claim from before that can be seen."""
    aside = place.with_name(place.name + _ASIDE)
    try:
        place.rename(aside)
    except FileNotFoundError:
        return True
    seen = aside.stat()
    if seen.st_ctime - seen.st_mtime < CLAIMED:  # from the last claim until it was put aside
        aside.rename(place)
        return False
    aside.unlink()
    return True
