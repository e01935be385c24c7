"""The states of a task and the one table of lawful moves between them.

`TRANSITIONS[state, cause]` is the next state. Nothing else in the program knows which move is lawful: `core.decide`
applies the table through `advance`, the reference page draws its diagram from it, and an illegal pair raises with the
task's story.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from mcp_scheduler.errors import InvariantBroken


class State(StrEnum):
    """Where a task stands."""

    PENDING = "pending"  # waits for dependencies
    SCHEDULED = "scheduled"  # waits for a time
    HELD = "held"  # a person holds it back
    QUEUED = "queued"  # could run now
    RUNNING = "running"  # an attempt is under way
    RETRYING = "retrying"  # waits for its backoff
    ROLLING_BACK = "rolling_back"  # its compensation runs after the final failure
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # a dependency did not succeed


FINAL: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SKIPPED})
OVER: Final = FINAL | {State.ROLLING_BACK}  # nobody waits any more for what it does
WAITING: Final = frozenset({State.PENDING, State.SCHEDULED, State.HELD, State.QUEUED, State.RETRYING})


class Reason(StrEnum):
    """Why a task failed, or why an attempt ended without success."""

    ERROR = "error"  # the call raised, or its exit code was not 0
    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle_timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"  # the process died without a result
    POISONED = "poisoned"  # it crashed too often to be tried again
    LOST = "lost"  # nobody can say how it ended
    REJECTED = "rejected"  # it could not be started as described
    EXPIRED = "expired"  # its deadline or its wait ran out before it could start
    CANCELLED = "cancelled"  # of an attempt: it was stopped because a person asked
    YIELDED = "yielded"  # of an attempt: it gave way to others; the next one goes on from its checkpoint


class Cause(StrEnum):
    """What moves a task from one state to the next."""

    READY = "ready"  # nothing is missing any more
    WAIT_DEPENDENCIES = "wait_dependencies"
    WAIT_TIME = "wait_time"
    HOLD = "hold"
    START = "start"
    SUCCESS = "success"
    FAILURE = "failure"  # the final one
    BACKOFF = "backoff"  # a failure that will be retried
    RETURN = "return"  # handed to an executor that never began it
    YIELD = "yield"  # it gave way when it was asked to: it is queued again, and nothing is counted
    CANCEL = "cancel"
    SKIP = "skip"
    ROLL_BACK = "roll_back"  # the final failure of a task with a compensation
    RETRY = "retry"  # a person asks for another run of an ended task


TRANSITIONS: Final[dict[tuple[State, Cause], State]] = {
    # A waiting task moves between its kinds of waiting as what it lacks changes.
    **{
        (state, cause): target
        for state in State
        if state in WAITING
        for cause, target in (
            (Cause.READY, State.QUEUED),
            (Cause.WAIT_DEPENDENCIES, State.PENDING),
            (Cause.WAIT_TIME, State.SCHEDULED),
            (Cause.HOLD, State.HELD),
            (Cause.CANCEL, State.CANCELLED),
            (Cause.SKIP, State.SKIPPED),
            (Cause.FAILURE, State.FAILED),
            (Cause.ROLL_BACK, State.ROLLING_BACK),
        )
    },
    (State.QUEUED, Cause.START): State.RUNNING,
    (State.RUNNING, Cause.SUCCESS): State.SUCCEEDED,
    (State.RUNNING, Cause.FAILURE): State.FAILED,
    (State.RUNNING, Cause.BACKOFF): State.RETRYING,
    (State.RUNNING, Cause.RETURN): State.QUEUED,
    (State.RUNNING, Cause.YIELD): State.QUEUED,
    (State.RUNNING, Cause.CANCEL): State.CANCELLED,
    (State.RUNNING, Cause.ROLL_BACK): State.ROLLING_BACK,
    (State.ROLLING_BACK, Cause.FAILURE): State.FAILED,
    (State.ROLLING_BACK, Cause.CANCEL): State.CANCELLED,
    # A task that comes back may still lack what it lacked before: from `pending` it goes on as a new one would.
    (State.FAILED, Cause.RETRY): State.PENDING,
    (State.CANCELLED, Cause.RETRY): State.PENDING,
    (State.SKIPPED, Cause.RETRY): State.PENDING,
}


def advance(state: State, cause: Cause, story: str = "") -> State:
    """The state after `cause`; an illegal pair is a defect of the program and raises `InvariantBroken`."""
    try:
        return TRANSITIONS[state, cause]
    except KeyError:
        raise InvariantBroken(f"A task in state {state} cannot be moved by {cause}. {story}".strip()) from None
