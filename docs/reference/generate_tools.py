"""Writes tools.md from the tools, their schemas and the texts below."""
# ruff: noqa: INP001, E501 - a script beside the page that it writes, with whole sentences of it

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from generate_errors import codes

from mcp_scheduler.server import clients, prompts, resources
from mcp_scheduler.server.tools import TOOLS, Tool

INTRODUCTION = """\
# The tools

<!-- Written by generate.py from the program: change mcp_scheduler/server, then run `make docs`. -->

What an agent sees over MCP, in both protocol eras (2025-11-25 and 2026-07-28). Unknown arguments are refused by name, with
the nearest right one. Every reply carries `structuredContent` and, as text, the same data in one short line per task.
Fields of a task that this version knows but cannot carry out are refused with the code `not_yet`.
Empty fields are left out. `..._s` counts seconds, `..._at` is ISO 8601 in UTC.

A task's status has at most 400 characters (its small result not counted where it is asked for): `id`, `state`
([states](states.md)), `why` it waits, `reason`, `error` and `hint` of a failure, `progress`, `waited_s`, `starts_in_s`,
`ran_s`, `attempt` (from the second on), `result` where it is small, else `result_bytes` for `read_output`.
"""

# What each argument means. The schema tells a model less: every word there is paid for by every conversation.
TASK = {
    "function": "The function to call, as `module.function`; `list_functions` names them.",
    "arguments": 'The arguments of `function` or `tool`, as JSON. `{"$result": "<task id>", "path": "<JMESPath>"}`, at any '
    "depth, is replaced by that task's result, which is waited for.",
    "command": "A program and its arguments: a list, or a text that is split as a shell would split it; no shell runs. Its "
    "result is `{exit_code, stdout_tail, result}`, `result` being the JSON that it wrote into the file "
    "`$MCP_SCHEDULER_RESULT`. Needs a grant (`--allow-command`).",
    "chat": "A request to an LLM endpoint of the settings.",
    "tool": "A tool of another MCP server of the settings, as `server.tool`.",
    "lease": "A call that does nothing but hold its needs until `update_task` releases it, or `timeout` (1 h by default) "
    "has passed since its last renewal: see [Leases](../howto/leases.md).",
    "name": "What people call it; the id begins with it.",
    "tags": "Words to find and to cancel tasks by.",
    "idempotency_key": "Makes the submission repeatable: same client, same key, same content gives the first task again "
    "(`duplicate`); same key with other content is refused (`duplicate_key`).",
    "cache": "Take the stored result of an equal call (function, arguments, code) if there is one.",
    "needs": "What is reserved before the task starts: `cpus` (default 1), `memory`, `gpus`, `gpu_memory` (on each GPU), "
    "`device` (class or label), and any named resource of the settings.",
    "after": "Tasks that must succeed first, by id (in a graph also by key).",
    "reads": "Named things that it reads.",
    "writes": "Named things that it writes. Two tasks conflict if one writes what the other reads or writes; conflicting "
    "tasks never run at the same time.",
    "priority": "-100 to 100, higher first; waiting raises it slowly.",
    "deadline": "When it should be done: seconds from now, `5m`, or an ISO 8601 time with its zone.",
    "start_after": "Not before: seconds from now, `5m`, or an ISO 8601 time with its zone.",
    "every": "Run it again and again, this far apart.",
    "cron": "Run it at these times.",
    "catch_up": "What to do about times that were missed: skip them, run once, run all.",
    "timeout": "An attempt that runs longer ends, with all its processes. Default: none.",
    "idle_timeout": "An attempt that prints nothing for so long ends. Default: none.",
    "retry": "How often it is tried in all (a number: on error, timeout, loss and crash), or `max_attempts`, `delay`, "
    "`factor`, `max_delay`, `jitter` and `on`. Default: once.",
    "on_failure": "A task that undoes what this one did, run once after its final failure.",
    "replicas": "So many copies on different devices, the first success wins; for idempotent functions.",
    "hedge": "One more copy if it takes unusually long; for idempotent functions.",
    "cwd": "Working folder of a command. Default: the client's.",
    "env": "Further environment variables of a command.",
    "stdin": "What a command reads from its standard input: a text, or a `$result`.",
    "ranks": "Start the command so many times, as the ranks of one gang: each has `RANK`, `LOCAL_RANK`, `WORLD_SIZE`, "
    "`MASTER_ADDR` and `MASTER_PORT`, as from torchrun. One that fails ends the others.",
    "inputs": "Files, folders and patterns, relative to the working folder: kept as they are now; every attempt sees a "
    "copy in `$MCP_SCHEDULER_INPUTS` (`current_task().inputs`).",
    "hold": "Keep it `held` until it is resumed.",
}
GROUP = {
    "name": "What people call the group; its id begins with it.",
    "tags": "Words to find and to cancel its tasks by.",
    "idempotency_key": "As in `submit_task`, for the whole submission.",
}
MEANINGS: dict[str, dict[str, str]] = {
    "submit_task": TASK,
    "submit_graph": {
        "tasks": "The tasks by key, each as in `submit_task`. `after` and `$result` may name keys of this graph.",
        **GROUP,
        "plan": "The id of an order that `plan_tasks` has found for the same tasks.",
    },
    "map_task": {
        "task": 'The template, as in `submit_task`. `{"$item": true}` in it stands for the item, `{"$item": "<path>"}` for '
        "a part of it; without either, an item that is an object is merged into `arguments`.",
        "over": "Exactly one of `items` (a list), `product` and `zip` (argument → list), `rows` (a CSV or JSONL file).",
        "stages": "Further calls for each item, as in `submit_task`, each with needs of its own: a pipeline. "
        '`{"$result": "previous"}` stands for what the stage before made of the item; a failed item skips its later stages.',
        "chunk": "So many items in one task (1..10,000), as many as take a time (`2s`), or `auto` (half a second): for many "
        "small calls of a function. A chunk that takes longer than its time makes way, and goes on later. An item that fails "
        "spoils no other; a retry repeats the failed ones.",
        "reduce": 'A task that runs at the end, as in `submit_task`; `{"$result": "items"}` stands for the list of '
        "results. With `fan_in` (2..1,000) it begins early: so many results at a time are folded into a partial one, and "
        "these into others; the function has to be associative.",
        **GROUP,
    },
    "wait_for_tasks": {
        "ids": "Tasks or groups.",
        "mode": "`all` (default), `any` of them, or `next`: what has ended since the cursor.",
        "timeout": f"How long to wait, at most {clients.LONGEST_WAIT:.0f} s. Default: {clients.LONG_WAIT:.0f} s for clients "
        f"that are known to allow it (Claude Code, Cursor, VS Code, Codex), {clients.SHORT_WAIT:.0f} s for others.",
        "cursor": "The `cursor` of the last answer.",
    },
    "get_task": {"id": "A task or group.", "detail": "Attempts, times, call and the rest; of a group also its tasks."},
    "list_tasks": {
        "states": "Only tasks in these states.",
        "group": "Only tasks of this group.",
        "tag": "Only tasks with this tag.",
        "name": "Only tasks with this in their name or id.",
        "mine": "Only tasks of this client.",
        "limit": "How many, 1 to 200. Default: 20.",
        "cursor": "The `cursor` of the last answer: the next page.",
    },
    "read_output": {
        "id": "A task.",
        "what": "`result` (default), `stdout` or `stderr`.",
        "attempt": "Which attempt's. Default: the last.",
        "path": "A JMESPath into the result.",
        "grep": "A regular expression: only lines that match.",
        "tail": "The end instead of the beginning.",
        "offset": "Where to begin, in bytes; `next_offset` of the last answer reads on.",
        "limit": "How many bytes, at most 65,536. Default: 8,192.",
    },
    "cancel_task": {"ids": "Tasks or groups.", "tag": "All tasks with this tag, instead of `ids`."},
    "update_task": {
        "ids": "Tasks or groups.",
        "action": "`hold` and `resume`; `retry` (run an ended task again); `release` and `renew` (a lease); `set_priority`; "
        "`set_deadline`.",
        "value": "The priority, the deadline, or for how long from now a lease is renewed (default: its `timeout`).",
    },
    "get_node_load": {},
    "plan_tasks": {
        "tasks": "Tasks by key, as in `submit_graph`, at most 1,000. Without them: all that is unfinished now.",
        "objectives": "`makespan`: look for an order of the given tasks that ends sooner. Its `plan` is for `submit_graph`. With `energy` or"
        " `utilisation`: a Pareto `front`, whose points have a `plan` each.",
        "seconds": "For all of it; 2 by default.",
        "policies": "Names of policies to compare; the tasks are told under the first. Default: the one in force.",
        "limit": "How many tasks are told, 1 to 1,000, the earliest start first. Default: 20.",
        "offset": "From which one on: `next_offset` of the last answer.",
    },
    "list_functions": {
        "query": "Only functions with this in their name or summary.",
        "detail": "With their JSON Schemas and options.",
        "limit": "How many, 1 to 200. Default: 50.",
    },
}


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, *("\n".join(_tool(tool)) for tool in TOOLS.values())]
    parts += ["\n".join(_resources()), "\n".join(_prompts()), "\n".join(_failures())]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _tool(tool: Tool) -> Iterator[str]:
    yield f"## {tool.name}"
    yield ""
    yield tool.description
    yield ""
    yield f"Annotations: {_nature(tool)}."
    yield ""
    if tool.takes["properties"]:
        yield "| argument | type | meaning |"
        yield "|---|---|---|"
        required = tool.takes.get("required", ())
        for name, schema in tool.takes["properties"].items():
            needed = ", required" if name in required else ""
            yield f"| `{name}` | {_type(schema)}{needed} | {MEANINGS[tool.name][name]} |"
    else:
        yield "No arguments."
    yield ""
    yield f"Reply: {', '.join(f'`{name}`' for name in tool.gives['properties'])}."


