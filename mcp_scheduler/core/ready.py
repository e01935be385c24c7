"""What could run now: queues of tasks of equal terms, and a heap over their heads.

The cost of a round follows the number of heads it looks at, never the number of tasks that wait. A task leaves the
middle of its queue by being counted dead; its place is given up when it comes to the head.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from mcp_scheduler.core.task import Task, Terms

Rank = Callable[[Terms, int, float], float]
Head = tuple[float, int, Task]  # rank, seq, task: the smallest goes first


class Queue:
    """Tasks of equal terms and priority, in the order in which they run.

    Nearly all arrive in that order and stand in `line`. Those whose rank says that they belong before the last one of
    it (handed back, or given another priority) stand in the heap `early`.
    """

    __slots__ = ("cpus", "dead", "early", "line", "offered", "overtakes", "priority", "terms")

    def __init__(self, terms: Terms, priority: int) -> None:
        self.terms = terms
        self.priority = priority
        self.cpus = next((amount for name, amount in terms.needs.amounts if name == "cpus"), 0)
        self.line: deque[Head] = deque()
        self.early: list[tuple[float, int, int, Task]] = []
        self.overtakes = 0  # counts what was put into `early`: no two entries are equal
        self.dead: dict[Task, int] = {}
        self.offered: tuple[float, int] | None = None  # the head that the heap knows; its other entries are stale

    def __lt__(self, other: Queue) -> bool:
        """Entries of one head may stand in the heap twice for a moment: which is first does not matter."""
        return False

    def add(self, rank: float, task: Task) -> None:
        if self.line and (rank, task.seq) < self.line[-1][:2]:
            self.overtakes += 1
            heappush(self.early, (rank, task.seq, self.overtakes, task))
        else:
            self.line.append((rank, task.seq, task))

    def head(self) -> Head | None:
        """The first living entry; dead ones before it are dropped for good."""
        if not self.early and not self.dead:
            return self.line[0] if self.line else None
        while True:
            first = self._first()
            if first is None or not self.dead or first[2] not in self.dead:
                return first
            self.pop()
            left = self.dead[first[2]] - 1
            if left:
                self.dead[first[2]] = left
            else:
                del self.dead[first[2]]

    def pop(self) -> None:
        """Drop the first entry."""
        if self._early_first():
            heappop(self.early)
        else:
            self.line.popleft()

    def _first(self) -> Head | None:
        if self._early_first():
            rank, seq, _, task = self.early[0]
            return rank, seq, task
        return self.line[0] if self.line else None

    def _early_first(self) -> bool:
        return bool(self.early) and (not self.line or self.early[0][:2] < self.line[0][:2])


class Ready:
    """Every queue, ranked by its head: the smallest (rank, seq) first."""

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self._queues: dict[tuple[int, int], Queue] = {}  # by identity: equal terms are one object
        self._heads: list[tuple[float, int, Queue]] = []
        self._size = 0
        self.least_cpus = 0  # no waiting task needs fewer thousandths of a cpu: lets a full node end the round early

    def __len__(self) -> int:
        return self._size

    def push(self, task: Task, priority: int, queued_at: float, *, first: bool = False) -> None:
        """The task could run now. `first`: it was handed out and came back without having begun, so it goes before
        all of its kind that were behind it."""
        key = (id(task.terms), priority)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = Queue(task.terms, priority)
        if not self._size or queue.cpus < self.least_cpus:
            self.least_cpus = queue.cpus
        self._size += 1
        rank = self._rank(task.terms, priority, queued_at)
        if first and (head := queue.head()) is not None:
            rank = min(rank, head[0])
        queue.add(rank, task)
        if queue.offered is None or (rank, task.seq) < queue.offered:
            self._offer(queue, rank, task.seq)

    def remove(self, task: Task, priority: int) -> None:
        """The task waits for something else from now on, or has ended."""
        dead = self._queues[id(task.terms), priority].dead
        dead[task] = dead.get(task, 0) + 1
        self._size -= 1

    def best(self) -> tuple[Queue, Task] | None:
        """The queue whose head goes first, and that head. It stays where it is until `take` or `park`."""
        heads = self._heads
        while heads:
            rank, seq, queue = heads[0]
            if queue.offered == (rank, seq):
                head = queue.head()
                if head is not None and head[0] == rank and head[1] == seq:
                    return queue, head[2]
                heappop(heads)
                self._go_on(queue, head)
            else:
                heappop(heads)  # of a head that has gone
        return None

    def take(self) -> Task:
        """Hand out the task that `best` has just shown."""
        _, _, queue = heappop(self._heads)
        head = queue.head()
        assert head is not None
        queue.pop()
        self._size -= 1
        self._go_on(queue, queue.head())
        return head[2]

    def park(self) -> tuple[float, int, Queue]:
        """Pass over the head that `best` has just shown, until `unpark`."""
        return heappop(self._heads)

    def unpark(self, parked: list[tuple[float, int, Queue]]) -> None:
        """The round is over: what was passed over may be looked at again."""
        for entry in parked:
            heappush(self._heads, entry)

    def _go_on(self, queue: Queue, head: Head | None) -> None:
        """The head that was offered has gone: offer the next one, or forget the queue."""
        if head is not None:
            self._offer(queue, head[0], head[1])
        else:
            queue.offered = None
            del self._queues[id(queue.terms), queue.priority]

    def _offer(self, queue: Queue, rank: float, seq: int) -> None:
        queue.offered = (rank, seq)
        heappush(self._heads, (rank, seq, queue))
