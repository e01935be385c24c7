"""The tools: what each takes and gives, and how a call becomes one call of the service. No MCP types here."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from mcp_scheduler import requests
from mcp_scheduler.errors import InvalidRequest, TooLarge
from mcp_scheduler.ports import Clock
from mcp_scheduler.runtime.clock import SystemClock
from mcp_scheduler.server import answers, descriptions, schemas
from mcp_scheduler.server.answers import Visit
from mcp_scheduler.server.clients import habits_of
from mcp_scheduler.server.complaints import nearest, read
from mcp_scheduler.server.failures import Failure, failure_of, is_our_end
from mcp_scheduler.server.plan_answer import plan_tasks
from mcp_scheduler.server.replies import Reply
from mcp_scheduler.server.service_port import SchedulerService

MOST_ARGUMENTS: Final = 16 * 1024 * 1024  # characters of JSON
_SHORT: Final = 10_000  # characters of a text


@dataclass(frozen=True, slots=True)
class Nature:
    """What a tool does to the world, truthfully: clients decide by it whether they ask their user first."""

    reads_only: bool = False
    destroys: bool = False
    idempotent: bool = False
    open_world: bool = False


READS: Final = Nature(reads_only=True)
RUNS_ANYTHING: Final = Nature(destroys=True, open_world=True)  # a command can do whatever the user may


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. `takes` and `gives` are its schemas, `request` validates what `takes` says (and more)."""

    name: str
    description: str
    takes: schemas.Schema
    gives: schemas.Schema
    nature: Nature
    request: type[BaseModel]
    answer: Callable[[Visit, Any], Awaitable[Reply]]


class NoArguments(requests.Request):
    """get_node_load takes nothing."""


TOOLS: Final[Mapping[str, Tool]] = {
    tool.name: tool
    for tool in (
        Tool(
            "submit_task",
            descriptions.SUBMIT_TASK,
            schemas.SUBMIT_TASK,
            schemas.ONE_STATUS,
            RUNS_ANYTHING,
            requests.SubmitTask,
            answers.submit_task,
        ),
        Tool(
            "submit_graph",
            descriptions.SUBMIT_GRAPH,
            schemas.SUBMIT_GRAPH,
            schemas.SUBMITTED_GROUP,
            RUNS_ANYTHING,
            requests.SubmitGraph,
            answers.submit_graph,
        ),
        Tool(
            "map_task",
            descriptions.MAP_TASK,
            schemas.MAP_TASK,
            schemas.SUBMITTED_GROUP,
            RUNS_ANYTHING,
            requests.MapTask,
            answers.map_task,
        ),
        Tool(
            "wait_for_tasks",
            descriptions.WAIT_FOR_TASKS,
            schemas.WAIT_FOR_TASKS,
            schemas.WAITED,
            READS,
            requests.Wait,
            answers.wait_for_tasks,
        ),
        Tool(
            "get_task",
            descriptions.GET_TASK,
            schemas.GET_TASK,
            schemas.ONE_STATUS,
            READS,
            requests.GetTask,
            answers.get_task,
        ),
        Tool(
            "list_tasks",
            descriptions.LIST_TASKS,
            schemas.LIST_TASKS,
            schemas.LISTED,
            READS,
            requests.ListTasks,
            answers.list_tasks,
        ),
        Tool(
            "read_output",
            descriptions.READ_OUTPUT,
            schemas.READ_OUTPUT,
            schemas.OUTPUT,
            READS,
            requests.ReadOutput,
            answers.read_output,
        ),
        Tool(
            "cancel_task",
            descriptions.CANCEL_TASK,
            schemas.CANCEL_TASK,
            schemas.CHANGED,
            Nature(destroys=True, idempotent=True),
            requests.Cancel,
            answers.cancel_task,
        ),
        Tool(
            "update_task",
            descriptions.UPDATE_TASK,
            schemas.UPDATE_TASK,
            schemas.CHANGED,
            RUNS_ANYTHING,  # retry runs the call again
            requests.Update,
            answers.update_task,
        ),
        Tool(
            "get_node_load",
            descriptions.GET_NODE_LOAD,
            schemas.GET_NODE_LOAD,
            schemas.LOAD,
            READS,
            NoArguments,
            answers.get_node_load,
        ),
        Tool(
            "plan_tasks",
            descriptions.PLAN_TASKS,
            schemas.PLAN_TASKS,
            schemas.PLANNED,
            READS,
            requests.PlanTasks,
            plan_tasks,
        ),
        Tool(
            "list_functions",
            descriptions.LIST_FUNCTIONS,
            schemas.LIST_FUNCTIONS,
            schemas.FUNCTIONS,
            READS,
            requests.ListFunctions,
            answers.list_functions,
        ),
    )
}


class Toolbox:
    """All tools over one service. `command` is how a shell calls our CLI so that it meets this home."""

    def __init__(
        self, service: SchedulerService, *, clock: Clock | None = None, command: str = "mcp-scheduler"
    ) -> None:
        self.service = service
        self._clock = clock or SystemClock()
        self._command = command

    def visit(self, caller: requests.Caller, progress: Callable[[str], None] | None = None) -> Visit:
        """What surrounds one call by `caller`."""
        return Visit(self.service, caller, habits_of(caller.client), self._clock, self._command, progress)

    async def answer(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        caller: requests.Caller,
        progress: Callable[[str], None] | None = None,
    ) -> Reply | Failure:
        """The tool's answer, or why there is none. Raises nothing but the cancellation of this very call: whatever a
        tool raises (SystemExit too), the client gets an answer."""
        try:
            tool = _tool(name)
            request = read(tool.request, _checked(arguments), name)
            return await tool.answer(self.visit(caller, progress), request)
        except BaseException as error:  # see the docstring: no call is left unanswered
            if is_our_end(error):
                raise
            return failure_of(error, name)


def _tool(name: str) -> Tool:
    tool = TOOLS.get(name)
    if tool is None:
        close = nearest(name, list(TOOLS))
        meant = f"Did you mean {close}?" if close else f"There are: {', '.join(TOOLS)}."
        raise InvalidRequest(f"There is no tool {name[:80]!r}.", hint=meant)
    return tool


def _is_plain(value: Any) -> bool:
    """Whether there is nothing to be checked: most arguments are short words and numbers."""
    return (isinstance(value, str) and len(value) <= _SHORT) or isinstance(value, (bool, int)) or value is None


def _checked(arguments: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Arguments that are JSON in the strict sense, of bearable size."""
    if not arguments:
        return {}
    if all(_is_plain(value) for value in arguments.values()):
        return arguments
    try:
        length = len(json.dumps(arguments, allow_nan=False, ensure_ascii=False))
    except ValueError:
        raise InvalidRequest("The arguments contain NaN or Infinity, which JSON does not have.") from None
    except RecursionError:
        raise InvalidRequest("The arguments are nested too deeply.") from None
    if length > MOST_ARGUMENTS:
        raise TooLarge(
            f"The arguments have {length:,} characters; at most {MOST_ARGUMENTS:,} are accepted.",
            hint="Write large data into a file and submit its path.",
        )
    return arguments