def _nature(tool: Tool) -> str:
    nature = tool.nature
    if nature.reads_only:
        return "reads only"
    told = ["may destroy" if nature.destroys else "adds only"]
    told += ["repeating it changes nothing more"] if nature.idempotent else []
    told += ["reaches beyond the scheduler"] if nature.open_world else []
    return ", ".join(told)


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(arm) for arm in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(f"`{choice}`" for choice in schema["enum"])
    if schema["type"] == "array":
        items = schema.get("items")
        return f"list of {_type(items)}" if items else "list"
    return schema["type"]


def _resources() -> Iterator[str]:
    yield "## Resources"
    yield ""
    yield "| address | type | content |"
    yield "|---|---|---|"
    for one in resources.TEMPLATES:
        yield f"| `{one.template}` | {one.mime_type} | {one.description} |"


def _prompts() -> Iterator[str]:
    yield "## Prompts"
    yield ""
    yield "| prompt | argument | purpose |"
    yield "|---|---|---|"
    for prompt in prompts.PROMPTS.values():
        yield f"| `{prompt.name}` | `{prompt.argument}`: {prompt.meaning} | {prompt.description} |"


def _failures() -> Iterator[str]:
    yield "## Failures"
    yield ""
    yield "A failed call is a result with `isError`, a text for the model, and the code in `_meta`:"
    example = {"isError": True, "_meta": {"mcp-scheduler/failure": {"code": "unknown_task"}}}
    yield f"`{json.dumps(example)}`."
    yield ""
    yield f"[The codes](errors.md): {', '.join(f'`{code}`' for code in codes())}."
