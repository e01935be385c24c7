"""The answer of plan_tasks: outcomes side by side, and a page of tasks, a short line each."""

from __future__ import annotations

from typing import Any, Final

from mcp_scheduler.plaintext import one_line
from mcp_scheduler.plans import OutcomeView, PlannedView, PointView
from mcp_scheduler.requests import PlanTasks
from mcp_scheduler.server.answers import Visit
from mcp_scheduler.server.replies import Json, Reply, lines

_NAMED: Final = 12  # tasks; of more a point tells how many run where


async def plan_tasks(visit: Visit, request: PlanTasks) -> Reply:
    """At most `limit` tasks of a page; the model asks for more where it wants more."""
    plan = await visit.service.plan(visit.caller, request)
    content: Json = {"policies": [_outcome(one) for one in plan.outcomes]}
    content["tasks"] = [_planned(task) for task in plan.tasks]
    if plan.next_offset is not None:
        content |= {"total": plan.total, "next_offset": plan.next_offset}
    if plan.plan:
        content["plan"] = plan.plan
    if plan.by:
        content |= {"front": [_point(one) for one in plan.front], "by": plan.by}
    if plan.notes:
        content["notes"] = [one_line(note, 200) for note in plan.notes]
    return Reply(content, lines(content))


def _outcome(one: OutcomeView) -> Json:
    content: Json = {
        "policy": one.policy,
        "tasks": one.tasks,
        "makespan_s": _seconds(one.makespan),
        "mean_end_s": _seconds(one.mean_end),
        "longest_wait_s": _seconds(one.longest_wait),
    }
    for name, share in one.utilisation.items():
        content[f"{name}_percent"] = round(100 * share, 1)
    if one.without_end:
        content["without_end"] = one.without_end
    if one.cut:
        content["cut"] = True
    return content


def _point(one: PointView) -> Json:
    content: Json = {
        "by": one.by,
        "makespan_s": _seconds(one.makespan),
        "energy_j": round(one.energy, 1),
        "utilisation_percent": round(100 * one.utilisation, 1),
    }
    if one.where:
        is_short = sum(map(len, one.where.values())) <= _NAMED
        content["where"] = {spot: list(keys) if is_short else len(keys) for spot, keys in one.where.items()}
    return content | ({"plan": one.plan} if one.plan else {})


def _planned(task: PlannedView) -> Json:
    found: dict[str, Any] = {
        "id": task.id,
        "starts_in_s": None if task.start is None else _seconds(max(0.0, task.start)),
        "ends_in_s": None if task.end is None else _seconds(task.end),
        "running": True if task.start is not None and task.start < 0 else None,
        "node": task.node or None,
        "devices": list(task.devices) or None,
        "waits_for": list(task.after) or None,
        "assumed": task.assumed or None,
        "why": one_line(task.why, 140) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _seconds(value: float) -> float:
    return round(value, 1 if value >= 1 else 3)
