"""What could run now: queues of tasks of equal terms, gathered into crowds of equal needs, and a heap over each.

If the first of a crowd finds no room, none of it does: a round passes over the whole crowd at once. So its cost follows
the number of different needs, never the number of queues or of tasks that wait. A task leaves the middle of its queue
by being counted dead; its place is given up when it comes to the head.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

from mcp_scheduler.core.task import Needs, Task, Terms

Rank = Callable[[Terms, int, float], float]
Head = tuple[float, int, Task]  # rank, seq, task: the smallest goes first


class Member(Protocol):
    """What has a head. `offered` is the one that the heap knows: its other entries are stale."""

    offered: tuple[float, int] | None

    def head(self) -> Head | None: ...


M = TypeVar("M", bound=Member)


class Heads(Generic[M]):
    """Members by their heads, the smallest (rank, seq) first. `forget` is told of those that have become empty."""

    __slots__ = ("_forget", "_heap")

    def __init__(self, forget: Callable[[M], None]) -> None:
        self._heap: list[tuple[float, int, M]] = []
        self._forget = forget

    def offer(self, member: M, rank: float, seq: int) -> None:
        member.offered = (rank, seq)
        heappush(self._heap, (rank, seq, member))

    def best(self) -> M | None:
        """The member whose head goes first."""
        heap = self._heap
        while heap:
            rank, seq, member = heap[0]
            if member.offered == (rank, seq):
                head = member.head()
                if head is not None and head[0] == rank and head[1] == seq:
                    return member
                heappop(heap)
                self.go_on(member, head)
            else:
                heappop(heap)  # of a head that has gone
        return None

    def pop(self) -> tuple[float, int, M]:
        """Take out the entry of the best one."""
        return heappop(self._heap)

    def put_back(self, entry: tuple[float, int, M]) -> None:
        heappush(self._heap, entry)

    def go_on(self, member: M, head: Head | None) -> None:
        """The head that was offered has gone: offer the next one, or forget the member."""
        if head is not None:
            self.offer(member, head[0], head[1])
        else:
            member.offered = None
            self._forget(member)


class Queue:
    """Tasks of equal terms and priority, in the order in which they run.

    Nearly all arrive in that order and stand in `line`. Those whose rank says that they belong before the last one of
    it (handed back, or given another priority) stand in the heap `early`.
    """

    __slots__ = ("crowd", "dead", "early", "line", "offered", "overtakes", "priority", "terms")

    def __init__(self, terms: Terms, priority: int, crowd: Crowd) -> None:
        self.terms = terms
        self.priority = priority
        self.crowd = crowd
        self.line: deque[Head] = deque()
        self.early: list[tuple[float, int, int, Task]] = []
        self.overtakes = 0  # counts what was put into `early`: no two entries are equal
        self.dead: dict[Task, int] = {}
        self.offered: tuple[float, int] | None = None

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


class Crowd:
    """All queues whose tasks have the same needs."""

    __slots__ = ("cpus", "heads", "needs", "offered")

    def __init__(self, needs: Needs, forget: Callable[[Queue], None]) -> None:
        self.needs = needs
        self.cpus = next((amount for name, amount in needs.amounts if name == "cpus"), 0)
        self.heads = Heads(forget)
        self.offered: tuple[float, int] | None = None

    def __lt__(self, other: Crowd) -> bool:
        """As for queues."""
        return False

    def head(self) -> Head | None:
        queue = self.heads.best()
        return None if queue is None else queue.head()


class Ready:
    """Every queue, ranked by its head: the smallest (rank, seq) first."""

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self._queues: dict[tuple[int, int], Queue] = {}  # by identity: equal terms are one object
        self._crowds: dict[Needs, Crowd] = {}
        self._heads = Heads(self._forget_crowd)
        self._size = 0
        self.least_cpus = 0  # no waiting task needs fewer thousandths of a cpu: lets a full node end the round early

    def __len__(self) -> int:
        return self._size

    def push(self, task: Task, priority: int, queued_at: float, *, first: bool = False) -> None:
        """The task could run now. `first`: it was handed out and came back without having begun, so it goes before
        all of its kind that were behind it."""
        queue = self._queues.get((id(task.terms), priority)) or self._new_queue(task.terms, priority)
        crowd = queue.crowd
        if not self._size or crowd.cpus < self.least_cpus:
            self.least_cpus = crowd.cpus
        self._size += 1
        rank = self._rank(task.terms, priority, queued_at)
        if first and (head := queue.head()) is not None:
            rank = min(rank, head[0])
        queue.add(rank, task)
        place = (rank, task.seq)
        if queue.offered is None or place < queue.offered:
            crowd.heads.offer(queue, rank, task.seq)
            if crowd.offered is None or place < crowd.offered:
                self._heads.offer(crowd, rank, task.seq)

    def remove(self, task: Task, priority: int) -> None:
        """The task waits for something else from now on, or has ended."""
        dead = self._queues[id(task.terms), priority].dead
        dead[task] = dead.get(task, 0) + 1
        self._size -= 1

    def best(self) -> Task | None:
        """The task that goes first. It stays where it is until `take` or `park`."""
        crowd = self._heads.best()
        head = None if crowd is None else crowd.head()
        return None if head is None else head[2]

    def take(self) -> Task:
        """Hand out the task that `best` has just shown."""
        _, _, crowd = self._heads.pop()
        _, _, queue = crowd.heads.pop()
        head = queue.head()
        assert head is not None
        queue.pop()
        self._size -= 1
        crowd.heads.go_on(queue, queue.head())
        self._heads.go_on(crowd, crowd.head())
        return head[2]

    def park(self) -> tuple[float, int, Crowd]:
        """Pass over the task that `best` has just shown, and all of its needs, until `unpark`."""
        return self._heads.pop()

    def unpark(self, parked: list[tuple[float, int, Crowd]]) -> None:
        """The round is over: what was passed over may be looked at again."""
        for entry in parked:
            self._heads.put_back(entry)

    def _new_queue(self, terms: Terms, priority: int) -> Queue:
        crowd = self._crowds.get(terms.needs)
        if crowd is None:
            crowd = self._crowds[terms.needs] = Crowd(terms.needs, self._forget_queue)
        queue = self._queues[id(terms), priority] = Queue(terms, priority, crowd)
        return queue

    def _forget_queue(self, queue: Queue) -> None:
        del self._queues[id(queue.terms), queue.priority]

    def _forget_crowd(self, crowd: Crowd) -> None:
        del self._crowds[crowd.needs]
