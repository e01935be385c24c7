"""Where the local executor keeps its files, and what the files of one worker are called."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from mcp_scheduler.errors import ExecutorUnavailable
from mcp_scheduler.sdk.durable import sync_folder

LONGEST_ADDRESS = 107  # bytes of a unix socket's path, the kernel's limit
_NAME = len("/01234567.sock")


@dataclass(frozen=True, slots=True)
class Folders:
    """`attempts` holds output and exit records, `results` large results by content, `run` what lives only as long as
    its process does (short path: sockets lie in it), `tasks` a folder for each task that wants one."""

    attempts: Path
    results: Path
    run: Path
    tasks: Path

    @property
    def ends(self) -> Path:
        """The records that shims of commands write."""
        return self.attempts / "ends"

    @property
    def inputs(self) -> Path:
        """The files that tasks were given."""
        return self.tasks.with_name("inputs")

    def make(self) -> None:
        """Create what is missing, for this user alone, on disk before anything is in it. Errors: OSError;
        `ExecutorUnavailable` if no socket could have its address in the run folder."""
        if len(bytes(self.run)) + _NAME > LONGEST_ADDRESS:
            raise ExecutorUnavailable(f"The path of the run folder is too long for sockets: {self.run}.")
        for folder in (self.attempts, self.ends, self.results, self.run, self.tasks):
            if not folder.exists():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(folder.parent)  # a record that is synced in a folder that is not would go with it


class Berth:
    """The files of one worker in the run folder.

    `lock` is held by the shim for life and says who it is; `control` is the shim's socket, `calls` the worker's; `now`
    is the page that names the call under way; `out` and `err` take what the worker prints outside of any call.
    """

    def __init__(self, run: Path, worker: str) -> None:
        self.worker = worker
        self.lock = run / f"{worker}.lock"
        self.control = run / f"{worker}.ctl"
        self.calls = run / f"{worker}.sock"
        self.now = run / f"{worker}.now"
        self.out = run / f"{worker}.out"
        self.err = run / f"{worker}.err"

    def remove(self) -> None:
        """Take the files away, the lock last: who finds no lock file finds nothing else either."""
        for path in (self.control, self.calls, self.now, self.out, self.err, self.lock):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def berths(run: Path) -> list[Berth]:
    """Every worker that has left files in the run folder, living or not."""
    return [Berth(run, path.stem) for path in sorted(run.glob("*.lock"))]
