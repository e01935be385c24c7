"""Whatever a client sends as arguments, each call is answered, by a result, without a traceback."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from service_double import ServiceDouble, numbered
from wires import connection

from mcp_scheduler.server.owner import serve_owner
from mcp_scheduler.server.session import serve_mcp
from mcp_scheduler.server.tools import TOOLS, Toolbox

KNOWN = numbered("add", 1)  # the first task of the double

# Right arguments of each tool: what is mutated.
RIGHT: dict[str, dict[str, Any]] = {
    "submit_task": {
        "function": "tools.add",
        "arguments": {"a": 1},
        "needs": {"cpus": 1, "memory": "1GB"},
        "retry": {"max_attempts": 3, "on": ["error"]},
        "timeout": "5m",
        "tags": ["x"],
    },
    "submit_graph": {"tasks": {"a": {"function": "tools.a"}, "b": {"command": ["ls"], "after": ["a"]}}},
    "map_task": {"task": {"function": "tools.add"}, "over": {"items": [{"a": 1}, {"a": 2}]}},
    "wait_for_tasks": {"ids": [KNOWN], "mode": "any", "timeout": 0},
    "get_task": {"id": KNOWN, "detail": True},
    "list_tasks": {"states": ["queued"], "limit": 5},
    "read_output": {"id": KNOWN, "what": "stdout", "limit": 10},
    "cancel_task": {"ids": [KNOWN]},
    "update_task": {"ids": [KNOWN], "action": "hold"},
    "get_node_load": {},
    "plan_tasks": {"tasks": {"a": {"function": "tools.a"}}, "policies": ["fifo"], "limit": 3, "offset": 0},
    "list_functions": {"query": "x"},
}
JUNK = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.text(max_size=20)
    | some.sampled_from(["\ud800", "\x00", "9" * 400, -1, 10**400, 1e308, "tools.add", KNOWN]),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The ways to everything in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [way for key, part in inner for way in places(part, (*path, key))]


@some.composite
def mutated(draw, right: dict[str, Any]) -> Any:
    """The right arguments with one to three places replaced, removed or added."""
    arguments = copy.deepcopy(right)
    for _ in range(draw(some.integers(1, 3))):
        ways = places(arguments)
        change = draw(some.sampled_from(["replace", "remove", "add"])) if ways else "add"
        if change == "add":
            arguments[draw(some.text(max_size=12) | some.sampled_from(["priority", "cron", "ids", "path"]))] = draw(
                JUNK
            )
            continue
        *way, last = draw(some.sampled_from(ways))
        owner = arguments
        for key in way:
            owner = owner[key]
        if change == "replace":
            owner[last] = draw(JUNK)
        else:
            del owner[last]
    return arguments


CALLS = some.sampled_from(sorted(TOOLS)).flatmap(lambda name: some.tuples(some.just(name), mutated(RIGHT[name])))
MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(some.lists(CALLS, min_size=1, max_size=12), some.sampled_from(["modern", "legacy"]))
def test_any_arguments_are_answered_over_mcp(calls: list[tuple[str, Any]], era: str):
    async def converse() -> None:
        service = ServiceDouble()
        toolbox = Toolbox(service, clock=service.clock)
        async with connection(lambda door: serve_mcp(door, toolbox), era) as client:
            client.call("submit_task", {"function": "tools.add"}, ident="first")
            await client.answer("first")
            service.end(KNOWN, result=[1])  # no wait takes its time
            for number, (name, arguments) in enumerate(calls):
                client.call(name, arguments, ident=number)
                answer = await client.answer(number)
                check(name, answer["result"])

    asyncio.run(converse())


def check(name: str, result: dict[str, Any]) -> None:
    text = result["content"][0]["text"]
    assert "Traceback" not in text
    assert "incident" not in text, text
    assert "pydantic" not in text
    if result["isError"]:
        assert text.endswith((".", "?", "!", ":")), text
        assert len(text) < 5000
    else:
        jsonschema.validate(result["structuredContent"], TOOLS[name].gives)


@MANY
@given(
    some.sampled_from(["submit", "submit_many", "get", "list", "read", "wait", "cancel", "update", "result", "nope"]),
    JUNK | mutated({"ids": ["x"], "timeout": 0}),
)
def test_any_parameters_are_answered_to_the_owner(method: str, params: Any):
    async def converse() -> None:
        service = ServiceDouble()
        async with connection(lambda door: serve_owner(door, service), "owner") as client:
            client.send_line({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            answer = await client.answer(1)
            assert "Traceback" not in json.dumps(answer)
            assert answer.get("error", {}).get("data", {}).get("code") != "internal", answer

    asyncio.run(converse())


@MANY
@given(some.binary(max_size=200) | some.text(max_size=100).map(str.encode), some.sampled_from(["modern", "legacy"]))
def test_any_bytes_leave_the_connection_alive(line: bytes, era: str):
    async def converse() -> None:
        service = ServiceDouble()
        toolbox = Toolbox(service, clock=service.clock)
        async with connection(lambda door: serve_mcp(door, toolbox), era) as client:
            client.raw(line)
            client.call("get_node_load", {}, ident="after")
            await client.answer("after")

    asyncio.run(converse())
