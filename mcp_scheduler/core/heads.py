"""Groups of queues, and groups of groups, each with a heap over the heads of its members.

A member is offered by its rank and the arrival number of its first task. Entries of the heap other than the one that
the member was last offered by are stale, and are dropped when they come to the top.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from mcp_scheduler.core.task import Task

Head = tuple[float, int, "Task"]  # rank, seq, task: the smallest goes first
Entry = tuple[float, int, "Member"]
_SLACK: Final = 64  # stale entries that are not worth a look


class Member(Protocol):
    """What has a head. `offered` is its entry in the heap, None if none is there."""

    key: Hashable
    offered: Entry | None

    def head(self) -> Head | None: ...
    def is_empty(self) -> bool: ...


class Group:
    """Members by their heads. `cpus` (thousandths) and the dominant `share` belong to a group of equal needs, a crowd.
    A group with a `turn` is ranked by that instead of by its head: it is the party of a principal, or of a `tag`."""

    __slots__ = ("_first", "_head", "cpus", "heap", "key", "members", "offered", "parent", "share", "tag", "turn")

    def __init__(self, key: Hashable, parent: Group | None) -> None:
        self.key = key
        self.parent = parent
        self.members: dict[Hashable, Member] = {}
        self.heap: list[Entry] = []
        self.offered: Entry | None = None
        self.turn: Callable[[], float] | None = None
        self.tag: str | None = None
        self._head: Head | None = None  # None where it has to be looked for
        self._first: Member | None = None  # whose it is
        self.cpus = 0
        self.share = 1.0

    def __lt__(self, other: object) -> bool:
        """Entries of one place may stand in a heap twice for a moment: which is first does not matter."""
        return False

    def is_empty(self) -> bool:
        return not self.members

    def is_of(self, tag: str) -> bool:
        """Whether this crowd is in the party of that tag."""
        assert self.parent is not None
        return self.parent.tag == tag

    def offer(self, member: Member, rank: float, seq: int) -> None:
        """Let the member be found at this place."""
        entry = member.offered = (rank, seq, member)
        self.stale()
        heap = self.heap
        heappush(heap, entry)
        if len(heap) > 4 * len(self.members) + _SLACK:
            self.heap = [entry for entry in heap if entry[2].offered is entry]
            heapify(self.heap)

    def best(self) -> Member | None:
        """The member whose head goes first. One without a head leaves the heap; one
        without members, too, is forgotten."""
        if self._head is not None:
            return self._first
        heap = self.heap
        while heap:
            entry = heap[0]
            member = entry[2]
            if member.offered is not entry:
                heappop(heap)
                continue
            head = member.head()
            if head is not None and head[0] == entry[0] and head[1] == entry[1]:
                return member
            heappop(heap)
            if head is not None:
                self.offer(member, head[0], head[1])
                heap = self.heap
            else:
                member.offered = None
                if member.is_empty():
                    self.forget(member)
        return None

    def forget(self, member: Member) -> None:
        """An empty member: what comes next of its kind is another object. Nothing leads to this one any more, or it and
        its group would hold each other until the collector of memory comes by."""
        if self.members.get(member.key) is member:
            del self.members[member.key]
        if self._first is member:
            self._head = self._first = None
        if not self.members:
            self.heap.clear()

    def head(self) -> Head | None:
        head = self._head
        if head is None:
            first = self.best()
            if first is None:
                return None
            head = first.head()
            if head is not None and self.turn is not None:
                head = (self.turn(), head[1], head[2])
            self._head, self._first = head, first
        return head

    def stale(self) -> None:
        """Something below has changed: look for the head anew, here and above."""
        group: Group | None = self
        while group is not None:
            group._head = None  # noqa: SLF001 - its own kind
            group = group.parent

    def advance(self, member: Member) -> None:
        """The head of the member that `best` has just shown was taken: let its next one be found. Whoever took it has
        made the heads above stale."""
        head = member.head()
        if head is not None:
            entry = member.offered = (head[0], head[1], member)
            heapreplace(self.heap, entry)
            return
        heappop(self.heap)
        member.offered = None
        if member.is_empty():
            self.forget(member)

    def pop(self) -> None:
        """Take out the entry of the member that `best` has just shown."""
        heappop(self.heap)[2].offered = None
        self.stale()
