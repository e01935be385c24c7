"""Views that are shown again: who lists the newest tasks does it again and again, and few of them have changed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Extras, Status, Task
from mcp_scheduler.views import TaskView

MOST: Final = 2_000  # views that are at hand
AGE: Final = 0.05  # seconds: so old may be what a view says about times to come

_TIMED: Final = (State.SCHEDULED, State.RETRYING)  # they wait for a time, whatever becomes of others


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A view, and what it was made of: by identity, as states and outcomes are replaced and never changed."""

    status: Status
    extras: Extras
    run: object
    at: float
    turn: int
    view: TaskView


class ShownViews:
    """What was shown lately. An ended task looks the same until it is run again, its rollback goes on, or its last run
    is forgotten. What a waiting one says depends on the time, and most often on other tasks: so on the turn of the
    loop. What runs is always looked at anew."""

    def __init__(self) -> None:
        self._views: OrderedDict[str, Shown] = OrderedDict()
        self._turn = 0

    def turned(self) -> None:
        """Something may have changed."""
        self._turn += 1

    def of(self, task: Task, run: object, now: float) -> TaskView | None:
        """The view that still tells the truth, if there is one."""
        shown = self._views.get(task.id)
        status = task.status
        if shown is None or shown.status is not status or shown.extras is not task.extras or shown.run is not run:
            return None
        if status.state in FINAL:
            return shown.view
        if not 0.0 <= now - shown.at < AGE:
            return None
        waits_for_time = status.state in _TIMED and task.deadline is None and not task.extras.every
        return shown.view if waits_for_time or shown.turn == self._turn else None

    def keep(self, task: Task, run: object, now: float, view: TaskView) -> None:
        """`view` was just made of these."""
        if task.status.state is State.RUNNING or not isinstance(view.result, str | int | float | None):
            return  # whoever gets a list or a mapping may change it
        self._views[task.id] = Shown(task.status, task.extras, run, now, self._turn, view)
        if len(self._views) > MOST:
            self._views.popitem(last=False)
