"""What few tasks ask for: named things they read and write, and times at which they recur."""

from __future__ import annotations

from mcp_scheduler import errors
from mcp_scheduler.core.task import NO_EXTRAS, Extras
from mcp_scheduler.requests import TaskSpec
from mcp_scheduler.runtime.calendar import CronCalendar
from mcp_scheduler.service.references import names_in

SHORTEST = 1.0  # seconds of a period


def extras_of(spec: TaskSpec, behind: tuple[str, ...] = (), source: str = "") -> Extras:
    """What the spec asks for beside its terms, without its times."""
    if spec.catch_up is not None and not spec.recurs:
        raise errors.InvalidRequest("`catch_up` belongs to `every` or `cron`.", hint="Give one of these, too.")
    if not (spec.reads or spec.writes or source or behind):
        return NO_EXTRAS
    for thing in (*spec.reads, *spec.writes):
        if not thing.strip():
            raise errors.InvalidRequest("A thing in `reads` or `writes` has no name.", hint='Name it, as in ["index"].')
    reads = tuple(thing for thing in dict.fromkeys(spec.reads) if thing not in spec.writes)
    return Extras(reads=reads, writes=tuple(dict.fromkeys(spec.writes)), behind=behind, source=source)


def first_occurrence(spec: TaskSpec, extras: Extras, start: float, now: float) -> Extras:
    """The extras of a series' first occurrence. `start`: not before, 0.0 for at once. With `every` that is its time,
    with `cron` the first time of the line from then on."""
    if spec.every is not None and spec.cron is not None:
        raise errors.InvalidRequest("There is `every` and `cron`.", hint="Give one of the two.")
    if spec.after or names_in(spec):
        raise errors.InvalidRequest(
            "A task that recurs cannot wait for another one.",
            hint="Leave out `after` and `$result`; have the function itself submit what depends on others.",
        )
    catch_up = spec.catch_up or "one"
    begin = max(start, now)
    if spec.cron is None:
        every = spec.every or 0.0
        if every < SHORTEST:
            raise errors.InvalidRequest(f"`every` is {every:g} s.", hint="Give at least a second.")
        return _with_times(extras, every, "", catch_up, begin)
    calendar = CronCalendar()
    every = calendar.check(spec.cron, now)
    first = calendar.after(spec.cron, begin - 1.0 if start > now else begin)
    assert first is not None, "a line that was checked has times"
    return _with_times(extras, every, spec.cron, catch_up, first)


def _with_times(extras: Extras, every: float, cron: str, catch_up: str, first: float) -> Extras:
    return Extras(
        reads=extras.reads,
        writes=extras.writes,
        every=every,
        cron=cron,
        catch_up=catch_up,
        occurrence=1,
        time=first,
    )


def refuse_recurring(spec: TaskSpec, where: str) -> None:
    """A series has a handle of its own: it is submitted by itself."""
    if spec.recurs:
        raise errors.InvalidRequest(
            f"`every` and `cron` are not for {where}.",
            hint="Submit the recurring task by itself (submit_task); its function may submit the others.",
        )
