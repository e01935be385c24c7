"""What is remembered of a task from its first claim until it starts: it bounds how long others may pass it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

GRACE: Final = 8  # promises, or mean run times, for which a blocked task is passed over


@dataclass(slots=True)
class Blocked:
    """A task that was first in line and did not fit. `lacked`: every resource that it has found short since.

    Let `promise` be when it was first said to start, and m the mean run time of late. From `strict_at` = since +
    8 · max(promise - since, m) on, nothing is started on what it has found short but what leaves enough of it. So from
    then on, it waits at most for the end of what runs on its nodes, once for each resource that it needs.
    """

    since: float
    promise: float
    strict_at: float
    lacked: set[str] = field(default_factory=set[str])
    node: str = ""  # where it has its claim
    at: float = inf  # when it is expected to start there
