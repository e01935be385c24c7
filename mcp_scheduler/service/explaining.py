"""The decision about a task, term by term, as lines of text."""

from __future__ import annotations

from mcp_scheduler.core import pins
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.explain import Explanation
from mcp_scheduler.core.task import Task

_LONG = 1000.0  # seconds


def lines_of(told: Explanation, now: float) -> tuple[str, ...]:
    """The explanation as lines of text."""
    lines = [f"rank, {name}: {text}" for name, text in told.rank.items()]
    if told.before is not None:
        tasks = "1 task stands" if told.before == 1 else f"{told.before or 'no'} tasks stand"
        lines.append(f"before it: {tasks} in queues that go first")
    if told.seconds is not None:
        median, upper = told.seconds
        lines.append(f"takes: about {_figure(median)} s, 9 in 10 at most {_figure(upper)} s")
    elif told.rank or told.ends is not None:
        lines.append("takes: nobody knows; nothing like it has ended yet")
    if told.pin is not None:
        lines.append(_pin(told.pin, now, is_queued=bool(told.rank)))
    lines += _reservations(told, now)
    for name, terms in told.nodes:
        lines.append(
            f"node {name}: {_figure(terms.seconds)} s = (start {_figure(terms.cold)} + run {_figure(terms.takes)})"
            f" · 100 / weight {terms.weight:.0f} + left over {_figure(terms.left_over)}"
        )
    lines += _turns(told, now)
    if told.ends is not None:
        lines.append(f"ends: within {_figure(max(0.0, told.ends - now))} s, by the upper bound of its kind")
    if told.retries is not None:
        lines.append(f"retries: its function has {told.retries[0]:.0f} of {told.retries[1]} left")
    return tuple(lines)


def _figure(seconds: float) -> str:
    """Three digits of what is short; whole seconds of what is long, without an exponent."""
    return f"{seconds:.3g}" if seconds < _LONG else f"{seconds:.0f}"


def why_pinned(cluster: Cluster, task: Task, now: float) -> str:
    """What is to be said of a queued task that waits for the place that its plan has for it; "" for others."""
    until = pins.until(cluster, task, task.status.at) if task.extras.pin else 0.0
    if until <= now:
        return ""
    return f"waits up to {until - now:.0f} s for {' '.join(pins.called(cluster, task)).strip()}, as planned"


def _pin(pin: tuple[str, str, bool, float], now: float, *, is_queued: bool) -> str:
    node, device, is_free, until = pin
    place = f"pin: the plan wants it on {node}{f', {device}' if device else ''}"
    if is_free:
        return f"{place}, which is free"
    if not until:
        return f"{place}, which cannot take it now: it runs wherever there is room"
    if not is_queued:
        return f"{place}, which is in use"
    if until <= now:
        return f"{place}, for which it has waited as long as was planned: it runs wherever there is room"
    return (
        f"{place}, which is in use: it waits for it for {_figure(until - now)} s more at most, then it runs elsewhere"
    )


def _reservations(told: Explanation, now: float) -> list[str]:
    lines: list[str] = []
    if told.claim is not None:
        node, at, strict_at = told.claim
        when = f"in about {_figure(max(0.0, at - now))} s" if at < float("inf") else "when somebody leaves"
        lines.append(f"reservation: a place on {node} {when}; others pass it only if they do not delay it")
        if strict_at <= now:
            lines.append("reservation: it has waited long beyond its promise, so nothing passes it any more")
        else:
            lines.append(f"reservation: from {_figure(strict_at - now)} s from now on nothing passes it any more")
    if told.advance is not None:
        node, at, until = told.advance
        lines.append(
            f"reservation in advance: a place on {node} in about {_figure(max(0.0, at - now))} s, when what it waits"
            " for has ended; others that go after it use it only if they end by then; given up in"
            f" {_figure(max(0.0, until - now))} s"
        )
    return lines


def _turns(told: Explanation, now: float) -> list[str]:
    lines: list[str] = []
    if told.still is not None:
        lines.append(f"time slice: it stands still for {now - told.still:.0f} s, and goes on when its turn comes")
    if told.stood:
        lines.append(f"time slice: it has stood still for {told.stood:.0f} s in all, which do not count as its time")
    return lines
