"""From what a client said to the terms of a task: the function's own declarations first, the request's words over
them, the settings' defaults under both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from mcp_scheduler import errors
from mcp_scheduler.core.chunking import BY
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Kind, Retry, Terms
from mcp_scheduler.ports import FunctionEntry
from mcp_scheduler.requests import Caller, Moment, NeedsSpec, RetrySpec, TaskSpec, needs_of, seconds

LEASE: Final = "lease"  # the target of all leases
_LAST_MOMENT: Final = 253_402_300_799.0  # the end of the year 9999
LEASE_SECONDS: Final = 3600.0  # that a lease is held without being renewed, where it does not say


def function_terms(caller: Caller, spec: TaskSpec, entry: FunctionEntry, default_timeout: float | None) -> Terms:
    """The terms of a call of `entry`."""
    declared = entry.options
    given = spec.needs if spec.needs is not None else _declared_needs(entry)
    timeout = spec.timeout if spec.timeout is not None else _declared_seconds(declared.get("timeout"))
    return Terms(
        kind=Kind.FUNCTION,
        target=entry.name,
        environment=caller.environment,
        principal=caller.principal,
        needs=needs_of(given),
        retry=retry_of(spec.retry if spec.retry is not None else declared.get("retry")),
        timeout=timeout if timeout is not None else default_timeout,
        idle_timeout=spec.idle_timeout
        if spec.idle_timeout is not None
        else _declared_seconds(declared.get("idle_timeout")),
        idempotent=bool(declared.get("idempotent", False)),
    )


def chunk_terms(one: Terms, size: int) -> Terms:
    """The terms of `size` calls in one task. Its times are those of all its calls; what is learnt of how long it takes
    is kept apart from what a single call takes."""
    return replace(
        one,
        target=f"{one.target}{BY}{size}",
        timeout=None if one.timeout is None else one.timeout * size,
        idle_timeout=None if one.idle_timeout is None else one.idle_timeout * size,
    )


def command_terms(caller: Caller, spec: TaskSpec, head: str, default_timeout: float | None) -> Terms:
    """The terms of a command of this head."""
    return Terms(
        kind=Kind.COMMAND,
        target=head,
        environment=caller.environment,
        principal=caller.principal,
        needs=needs_of(spec.needs),
        retry=retry_of(spec.retry),
        timeout=spec.timeout if spec.timeout is not None else default_timeout,
        idle_timeout=spec.idle_timeout,
    )


def lease_terms(caller: Caller, spec: TaskSpec) -> Terms:
    """The terms of a lease. It holds what it names and nothing else: no CPU by default, for it runs nothing."""
    given = spec.needs or NeedsSpec(cpus=0.0)
    if "cpus" not in given.model_fields_set:
        given = given.model_copy(update={"cpus": 0.0})
    needs = needs_of(given)
    if not (needs.amounts or needs.has_devices or spec.reads or spec.writes):
        raise errors.InvalidRequest(
            "This lease would hold nothing.", hint='Say in needs what it holds, for example {"gpus": 1}.'
        )
    useless = [name for name in ("retry", "idle_timeout") if getattr(spec, name) is not None]
    if useless:
        raise errors.InvalidRequest(
            f"`{'`, `'.join(useless)}` belongs to work that runs; a lease runs nothing.",
            hint="`timeout` says how long it is held without being renewed (update_task renew).",
        )
    return Terms(
        kind=Kind.LEASE,
        target=LEASE,
        environment=caller.environment,
        principal=caller.principal,
        needs=needs,
        timeout=spec.timeout if spec.timeout is not None else LEASE_SECONDS,
    )


def _declared_seconds(given: float | str | None) -> float | None:
    """A decorator keeps the words that it was given: "5m" as well as 300."""
    return None if given is None else float(seconds(given))  # pyright: ignore[reportArgumentType]


def _declared_needs(entry: FunctionEntry) -> NeedsSpec | None:
    declared = entry.options.get("needs")
    if declared is None:
        return None
    try:
        return NeedsSpec.model_validate(declared)
    except ValidationError as error:
        raise errors.Unsatisfiable(f"{entry.name} declares needs that make no sense: {error}") from error


def retry_of(given: int | RetrySpec | Mapping[str, Any] | None) -> Retry:
    """`3` is short for three attempts on error, timeout, loss and crash; nothing is one attempt."""
    if given is None:
        return Retry()
    if isinstance(given, int):
        return Retry(max_attempts=given)
    spec = given if isinstance(given, RetrySpec) else RetrySpec.model_validate(given)
    return Retry(
        max_attempts=spec.max_attempts,
        delay=spec.delay,
        factor=spec.factor,
        max_delay=spec.max_delay,
        jitter=spec.jitter,
        on=frozenset(Reason(name) for name in spec.on),
    )


def moment(given: Moment | None, now: float, field: str) -> float:
    """A time as seconds since the epoch; 0.0 for none. Numbers and durations count from now."""
    if given is None:
        return 0.0
    when = now + given if isinstance(given, int | float) else _read_moment(given, now, field)
    if not 0.0 <= when <= _LAST_MOMENT:  # nor can it be told as a date
        raise errors.InvalidRequest(
            f"{field} is {given!r:.40}: that is before 1970, after the year 9999, or no time at all.",
            hint="Give seconds from now, or a duration such as 10m.",
        )
    return when


def _read_moment(given: str, now: float, field: str) -> float:
    try:
        return now + float(seconds(given))  # pyright: ignore[reportArgumentType]
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(given)
    except ValueError:
        raise errors.InvalidRequest(
            f"{field} is '{given}'.",
            hint="Give seconds from now, a duration such as 10m, or 2026-12-31T18:00:00+01:00.",
        ) from None
    if when.tzinfo is None:
        raise errors.InvalidRequest(f"{field} is '{given}', without a zone.", hint="Add the zone: Z or +01:00.")
    return when.timestamp()


def deadline_of(given: Moment | None, now: float) -> float | None:
    """A deadline as seconds since the epoch; refused if it has passed already."""
    if given is None:
        return None
    when = moment(given, now, "deadline")
    if when <= now:
        raise errors.InvalidRequest(
            f"The deadline {given!r} has passed already.",
            hint="Give seconds from now, a duration such as 10m, or a later time.",
        )
    return when
