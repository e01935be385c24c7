"""The loop of RLScheduler's simulator (Zhang et al., SC20), as the published table was made. It is not ours: it shows
that the reader and the windows are right, because it gives the published figures to the second decimal.

What it does differently from a scheduler: the head, once picked, is fixed until it starts; behind it, jobs are tried in
the order of their arrival, and must end before the head could start. The published WFP3 and UNI saw a waiting time of
`-1 - submit`, and are left out here for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mcp_scheduler.core.task import MILLI
from mcp_scheduler.simulation.jobs import Job

Key = Callable[[Job], tuple[float, float]]
RULES: dict[str, Key] = {
    "FCFS": lambda job: (job.submit, 0.0),
    "SJF": lambda job: (job.run, job.submit),
}


class Loop:
    """A window of jobs on so many processors, with true run times."""

    def __init__(self, jobs: Sequence[Job], processors: int, key: Key) -> None:
        self.jobs = jobs
        self.key = key
        self.free = processors
        self.now = jobs[0].submit
        self.queue: list[Job] = [jobs[0]]
        self.arrived = 1
        self.running: list[tuple[float, int, Job]] = []  # end, order of starting
        self.started: dict[str, float] = {}

    def run(self, *, backfill: bool) -> dict[str, float]:
        """When each job starts."""
        while True:
            self.queue.sort(key=self.key)
            head = self.queue[0]
            if self.free < size(head):
                self._wait_for(head, backfill=backfill)
            self._start(head)
            if not self.queue and self.arrived >= len(self.jobs):
                return self.started
            while not self.queue:
                self._step()

    def _wait_for(self, head: Job, *, backfill: bool) -> None:
        shadow = self._shadow(head)
        while self.free < size(head):
            if backfill:
                for job in sorted(self.queue, key=lambda job: job.submit):
                    if self.now + job.run < shadow and self.free >= size(job):
                        self._start(job)
            self._step()

    def _shadow(self, head: Job) -> float:
        """When the head could start if nothing else did."""
        free = self.free
        for end, _, job in sorted(self.running):
            free += size(job)
            if free >= size(head):
                return end
        return self.now

    def _start(self, job: Job) -> None:
        self.started[job.id] = self.now
        self.free -= size(job)
        self.running.append((self.now + job.run, len(self.started), job))
        self.queue.remove(job)

    def _step(self) -> None:
        """On to the next arrival or end. Of two at one moment the arrival comes first."""
        self.running.sort(key=lambda entry: entry[0])  # stable: as it stood before
        release = self.running[0][0] if self.running else float("inf")
        if self.arrived < len(self.jobs) and self.jobs[self.arrived].submit <= release:
            self.now = max(self.now, self.jobs[self.arrived].submit)
            self.queue.append(self.jobs[self.arrived])
            self.arrived += 1
        else:
            self.now = max(self.now, release)
            self.free += size(self.running.pop(0)[2])


def size(job: Job) -> int:
    """Processors."""
    return next(amount for name, amount in job.needs.amounts if name == "cpus") // MILLI
