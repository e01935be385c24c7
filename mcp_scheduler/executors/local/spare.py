"""An empty folder at hand for the next command: renaming one costs a tenth of making and removing it."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

MODE = 0o700


def place(tasks: Path, shim: str) -> Path:
    """Where a shim keeps it. No task is called so."""
    return tasks / f".{shim}"


class Spare:
    """One folder, which is lent as a task's and taken back when nothing was put into it."""

    def __init__(self, tasks: Path, shim: str) -> None:
        self._place = str(place(tasks, shim))
        self._is_here = False

    def lend(self, folder: str) -> None:
        """Have `folder` be there; one that is there already stays as it is. Errors: OSError."""
        if self._is_here and not os.path.lexists(folder):
            os.rename(self._place, folder)
            self._is_here = False
        else:
            os.makedirs(folder, mode=MODE, exist_ok=True)

    def take_back(self, folder: str) -> None:
        """Nobody uses it any more."""
        try:
            if os.listdir(folder):
                return  # the command keeps something there
            if self._is_here or stat.S_IMODE(os.stat(folder).st_mode) != MODE:
                os.rmdir(folder)
            else:
                os.rename(folder, self._place)
                self._is_here = True
        except OSError:
            return  # the command has taken it away itself, or the right to look at it

    def remove(self) -> None:
        if self._is_here:
            with contextlib.suppress(OSError):
                os.rmdir(self._place)
