"""What a plan tells: frozen read models, as in `views`. Times are seconds from now; nothing of a plan is promised."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PlannedView:
    """Where and when a task would run, as likely earlier as later. `id` is its id, or its key where it was given with
    the plan; `start` is negative where it runs already, and None, like `end`, where `why` says what is in the way.
    `after` names tasks whose ends let it start; `assumed`: nothing like it has ended yet, so its time is a guess."""

    id: str
    start: float | None = None
    end: float | None = None
    node: str = ""
    devices: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    assumed: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """What a policy makes of it. `tasks` have an end within `makespan` seconds, on the mean after `mean_end`;
    `longest_wait` is the longest until a start. `utilisation`: the share of cpus and devices that is reserved until
    then, running tasks and the others of the queue included. `cut`: there was no time to go on to the end."""

    policy: str
    tasks: int
    without_end: int
    makespan: float
    mean_end: float
    longest_wait: float
    utilisation: dict[str, float] = field(default_factory=dict[str, float])
    cut: bool = False


@dataclass(frozen=True, slots=True)
class PointView:
    """A plan of a front: `makespan` seconds, `energy` joules of the given tasks, `utilisation` as the mean of the
    shares of an outcome. `by`: the policy or the search that it is of. `plan` is for `submit_graph`; "" where only
    another policy does it. `where`: the keys of the tasks by the place where they run (a node, and the class of its
    devices), where there are several places."""

    by: str
    makespan: float
    energy: float
    utilisation: float
    plan: str = ""
    where: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


@dataclass(frozen=True, slots=True)
class PlanView:
    """A dry run: its outcome under each policy, and a page of tasks under the first of them, the earliest start first;
    `next_offset` leads on, None ends. `plan` names an order that was found: it is the first of the outcomes then, and
    the tasks are told in it; a graph can be submitted with it. `front`: plans of which none is better in all
    objectives, the shortest first, looked for `by` "pymoo", without it by a "sweep" over policies and orders, or
    among the "policies" alone."""

    outcomes: tuple[OutcomeView, ...]
    tasks: tuple[PlannedView, ...] = ()
    total: int = 0
    next_offset: int | None = None
    plan: str = ""
    front: tuple[PointView, ...] = ()
    by: str = ""
    notes: tuple[str, ...] = ()
