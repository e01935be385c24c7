"""Writes states.md from the table of transitions in mcp_scheduler/core/states.py."""
# ruff: noqa: INP001, E501 - a script beside the page that it writes, with whole sentences of it

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from mcp_scheduler.core.states import FINAL, TRANSITIONS, WAITING, Cause, Reason, State

INTRODUCTION = """\
# States of a task

<!-- Written by generate.py from mcp_scheduler/core/states.py: change the program, then run `make docs`. -->

A task is in exactly one state, and ends in exactly one of `succeeded`, `failed`, `cancelled`, `skipped`. The program moves
tasks by the table below alone; any other move is a defect and stops with the task's story.
"""

MEANINGS = {
    State.PENDING: "waits for the tasks in `after` (and for those whose `$result` it takes)",
    State.SCHEDULED: "waits for its `start_after`",
    State.HELD: "a person or an agent holds it back; `update_task` resume lets it go on",
    State.QUEUED: "could run now; waits for its needs to be free",
    State.RUNNING: "an attempt is under way",
    State.RETRYING: "an attempt has failed; the next begins after its backoff",
    State.ROLLING_BACK: "its compensation (`on_failure`) runs after the final failure",
    State.SUCCEEDED: "ended with a result",
    State.FAILED: "ended without one; `reason` says why",
    State.CANCELLED: "ended because somebody asked for it; no process of it is left",
    State.SKIPPED: "never ran: a task in its `after` did not succeed",
}
REASONS = {
    Reason.ERROR: "the call raised, or its exit code was not 0",
    Reason.TIMEOUT: "it ran longer than its `timeout`",
    Reason.IDLE_TIMEOUT: "it printed nothing for its `idle_timeout`",
    Reason.OUT_OF_MEMORY: "memory of host or device ran out",
    Reason.CRASHED: "its process died without a result",
    Reason.POISONED: "it crashed too often to be tried again",
    Reason.LOST: "nobody can say how it ended; without `retry` (or an idempotent function) it is not run again",
    Reason.REJECTED: "it could not be started as described",
    Reason.CANCELLED: "somebody asked for its end",
    Reason.YIELDED: "of an attempt: it gave way to others (time slices); the task is queued again",
    Reason.EXPIRED: "its deadline passed before it could start",
}
CAUSES = {
    Cause.READY: "nothing is missing any more",
    Cause.WAIT_DEPENDENCIES: "a task that it depends on has not ended",
    Cause.WAIT_TIME: "its time has not come",
    Cause.HOLD: "somebody holds it back",
    Cause.START: "an attempt is handed to the executor",
    Cause.SUCCESS: "the attempt ended with a result",
    Cause.FAILURE: "the attempt ended without one, and there is no other try",
    Cause.BACKOFF: "the attempt ended without one, and `retry` allows another",
    Cause.RETURN: "the executor gave the attempt back: its call had not begun",
    Cause.YIELD: "the attempt gave way to others; nothing is counted",
    Cause.CANCEL: "somebody asked for its end, and no process of it is left",
    Cause.SKIP: "a task that it depends on did not succeed",
    Cause.ROLL_BACK: "its final failure starts its compensation",
    Cause.RETRY: "somebody asks for another run of an ended task; it waits again for what it lacks",
}


def page() -> str:
    """The whole page."""
    return (
        "\n\n".join(
            part.strip()
            for part in (
                INTRODUCTION,
                "\n".join(_states()),
                "\n".join(_reasons()),
                "\n".join(_causes()),
                "\n".join(_diagram()),
            )
        )
        + "\n"
    )


def _states() -> Iterator[str]:
    yield "| state | kind | meaning |"
    yield "|---|---|---|"
    for state in State:
        kind = "ended" if state in FINAL else "waiting" if state in WAITING else "active"
        yield f"| `{state}` | {kind} | {MEANINGS[state]} |"


def _reasons() -> Iterator[str]:
    yield "## Reasons of a failure"
    yield ""
    yield "| reason | meaning |"
    yield "|---|---|"
    for reason in Reason:
        yield f"| `{reason}` | {REASONS[reason]} |"


def _causes() -> Iterator[str]:
    yield "## Causes of a move"
    yield ""
    yield "| cause | meaning |"
    yield "|---|---|"
    for cause in Cause:
        yield f"| `{cause}` | {CAUSES[cause]} |"


def _diagram() -> Iterator[str]:
    yield "## Moves"
    yield ""
    yield "Waiting states move among each other as what a task lacks changes; the diagram draws them as one."
    yield ""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    waiting: {', '.join(state for state in State if state in WAITING)}"
    yield "    [*] --> waiting"
    for (source, target), causes in _moves().items():
        yield f"    {source} --> {target}: {', '.join(sorted(causes))}"
    yield "```"


def _moves() -> dict[tuple[str, str], set[Cause]]:
    moves: dict[tuple[str, str], set[Cause]] = defaultdict(set)
    for (source, cause), target in TRANSITIONS.items():
        move = _drawn(source), _drawn(target)
        if move != ("waiting", "waiting"):
            moves[move].add(cause)
    return moves


def _drawn(state: State) -> str:
    return "waiting" if state in WAITING else str(state)
