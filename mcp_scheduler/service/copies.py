"""Copies: who may ask for them, and what is told of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mcp_scheduler import errors
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.copies import most
from mcp_scheduler.core.learning import device_class
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Extras, Status, Task, Terms
from mcp_scheduler.requests import TaskSpec

# What would be broken by attempts that are still going when their task has ended.
_ALONE: Final = {
    "reads": "another one may write before all copies are gone",
    "writes": "the copies would write at once",
    "every": "the next occurrence may begin before all copies are gone",
    "cron": "the next occurrence may begin before all copies are gone",
    "on_failure": "what is undone may still be done by a copy",
}
_LINE: Final = 160


def with_copies(spec: TaskSpec, terms: Terms, extras: Extras) -> Extras:
    """The extras with the copies that the spec asks for; `InvalidRequest` where there can be none."""
    replicas = spec.replicas or 1
    if replicas == 1 and not spec.hedge:
        return extras
    word = "hedge" if spec.hedge else "replicas"
    if spec.hedge and replicas > 1:
        raise errors.InvalidRequest(
            "There is `replicas` and `hedge`.",
            hint="Give one of them: `replicas` starts all copies at once, `hedge` one more only if the first is late.",
        )
    if spec.function is None:
        raise errors.InvalidRequest(
            f"`{word}` is for functions: only of those it is known that they may run several times.",
            hint="Put the work into a function that is declared idempotent, or leave it out.",
        )
    if not terms.idempotent:
        raise errors.InvalidRequest(
            f"`{word}` would run {spec.function} several times, and it does not say that it may.",
            hint="If it may, several times at once included, declare it with @function(idempotent=True).",
        )
    beside = [name for name in _ALONE if name in spec.model_fields_set and getattr(spec, name)]
    if beside:
        raise errors.InvalidRequest(
            f"`{word}` cannot stand beside `{beside[0]}`: {_ALONE[beside[0]]}.", hint="Leave out one of them."
        )
    return replace(extras, replicas=replicas, hedge=spec.hedge)


def why(cluster: Cluster, task: Task, status: Status) -> str:
    """What there is to say of a running task with copies, in a line."""
    if not task.extras.has_copies or status.state is not State.RUNNING:
        return ""
    count = len(cluster.copies.living.get(task.id, ()))
    if status.reason is not None:
        first = status.error.partition("\n")[0][:_LINE]
        return f"{_are(count)} left; another one ended as {status.reason}{': ' if first else ''}{first}"
    if task.extras.hedge:
        return _why_hedged(cluster, task, count)
    if count < most(task):
        return f"{count} of {most(task)} copies run; the others start where there is room beside them"
    return f"{_are(count)} under way; the first success counts"


def _why_hedged(cluster: Cluster, task: Task, count: int) -> str:
    if count > 1:
        return "it is late: a second copy is under way, and the first success counts"
    if task.id in cluster.copies.wanted:
        return "it is late: a copy waits for an idle place, and for its share of at most 5 % of the time"
    return cluster.hedging.why_off(task.terms.target)


def _are(count: int) -> str:
    return "1 copy is" if count == 1 else f"{count} copies are"


def lines(cluster: Cluster, task: Task, now: float) -> tuple[str, ...]:
    """Each attempt under way, and when it is late."""
    if not task.extras.has_copies:
        return ()
    told: list[str] = []
    for name in cluster.copies.living.get(task.id, ()):
        attempt = cluster.attempts.get(name)
        if attempt is None:
            continue
        where = " ".join((attempt.node, *attempt.devices))
        told.append(f"copy: attempt {name.number} on {where} for {max(0.0, now - attempt.at):.3g} s")
        expected = cluster.expected(task, device_class(cluster, cluster.slots[attempt.slot]))
        if task.extras.hedge and expected is not None and expected.late < float("inf"):
            told.append(f"hedge: late after {expected.late:.3g} s, when 95 in 100 of its kind have ended")
        elif task.extras.hedge:
            told.append("hedge: nobody knows yet when it is late; 20 runs of its kind tell")
    off = cluster.hedging.why_off(task.terms.target) if task.extras.hedge else ""
    return (*dict.fromkeys(told), *((off,) if off else ()))
