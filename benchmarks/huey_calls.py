"""The benchmark's function for Huey; BENCH_HUEY names its database."""

from __future__ import annotations

import os
import subprocess

from huey import SqliteHuey

huey = SqliteHuey(filename=os.environ["BENCH_HUEY"])


@huey.task()
def noop(value: int = 0) -> int:
    """The work: none."""
    return value


@huey.task()
def run_true() -> int:
    """A command, as somebody would write it for Huey."""
    return subprocess.run(["/bin/true"], check=False).returncode
