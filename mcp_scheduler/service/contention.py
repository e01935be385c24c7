"""What named things make tasks wait: the sentences for one task, and the figures for each thing."""

from __future__ import annotations

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.conflicts import claims
from mcp_scheduler.core.states import FINAL
from mcp_scheduler.core.task import Task
from mcp_scheduler.views import ThingView


def why_blocked(task: Task, cluster: Cluster) -> str:
    """A queued task that conflicts with one that became queued before it; "" for one that does not."""
    obstacles = cluster.conflicts.obstacles(task)
    if not obstacles:
        return ""
    thing, other, writes = obstacles[0]
    more = f" (and {len(obstacles) - 1} more)" if len(obstacles) > 1 else ""
    return f"waits for {other.id}, which {_does(writes=writes)} '{thing}'{more}"


def why_behind(task: Task, cluster: Cluster) -> str:
    """A task that conflicts with tasks of its graph that come before it."""
    others = [other for name in task.extras.behind if (other := cluster.tasks.get(name)) and _is_open(other)]
    if not others:
        return ""
    mine, theirs = claims(task.extras), claims(others[0].extras)
    shared = next((thing for thing in mine if thing in theirs and (mine[thing] or theirs[thing])), "")
    does = f", which {_does(writes=theirs[shared])} '{shared}'" if shared else ""
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    return f"comes after {others[0].id} in its graph{does}{more}"


def things(cluster: Cluster) -> tuple[ThingView, ...]:
    """Every thing that was waited for since the engine started, those with the longest waiting in all first."""
    known = dict(cluster.contention.things)
    names = [*known, *(name for name, line in cluster.conflicts.lines.items() if line.waiting and name not in known)]
    found = [_view(name, cluster) for name in names]
    return tuple(sorted(found, key=lambda view: (-view.waited, -view.waiting, view.name)))


def _view(name: str, cluster: Cluster) -> ThingView:
    waits = cluster.contention.things.get(name)
    line = cluster.conflicts.lines.get(name)
    now = {"waiting": len(line.waiting), "using": len(line.front)} if line is not None else {}
    if waits is None:
        return ThingView(name, **now)
    return ThingView(name, waits.count, waits.mean, waits.longest, waits.seconds, waits.given_up / waits.count, **now)


def _is_open(task: Task) -> bool:
    return task.status.state not in FINAL


def _does(*, writes: bool) -> str:
    return "writes" if writes else "reads"
