"""What a running call can ask and tell about itself."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # known to type checkers; `typing` itself would cost more than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Final, NoReturn

PROGRESS_INTERVAL: Final = 0.1  # seconds between two reports of progress; what comes faster is dropped
LONGEST_TEXT: Final = 500


class Yielded(BaseException):
    """This call gives way to others. Not an Exception, so that `except Exception` lets it pass."""


class CurrentTask:
    """The task whose call runs now. Usable from any thread of the call.

    `id` is the task, `attempt` counts its runs from 1, `devices` are the GPUs reserved for it.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 (the word that users know it by)
        attempt: int,
        folder: str,
        *,
        name: str = "",
        devices: tuple[str, ...] = (),
        inputs: str = "",
        report: Callable[[float | None, str], None] | None = None,
        stop_asked: Callable[[], bool] | None = None,
        yield_asked: Callable[[], bool] | None = None,
    ) -> None:
        self.id = id
        self.attempt = attempt
        self.name = name
        self.devices = devices
        self._folder = folder
        self._inputs = inputs
        self._report = report
        self._stop_asked = stop_asked
        self._yield_asked = yield_asked
        self._next_report = 0.0

    @property
    def folder(self) -> Path:
        """The task's own folder, the same for all its attempts: checkpoints and files to hand on. Made on first use."""
        from pathlib import Path  # noqa: PLC0415 (every import of the decorator would pay for it)

        if not self._folder:
            from tempfile import mkdtemp  # noqa: PLC0415

            self._folder = mkdtemp(prefix="task-")
        folder = Path(self._folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def inputs(self) -> Path:
        """The folder with the files that the task was given as `inputs`, as they were when it was submitted: a copy for
        this attempt alone. Without any, the working folder, below which such files are named."""
        from pathlib import Path  # noqa: PLC0415 (as above)

        return Path(self._inputs) if self._inputs else Path.cwd()

    def inputs_are_in(self, folder: str) -> None:
        """For the worker, which lays them out."""
        self._inputs = folder

    @property
    def cancelled(self) -> bool:
        """Somebody asked this call to stop (a person, or its timeout): end soon, by force it ends seconds later."""
        return self._stop_asked is not None and self._stop_asked()

    def should_yield(self) -> bool:
        """Whether others wait and this call has had its turn (policy `time_slice`): save what is done into `folder`,
        then `give_way`. Cheap enough for inner loops. Who does not ask runs to the end."""
        return self._yield_asked is not None and self._yield_asked()

    def give_way(self) -> NoReturn:
        """End this attempt, which is no failure: the task is queued again, and its next attempt finds `folder` as it
        is."""
        raise Yielded

    def progress(self, fraction: float | None = None, text: str = "") -> None:
        """Tell how far the call is: `fraction` from 0 to 1 (None if unknown) and a short text.

        Cheap enough for inner loops: at most ten a second are sent, and 1.0 always. ValueError for other fractions.
        """
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(f"The fraction of progress is a number from 0 to 1, not {fraction!r}.")
        now = time.monotonic()
        if self._report is not None and (now >= self._next_report or fraction == 1):
            self._next_report = now + PROGRESS_INTERVAL
            self._report(None if fraction is None else float(fraction), str(text)[:LONGEST_TEXT])


class Cell:
    """The place where a worker puts the task of the call that it runs."""

    task: CurrentTask | None = None


RUNNING: Final = Cell()


def current_task() -> CurrentTask:
    """The task this code runs for.

    In a program that a task started, it is read from the environment and progress goes out as printed lines. Outside
    of any task there is a stand-in, so that functions can be called and tested as they are: its id is empty, its
    folder a temporary one, and its progress goes nowhere.
    """
    if RUNNING.task is None:
        RUNNING.task = _from_environment()
    return RUNNING.task


def _from_environment() -> CurrentTask:
    task, _, number = os.environ.get("MCP_SCHEDULER_ATTEMPT", "").rpartition(".")
    if not task:
        return CurrentTask("", 1, "")
    folder, inputs = (os.environ.get(f"MCP_SCHEDULER_{name}", "") for name in ("FOLDER", "INPUTS"))
    return CurrentTask(task, int(number), folder, inputs=inputs, report=_print_progress)


def _print_progress(fraction: float | None, text: str) -> None:
    share = "" if fraction is None else f"{fraction:.4g} "
    print(f"progress: {share}{text}", flush=True)  # noqa: T201 (the line that the scheduler reads progress from)
