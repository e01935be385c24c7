"""What follows when an attempt has ended: one pure function, the promises about repeated work in one place.

- Without `retry` there is one attempt. Losses and crashes repeat work only where `retry` names them or the function
  is idempotent.
- A call that had too little memory and may be repeated is, twice at most, with a larger claim: its `failures` do not
  grow by that, because the same attempt with the same claim was never to succeed.
- One that gave way to others (time slices) has not ended badly: it is queued again, as often as that happens.
- Failures are bounded by `max_attempts`; losses (nobody can say how the attempt ended) and crashes (it died without a
  result) are counted apart, each with its own bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from mcp_scheduler.core.events import Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Cause, Reason
from mcp_scheduler.core.task import Retry, Status, Terms

CRASH_LIMIT: Final = 3
LOSS_LIMIT: Final = 5
MEMORY_RETRIES: Final = 2
_SOONEST: Final = 0.05  # seconds; a new claim is a fact, and used only when it is committed
_UNCERTAIN: Final = frozenset({Reason.LOST, Reason.CRASHED})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The cause that moves the task on, with the counters after this attempt and, for BACKOFF, the waiting time."""

    cause: Cause
    failures: int
    losses: int
    crashes: int
    reason: Reason | None = None
    delay: float = 0.0
    memory_retries: int = 0


def judge(
    terms: Terms, status: Status, attempt: AttemptId, outcome: Outcome, *, can_claim_more: bool = False
) -> Verdict:
    """How the task of an ended attempt goes on. A success counts even when a cancel came too late."""
    reason = outcome.reason
    grown = status.memory_retries
    if reason is None:
        return Verdict(Cause.SUCCESS, status.failures, status.losses, status.crashes, memory_retries=grown)
    if reason is Reason.YIELDED:
        cause = Cause.CANCEL if status.cancel_requested else Cause.YIELD
        return Verdict(cause, status.failures, status.losses, status.crashes, memory_retries=grown)
    failures = status.failures + (reason not in _UNCERTAIN)
    losses = status.losses + (reason is Reason.LOST)
    crashes = status.crashes + (reason is Reason.CRASHED)
    if status.cancel_requested:
        return Verdict(Cause.CANCEL, failures, losses, crashes, reason, memory_retries=grown)
    if crashes >= CRASH_LIMIT:
        return Verdict(Cause.FAILURE, failures, losses, crashes, Reason.POISONED, memory_retries=grown)
    tries = failures + losses + crashes + grown
    if reason is Reason.OUT_OF_MEMORY and can_claim_more and grown < MEMORY_RETRIES and _may_grow(terms.retry):
        delay = max(backoff(terms.retry, tries, attempt), _SOONEST)
        return Verdict(Cause.BACKOFF, status.failures, losses, crashes, reason, delay, grown + 1)
    if _may_repeat(terms, reason, failures, losses, crashes):
        return Verdict(Cause.BACKOFF, failures, losses, crashes, reason, backoff(terms.retry, tries, attempt), grown)
    return Verdict(Cause.FAILURE, failures, losses, crashes, reason, memory_retries=grown)


def _may_grow(retry: Retry) -> bool:
    """To lack memory is an error of the call: who allows those to be repeated allows this."""
    return retry.max_attempts > 1 and (Reason.OUT_OF_MEMORY in retry.on or Reason.ERROR in retry.on)


def _may_repeat(terms: Terms, reason: Reason, failures: int, losses: int, crashes: int) -> bool:
    retry = terms.retry
    named = retry.max_attempts > 1 and reason in retry.on
    if reason is Reason.LOST:
        return (named or terms.idempotent) and losses < LOSS_LIMIT
    if reason is Reason.CRASHED:
        return terms.idempotent or (named and crashes < retry.max_attempts)
    return named and failures < retry.max_attempts


def backoff(retry: Retry, tries: int, attempt: AttemptId) -> float:
    """Seconds until the next attempt after `tries` that ended badly: exponential, capped, and of that the share
    `jitter` drawn evenly ("full jitter" for 1.0). The draw is a hash of the attempt's id: the same in every replay."""
    full = min(retry.max_delay, retry.delay * retry.factor ** (tries - 1))
    draw = int.from_bytes(blake2b(str(attempt).encode(), digest_size=4).digest()) / 0xFFFFFFFF
    return full * (1.0 - retry.jitter) + full * retry.jitter * draw
