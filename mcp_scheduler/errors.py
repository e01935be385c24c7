"""Every error that leaves the scheduler, by family. A leaf has a stable `code`; its docstring is the default message.

How *work* ends is data (an outcome), never an exception.
"""

from __future__ import annotations

from typing import Any, ClassVar


class SchedulerError(Exception):
    """Something went wrong in the scheduler."""

    code: ClassVar[str] = "error"
    hint: str = ""

    def __init__(self, message: str = "", *, hint: str = "", **facts: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint or type(self).hint
        self.facts = facts
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidRequest(SchedulerError):
    """The request cannot be carried out as it stands."""

    code = "invalid_request"


class UnknownTask(InvalidRequest):
    """There is no such task."""

    code = "unknown_task"
    hint = "Call list_tasks to see the ids of your tasks."


class UnknownFunction(InvalidRequest):
    """There is no such function."""

    code = "unknown_function"
    hint = "Call list_functions to see what can be called."


class AmbiguousFunction(InvalidRequest):
    """More than one function has this name."""

    code = "ambiguous_function"


class BadArguments(InvalidRequest):
    """The arguments do not fit the function."""

    code = "bad_arguments"


class CycleFound(InvalidRequest):
    """The dependencies form a cycle."""

    code = "cycle_found"


class UnknownDependency(InvalidRequest):
    """A dependency names no task."""

    code = "unknown_dependency"


class Unsatisfiable(InvalidRequest):
    """No node of this scheduler could ever run the task."""

    code = "unsatisfiable"
    hint = "Call get_node_load to see what there is."


class NotAllowed(InvalidRequest):
    """The client's grant does not cover this."""

    code = "not_allowed"


class NotYet(InvalidRequest):
    """This version does not do that yet."""

    code = "not_yet"


class TooLarge(InvalidRequest):
    """The request is larger than this scheduler accepts."""

    code = "too_large"


class Conflict(SchedulerError):
    """Right request, wrong moment."""

    code = "conflict"


class DuplicateKey(Conflict):
    """The idempotency key was used for something else."""

    code = "duplicate_key"


class Unavailable(SchedulerError):
    """Not possible right now; the same request may succeed later."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    """The database cannot be written right now."""

    code = "store_unavailable"


class NewerSchema(Unavailable):
    """The database was written by a newer version of mcp-scheduler."""

    code = "new_schema"
    hint = "Start the newer version: this one would not understand what it reads, and leaves the file as it is."


class StoreDamaged(Unavailable):
    """The database file is damaged."""

    code = "store_damaged"
    hint = (
        "Nothing was changed. Restore a backup, or move the file and its -wal and -shm files aside"
        " and start again with an empty store."
    )


class ExecutorUnavailable(Unavailable):
    """The executor cannot start work right now."""

    code = "executor_unavailable"


class ShuttingDown(Unavailable):
    """The engine is stopping."""

    code = "shutting_down"
    hint = "Repeat the call: the next engine answers it."


class InvariantBroken(SchedulerError):
    """A rule of the scheduler itself was broken: a defect of the program."""

    code = "invariant_broken"
