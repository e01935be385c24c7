"""JSON Schemas of what tools take and give, compacted by hand: the whole list of tools stays below 3,500 tokens.

The full task stands in `submit_task` alone. What a schema leaves out for brevity the models of `requests` still hold.
"""

from __future__ import annotations

from typing import Any, Final

from mcp_scheduler.core.states import State

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "number"}
_WHOLE: Final[Schema] = {"type": "integer"}
_YES: Final[Schema] = {"type": "boolean"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_ANY_OBJECT: Final[Schema] = {"type": "object"}
_OBJECTS: Final[Schema] = {"type": "array", "items": _ANY_OBJECT}
_TEXT_OR_OBJECT: Final[Schema] = {"anyOf": [_TEXT, _ANY_OBJECT]}
_DURATION: Final[Schema] = {"anyOf": [_NUMBER, _TEXT]}


def _said(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def _takes(properties: Schema, *required: str) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def _gives(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _choice(*names: str) -> Schema:
    return {"type": "string", "enum": list(names)}


_TASK_FIELDS: Final[Schema] = {
    "function": _said(_TEXT, "module.function, see list_functions"),
    "arguments": _said(
        _ANY_OBJECT,
        'of function or tool. {"$result":"<task id>","path":"<JMESPath>"} at any depth (also as a word of command or '
        "as stdin) stands for that task's result and waits for it",
    ),
    "command": _said(
        {"anyOf": [_TEXT, {"type": "array", "items": _TEXT_OR_OBJECT}]},
        "program and arguments, no shell; result {exit_code, stdout_tail, result: JSON that it wrote to "
        "$MCP_SCHEDULER_RESULT}",
    ),
    "chat": _said(_ANY_OBJECT, "request to an LLM endpoint"),
    "tool": _said(_TEXT, "server.tool of another MCP server"),
    "lease": _said(_YES, "hold needs and locks until released, or timeout (1h) after its last renewal; wait = granted"),
    "name": _said(_TEXT, "start of the id"),
    "tags": _TEXTS,
    "idempotency_key": _said(_TEXT, "same key and content: the first task again, no second one"),
    "cache": _said(_YES, "reuse the result of an equal call"),
    "needs": _said(
        {
            "type": "object",
            "properties": {
                "cpus": _NUMBER,
                "memory": {"anyOf": [_WHOLE, _TEXT]},
                "gpus": _WHOLE,
                "gpu_memory": {"anyOf": [_WHOLE, _TEXT]},
                "device": _TEXT,
            },
        },
        "reserved before start; sizes like 4GB; gpus alone = whole ones, with gpu_memory = shared; also named "
        "resources",
    ),
    "after": _said(_TEXTS, "ids that must succeed first"),
    "reads": _TEXTS,
    "writes": _said(_TEXTS, "named things: a writer runs alone"),
    "priority": _said(_WHOLE, "-100..100, higher first"),
    "deadline": _DURATION,
    "start_after": _said(_DURATION, "from now (90, 5m) or ISO time with zone"),
    "every": _DURATION,
    "cron": _TEXT,
    "catch_up": _choice("skip", "one", "all"),
    "timeout": _said(_DURATION, "like 90, 5m, 2h"),
    "idle_timeout": _said(_DURATION, "without output"),
    "retry": _said(
        {"anyOf": [_WHOLE, _ANY_OBJECT]},
        "attempts in all, or {max_attempts,delay,factor,max_delay,jitter,on:[error,timeout,idle_timeout,"
        "out_of_memory,lost,crashed]}; default 1",
    ),
    "on_failure": _said(_ANY_OBJECT, "task that undoes, as this"),
    "replicas": _WHOLE,
    "hedge": _said(_YES, "second copy when slow"),
    "cwd": _TEXT,
    "env": _ANY_OBJECT,
    "stdin": _TEXT_OR_OBJECT,
    "ranks": _said(_WHOLE, "as torchrun"),
    "inputs": _said(_TEXTS, "files kept as now in $MCP_SCHEDULER_INPUTS"),
    "hold": _said(_YES, "until update_task resume"),
}

_AS_SUBMIT: Final = "as submit_task"

SUBMIT_TASK: Final = _takes(_TASK_FIELDS)
SUBMIT_GRAPH: Final = _takes(
    {
        "tasks": _said(
            {"type": "object", "additionalProperties": _said(_ANY_OBJECT, _AS_SUBMIT)},
            "key → task; after and $result may name keys",
        ),
        "name": _TEXT,
        "tags": _TEXTS,
        "idempotency_key": _TEXT,
        "plan": _said(_TEXT, "from plan_tasks"),
    },
    "tasks",
)
MAP_TASK: Final = _takes(
    {
        "task": _said(
            _ANY_OBJECT,
            f'{_AS_SUBMIT}; {{"$item":true}} or {{"$item":"<path>"}} stands for the item; else object items are '
            "merged into arguments",
        ),
        "over": _said(
            {
                "type": "object",
                "properties": {
                    "items": {"type": "array"},
                    "product": _ANY_OBJECT,
                    "zip": _ANY_OBJECT,
                    "rows": _said(_TEXT, "CSV or JSONL file"),
                },
            },
            "one of these; product, zip: argument → list",
        ),
        "stages": _said(_OBJECTS, 'pipeline; {"$result":"previous"}'),
        "chunk": _said({"anyOf": [_WHOLE, _TEXT]}, "items per task, auto, or 2s; retry repeats failed ones"),
        "reduce": _said(_ANY_OBJECT, 'at the end; {"$result":"items"} = all results; fan_in:k folds k at once'),
        "name": _TEXT,
        "tags": _TEXTS,
        "idempotency_key": _TEXT,
    },
    "task",
    "over",
)
WAIT_FOR_TASKS: Final = _takes(
    {
        "ids": _said(_TEXTS, "of tasks or groups"),
        "mode": _said(_choice("all", "any", "next"), "next: what ended since cursor"),
        "timeout": _said(_DURATION, "seconds, at most 50"),
        "cursor": _said(_TEXT, "from the last answer"),
    },
    "ids",
)
GET_TASK: Final = _takes(
    {
        "id": _said(_TEXT, "task or group"),
        "detail": _said(_YES, "attempts, times, call; of a group its tasks with small results"),
    },
    "id",
)
LIST_TASKS: Final = _takes(
    {
        "states": {"type": "array", "items": _choice(*State)},
        "group": _TEXT,
        "tag": _TEXT,
        "name": _said(_TEXT, "part of name or id"),
        "mine": _said(_YES, "only this client's"),
        "limit": _said(_WHOLE, "1..200, default 20"),
        "cursor": _TEXT,
    }
)
READ_OUTPUT: Final = _takes(
    {
        "id": _TEXT,
        "what": _choice("result", "stdout", "stderr"),
        "attempt": _said(_WHOLE, "default: the last"),
        "path": _said(_TEXT, "JMESPath into the result"),
        "grep": _said(_TEXT, "regex: only lines that match"),
        "tail": _said(_YES, "the end, not the beginning"),
        "offset": _WHOLE,
        "limit": _said(_WHOLE, "bytes, default 8192"),
    },
    "id",
)
CANCEL_TASK: Final = _takes({"ids": _said(_TEXTS, "tasks or groups"), "tag": _TEXT})
UPDATE_TASK: Final = _takes(
    {
        "ids": _TEXTS,
        "action": _choice("hold", "resume", "retry", "release", "renew", "set_priority", "set_deadline"),
        "value": _said(_DURATION, "of set_priority, set_deadline, renew"),
    },
    "ids",
    "action",
)
GET_NODE_LOAD: Final = _takes({})
PLAN_TASKS: Final = _takes(
    {
        "tasks": _said(_ANY_OBJECT, "as submit_graph; without: all unfinished"),
        "policies": _said(_TEXTS, "to compare"),
        "objectives": _said(_TEXTS, "makespan: a better order; with energy, utilisation: a Pareto front"),
        "seconds": _NUMBER,
        "limit": _WHOLE,
        "offset": _WHOLE,
    }
)
LIST_FUNCTIONS: Final = _takes(
    {"query": _said(_TEXT, "part of name or summary"), "detail": _said(_YES, "full schemas"), "limit": _WHOLE}
)

_STATUS: Final = _gives({"id": _TEXT, "state": _TEXT}, "id", "state")
_STATUSES: Final[Schema] = {"type": "array", "items": _STATUS}

ONE_STATUS: Final = _STATUS
SUBMITTED_GROUP: Final = _gives({"id": _TEXT, "state": _TEXT, "size": _WHOLE, "keys": _ANY_OBJECT}, "id", "state")
WAITED: Final = _gives(
    {
        "complete": _YES,
        "remaining": _WHOLE,
        "done": _STATUSES,
        "groups": _STATUSES,
        "waiting": _STATUSES,
        "cursor": _TEXT,
        "again_in_s": _NUMBER,
    },
    "complete",
    "remaining",
)
LISTED: Final = _gives({"tasks": _STATUSES, "counts": _ANY_OBJECT, "cursor": _TEXT}, "tasks")
OUTPUT: Final = _gives(
    {"text": _TEXT, "offset": _WHOLE, "total": _WHOLE, "next_offset": _WHOLE, "note": _TEXT}, "text", "total"
)
CHANGED: Final = _gives({"count": _WHOLE, "changed": _STATUSES, "unchanged": _ANY_OBJECT}, "count")
LOAD: Final = _gives({"nodes": _OBJECTS, "tasks": _ANY_OBJECT, "alerts": _TEXTS, "policy": _TEXT}, "nodes")
PLANNED: Final = _gives(
    {"policies": _OBJECTS, "tasks": _OBJECTS, "front": _OBJECTS, "next_offset": _WHOLE, "notes": _TEXTS}, "policies"
)
FUNCTIONS: Final = _gives({"functions": _OBJECTS, "total": _WHOLE, "problems": _TEXTS}, "functions", "total")
