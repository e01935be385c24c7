"""What could run now: queues, gathered into crowds of equal needs, and where turns are divided, into parties.

Within a queue the order is fixed, so only heads are ranked. If the first of a crowd finds no room, none of it does: a
round passes over the whole crowd at once. So its cost follows the number of different needs, never the number of tasks
that wait. Ranks that change with time are computed anew in epochs, a slice of the queues at a time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from typing import Final, NamedTuple

from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.heads import Group, Member
from mcp_scheduler.core.levels import Plan
from mcp_scheduler.core.policy import Policy, Scene, Sharing, TaskClass
from mcp_scheduler.core.queues import Queue
from mcp_scheduler.core.task import Needs, Task
from mcp_scheduler.core.usage import Account, Usage

SLICE: Final = 1000  # queues that are ranked anew in one epoch: some 3 ms of work
EPOCH: Final = 1.0  # seconds
_REMEMBERED: Final = 4096  # accounts whose last turn is known

Parked = list[tuple[Group, Member]]
Expect = Callable[[Task], Expected | None]


class Line(NamedTuple):
    """A queue as it is told to those who estimate: its first task, how many there are, and the ranks of the first and
    of the last. What lies between has ranks between."""

    first: Task
    size: int
    rank: float
    last: float


class Ready:
    """Every queue, by the rank of its head: the smallest (rank, seq) first. `share` tells the dominant share of needs,
    `expect` how long a task will take, `plans` has the graphs under way, by group."""

    def __init__(
        self,
        policy: Policy,
        *,
        share: Callable[[Needs], float] | None = None,
        expect: Expect | None = None,
        plans: dict[str, Plan] | None = None,
        usage: Usage | None = None,
    ) -> None:
        self.policy = policy
        self._sharing, self._by_deadline = policy.sharing, policy.by_deadline  # asked for every task
        self.scene = Scene()
        self.least_cpus = 0  # no waiting task needs fewer thousandths of a cpu: lets a full node end the round early
        self._share = share
        self._expect = expect
        self._plans: dict[str, Plan] = {} if plans is None or not policy.by_graph else plans
        self._usage = usage or Usage()
        self._root = Group("", None)
        self._size = 0
        self._turn = 0
        self._turns: dict[Account, int] = {}
        self._queues: deque[Queue] = deque()  # in the order in which they are ranked anew, where ranks change
        self._path: list[Member] = []  # from the root to the queue whose head `best` has shown
        self._latest: Queue | None = None  # the one into which the last task was put
        self._left = 0  # of them, in this pass
        self._next_slice = -math.inf

    def __len__(self) -> int:
        return self._size

    # --- in and out

    def push(self, task: Task, priority: int, queued_at: float, *, first: bool = False) -> None:
        """The task could run now. `first`: it was handed out and came back without having begun, so it goes before
        all of its kind that were behind it."""
        queue = self._queue_of(task, priority)
        crowd = queue.parent
        if not self._size or crowd.cpus < self.least_cpus:
            self.least_cpus = crowd.cpus
        self._size += 1
        place = queued_at
        if self._by_deadline and task.deadline is not None:
            place = task.deadline
        if first and (front := queue.first()) is not None:
            place = min(place, front[0])
        queue.add(place, task)
        task.queue = queue
        self._offer(queue)

    def push_alike(self, tasks: Sequence[Task]) -> None:
        """The same for tasks of equal terms, priority and size, in the order in which they were queued; they have no
        deadline, no graph and no period."""
        if self._sharing is not Sharing.NONE:  # then their tags matter, too
            for task in tasks:
                self.push(task, task.status.priority, task.status.at)
            return
        queue = self._queue_of(tasks[0], tasks[0].status.priority)
        crowd = queue.parent
        if not self._size or crowd.cpus < self.least_cpus:
            self.least_cpus = crowd.cpus
        self._size += len(tasks)
        for task in tasks:
            queue.add(task.status.at, task)
            task.queue = queue
        self._offer(queue)

    def _offer(self, member: Queue | Group) -> None:
        """The member's head may be better than it was: tell those above it, as far as it makes a difference."""
        while True:
            parent = member.parent
            head = member.head() if parent is not None else None
            if parent is None or head is None:
                return
            offered = member.offered
            if offered is not None and (head[0], head[1]) >= offered[:2]:
                return
            parent.offer(member, head[0], head[1])
            member = parent

    def remove(self, task: Task) -> None:
        """The task waits for something else from now on, or has ended."""
        assert isinstance(task.queue, Queue)
        task.queue.kill(task)
        task.queue = None
        self._size -= 1

    def _queue_of(self, task: Task, priority: int) -> Queue:
        expected = self._expect(task) if self._expect is not None else None
        latest = self._latest
        if latest is not None and self._is_alike(latest, task, priority, expected):
            return latest
        plan = self._plans.get(task.group) if task.group and self._plans else None
        level = plan.levels.get(task.id, 0.0) if plan is not None else 0.0
        crowd = self._crowd_of(task)
        key = (
            id(task.terms),
            priority,
            _size_of(expected.median) if expected is not None else None,
            (task.group, _size_of(level)) if plan is not None else "",
            self._by_deadline and task.deadline is not None,
            task.extras.every,
            task.extras.pin,
        )
        queue = crowd.members.get(key)
        if queue is None:
            extras = task.extras
            kind = TaskClass(task.terms, priority, expected, crowd.share, plan, level, extras.every, extras.pin)
            queue = crowd.members[key] = Queue(key, kind, crowd, self._rank)
            queue.has_deadlines = self._by_deadline and task.deadline is not None
            if self.policy.ages:
                self._queues.append(queue)
        assert isinstance(queue, Queue)
        queue.kind.expected = expected
        self._latest = queue
        return queue

    def _is_alike(self, queue: Queue, task: Task, priority: int, expected: Expected | None) -> bool:
        """Whether the task belongs into the queue that the last one went to: equal ones come in rows, and to find their
        queue by all that it is keyed by is what costs here. An empty queue may be forgotten already."""
        kind = queue.kind
        return (
            task.terms is kind.terms
            and queue.size > 0
            and priority == kind.priority
            and expected == kind.expected
            and task.deadline is None
            and not queue.has_deadlines
            and not task.group
            and kind.plan is None
            and task.extras.every == kind.period
            and task.extras.pin == kind.pin
            and (self._sharing is Sharing.NONE or queue.parent.is_of(task.tags[0] if task.tags else ""))
        )

    def _crowd_of(self, task: Task) -> Group:
        party = self._root if self._sharing is Sharing.NONE else self._party_of(task)
        needs = task.terms.needs
        crowd = party.members.get(needs)
        if crowd is None:
            crowd = party.members[needs] = Group(needs, party)
            crowd.cpus = next((amount for name, amount in needs.amounts if name == "cpus"), 0)
            crowd.share = self._share(needs) if self._share is not None else 1.0
        assert isinstance(crowd, Group)
        return crowd

    def _party_of(self, task: Task) -> Group:
        """Principals take turns, and so do the tags of each of them."""
        party = self._root
        for account in accounts_of(task):
            inner = party.members.get(account)
            if inner is None:
                inner = party.members[account] = Group(account, party)
                inner.turn, inner.tag = self._turn_of(account), account[1]
            assert isinstance(inner, Group)
            party = inner
        return party

    def _turn_of(self, account: Account) -> Callable[[], float]:
        if self._sharing is Sharing.TURNS:
            return lambda: self._turns.get(account, 0)
        return lambda: self._usage.of(account)

    def _rank(self, kind: TaskClass, place: float, task: Task) -> float:
        by_deadline = self._by_deadline and task.deadline is not None
        since = task.submitted_at if by_deadline else place
        rank = self.policy.rank(kind, since, task.deadline, self.scene)
        return rank if rank == rank else 0.0  # noqa: PLR0124 - no number: it would compare with nothing

    # --- a round

    def best(self) -> Task | None:
        """The task that goes first. It stays where it is until `take` or `park`."""
        path = self._path
        path.clear()
        member: Member | None = self._root
        while type(member) is Group:
            path.append(member)
            member = member.best()
        if member is None:
            return None
        path.append(member)
        head = member.head()
        return None if head is None else head[2]

    def best_rank(self) -> float | None:
        """The rank of the task that goes first; None if nobody waits."""
        if self.best() is None:
            return None
        head = self._path[-1].head()
        return None if head is None else head[0]

    def take(self) -> Task:
        """Hand out the task that `best` has just shown."""
        path = self._path
        queue = path[-1]
        head = queue.head()
        assert head is not None
        assert isinstance(queue, Queue)
        task = head[2]
        queue.pop()
        task.queue = None
        self._size -= 1
        if self._sharing is Sharing.TURNS:
            self._next_turn(task)
        for index in range(len(path) - 2, -1, -1):
            parent = path[index]
            assert isinstance(parent, Group)
            parent.advance(path[index + 1])
        return task

    def _next_turn(self, task: Task) -> None:
        self._turn += 1
        for account in accounts_of(task):
            self._turns.pop(account, None)
            self._turns[account] = self._turn
        while len(self._turns) > _REMEMBERED:
            del self._turns[next(iter(self._turns))]

    def park(self, parked: Parked, *, whole_crowd: bool) -> None:
        """Pass over the task that `best` has just shown until `unpark`: with its queue, or with all of its needs. A
        group of which all is parked has no head, so it is passed over as well."""
        path = self._path
        index = len(path) - (2 if whole_crowd else 1)
        parent = path[index - 1]
        assert isinstance(parent, Group)
        parent.pop()
        parked.append((parent, path[index]))

    def unpark(self, parked: Parked) -> None:
        """The round is over: what was passed over may be looked at again."""
        for parent, member in parked:
            head = member.head()
            if head is not None:
                parent.offer(member, head[0], head[1])
            elif member.is_empty():
                parent.forget(member)
        for parent, _ in parked:
            if parent.parent is not None:
                self._offer(parent)

    # --- ranks that change

    def refresh(self, now: float, pace: float) -> None:
        """Rank heads anew, if the epoch is over: a slice of the queues, all of a pass for one moment. `pace`: the mean
        seconds that calls took of late."""
        if not self.policy.ages or now < self._next_slice or not self._size:
            return
        self._next_slice = now + EPOCH
        if self._left <= 0:
            self._left = len(self._queues)
            self.scene = self.scene_at(now, pace)
        for _ in range(min(SLICE, self._left)):
            queue = self._queues.popleft()
            self._left -= 1
            if queue.is_empty():
                queue.offered = None
                queue.parent.forget(queue)
                continue
            self._queues.append(queue)
            queue.stale()
            self._offer(queue)

    def scene_at(self, now: float, pace: float) -> Scene:
        """What ranks look at now."""
        factors = {name: 1.0 / (1.0 + self._usage.share(name)) for name in self._usage.principals()}
        return Scene(now, pace, factors)

    def charged(self, task: Task) -> None:
        """What the task's principal and tag have used has changed: they go before others, or behind them, by that."""
        if self._sharing is not Sharing.USAGE:
            return
        party = self._root
        for account in accounts_of(task):
            inner = party.members.get(account)
            if not isinstance(inner, Group):
                return  # nothing of theirs waits
            inner.stale()
            head = inner.head()
            if inner.offered is not None and head is not None:
                party.offer(inner, head[0], head[1])
            party = inner

    def waiting(self) -> Iterator[tuple[Task, int, float]]:
        """Every task with its priority, and since when it waits."""
        for queue in self.queues():
            for place, task in queue.tasks():
                by_deadline = self._by_deadline and task.deadline is not None
                yield task, queue.kind.priority, task.submitted_at if by_deadline else place

    def queues(self) -> Iterator[Queue]:
        """Every queue that has tasks, in no order: to be looked at by a person."""
        groups = [self._root]
        while groups:
            for member in groups.pop().members.values():
                if isinstance(member, Group):
                    groups.append(member)
                elif isinstance(member, Queue) and not member.is_empty():
                    yield member

    def in_order(self) -> Iterator[Task]:
        """The waiting tasks, the smallest rank first, as far as one asks: about the order in which they will go."""
        for _, _, task in merge(*(queue.ranked() for queue in self.queues()), key=lambda entry: entry[:2]):
            yield task

    def lines(self) -> Iterator[Line]:
        """Every queue, told roughly: for estimates, not for decisions."""
        for queue in self.queues():
            head = queue.head()
            if head is not None:
                place, _, task = queue.line[-1] if queue.line else (head[0], 0, head[2])
                last = queue.rank(queue.kind, place, task) if queue.line else head[0]
                yield Line(head[2], queue.size, head[0], max(last, head[0]))

    def rank(self, task: Task) -> float | None:
        """Where a queued task stands: about there, where its queue was joined in another order than it runs. None for
        one that stands in no queue: it conflicts with another, or this moment's commit will say that it runs."""
        queue = task.queue
        if not isinstance(queue, Queue):
            return None
        place = task.deadline if self._by_deadline and task.deadline is not None else task.status.at
        return queue.rank(queue.kind, place, task)


def accounts_of(task: Task) -> tuple[Account, Account]:
    """Whose use it is: the principal's, and that of its first tag."""
    principal = task.terms.principal
    return (principal, None), (principal, task.tags[0] if task.tags else "")


def _size_of(seconds: float) -> int:
    """Equal for about equal times: the exponent of two, in steps of a half."""
    return round(math.log2(max(seconds, 1e-9)) * 2)
