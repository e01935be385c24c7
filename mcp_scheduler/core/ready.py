"""What could run now: FIFO queues of tasks of equal terms, and a heap over their heads.

The cost of a round follows the number of heads it looks at, never the number of tasks that wait. A task leaves the
middle of its queue by being counted dead; its place is given up when it comes to the head.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from mcp_scheduler.core.task import Task, Terms

Rank = Callable[[Terms, int, float], float]


class Queue:
    """Tasks of equal terms and priority, in the order in which they run."""

    __slots__ = ("dead", "items", "offered", "priority", "terms")

    def __init__(self, terms: Terms, priority: int) -> None:
        self.terms = terms
        self.priority = priority
        self.items: deque[tuple[float, int, Task]] = deque()  # (rank, seq, task)
        self.dead: dict[Task, int] = {}
        self.offered: tuple[float, int] | None = None  # which head the heap knows; its other entries are stale

    def __lt__(self, other: Queue) -> bool:
        """Entries of one head may stand in the heap twice for a moment: which is first does not matter."""
        return False

    def head(self) -> tuple[float, int, Task] | None:
        """The first living entry; dead ones before it are dropped for good."""
        items, dead = self.items, self.dead
        while items:
            entry = items[0]
            if not dead or entry[2] not in dead:
                return entry
            items.popleft()
            count = dead[entry[2]] - 1
            if count:
                dead[entry[2]] = count
            else:
                del dead[entry[2]]
        return None


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

    def push(self, task: Task, priority: int, queued_at: float, *, front: bool = False) -> None:
        """The task could run now. `front`: it was handed out and came back without having begun."""
        key = (id(task.terms), priority)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = Queue(task.terms, priority)
        cpus = _cpus(task.terms)
        self.least_cpus = cpus if not self._size else min(cpus, self.least_cpus)
        entry = (self._rank(task.terms, priority, queued_at), task.seq, task)
        self._size += 1
        if front:
            queue.items.appendleft(entry)
        else:
            queue.items.append(entry)
            if queue.offered is not None:
                return
        self._offer(queue, entry)

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
            head = queue.head()
            if head is not None and queue.offered == (rank, seq) == (head[0], head[1]):
                return queue, head[2]
            heappop(heads)  # of a head that has gone
            if head is None:
                self._forget(queue)
            elif queue.offered != (head[0], head[1]):
                self._offer(queue, head)
        return None

    def take(self) -> Task:
        """Hand out the task that `best` has just shown."""
        _, _, queue = heappop(self._heads)
        _, _, task = queue.items.popleft()
        self._size -= 1
        head = queue.head()
        if head is not None:
            self._offer(queue, head)
        else:
            self._forget(queue)
        return task

    def park(self) -> tuple[float, int, Queue]:
        """Pass over the head that `best` has just shown, until `unpark`."""
        return heappop(self._heads)

    def unpark(self, parked: list[tuple[float, int, Queue]]) -> None:
        """The round is over: what was passed over may be looked at again."""
        for entry in parked:
            heappush(self._heads, entry)

    def rerank(self, rank: Rank, entries: Iterator[tuple[Task, int, float]]) -> None:
        """Another policy: everything is ranked anew. `entries` are (task, priority, queued_at) in arrival order."""
        self.__init__(rank)
        for task, priority, queued_at in entries:
            self.push(task, priority, queued_at)

    def _offer(self, queue: Queue, head: tuple[float, int, Task]) -> None:
        queue.offered = (head[0], head[1])
        heappush(self._heads, (head[0], head[1], queue))

    def _forget(self, queue: Queue) -> None:
        queue.offered = None
        self._queues.pop((id(queue.terms), queue.priority), None)


def _cpus(terms: Terms) -> int:
    for name, amount in terms.needs.amounts:
        if name == "cpus":
            return amount
    return 0
