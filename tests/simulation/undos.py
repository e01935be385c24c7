"""What compensations promise, told by names and states alone: nothing of what the core derives."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Extras, Status, Task

OVER = {*FINAL, State.ROLLING_BACK}


class Undos:
    """Graphs and single tasks with compensations. One of which a person has run a part again is out of its order."""

    def __init__(self) -> None:
        self.sagas: dict[str, list[str]] = {}  # → its tasks that can fail
        self.undoes: dict[str, str] = {}  # compensation → owner
        self.saga_of: dict[str, str] = {}  # compensation → saga
        self.loose: set[str] = set()

    def know(self, saga: str, members: list[Task], undoing: list[Task]) -> None:
        self.sagas[saga] = [task.id for task in members]
        for task in undoing:
            self.undoes[task.id] = task.extras.undoes
            self.saga_of[task.id] = saga

    def run_again(self, names: tuple[str, ...]) -> list[str]:
        """A person has these run again; the compensations that may wait again with them."""
        for saga, members in self.sagas.items():
            undoing = [name for name, other in self.saga_of.items() if other == saga]
            if {*members, *undoing} & {*names}:
                self.loose.add(saga)
        return [undo for undo, owner in self.undoes.items() if owner in names]

    def look(self, changes: Changes, stored: Mapping[str, Task], *, set_back: bool) -> None:
        """Just before they become durable: may these start?"""
        added = {new.task.id: new.task for new in changes.added}

        def after(name: str) -> Status:
            return added[name].status if name in added else changes.statuses.get(name) or stored[name].status

        for attempt in changes.started:
            saga = self.saga_of.get(attempt.id.task, "")
            if saga and saga not in self.loose:
                self._look(attempt.id.task, saga, after, in_order=not set_back)

    def _look(self, name: str, saga: str, after: Callable[[str], Status], *, in_order: bool) -> None:
        members = {member: after(member) for member in self.sagas[saga]}
        still = [member for member, status in members.items() if status.state not in OVER]
        assert not still, f"{name} undoes while {still} may need what was done."
        assert any(one.state is State.ROLLING_BACK for one in members.values()), f"{name} undoes, and nothing failed."
        owner = members[self.undoes[name]]
        assert owner.state in (State.ROLLING_BACK, State.SUCCEEDED), f"{name} undoes what is {owner.state}."
        for other, its_owner in self.undoes.items():
            if other == name or self.saga_of[other] != saga or after(other).state in FINAL:
                continue
            assert after(other).state is State.PENDING, f"{name} starts beside {other}."
            rival = members[its_owner]
            failed_first = rival.state is State.ROLLING_BACK and owner.state is State.SUCCEEDED
            later = rival.state is owner.state is State.SUCCEEDED and in_order and rival.at > owner.at
            comes_first = failed_first or later
            assert not comes_first, f"{name} undoes before {other}, which comes first."

    def check(self, stored: Mapping[str, Task], cancelled: set[str]) -> None:
        for undo, saga in self.saga_of.items():
            if undo not in stored or saga in self.loose:
                continue
            failed = [name for name in self.sagas[saga] if stored[name].status.state is State.FAILED]
            status, owner = stored[undo].status, stored[self.undoes[undo]].status
            if failed:
                assert status.is_final, f"{failed} has failed, and {undo} is {status.state}."
            if owner.state is State.FAILED or (failed and owner.state is State.SUCCEEDED):
                assert status.state is not State.SKIPPED or undo in cancelled, f"{undo} was never run."
                for name in failed:
                    told, done = stored[name].extras.rollback, status.state is State.SUCCEEDED
                    assert told == "failed" or done or undo in cancelled, f"{name} is said to be undone: {told!r}."


def undoing_extras(owner: Task, saga: str) -> Extras:
    return Extras(undoes=owner.id, saga=saga)
