from __future__ import annotations

import asyncio
import json

import pytest
from service_double import ServiceDouble
from wires import META, connection

from mcp_scheduler.errors import ShuttingDown
from mcp_scheduler.server.hello import Grant
from mcp_scheduler.server.session import serve_mcp
from mcp_scheduler.server.tools import Toolbox
from mcp_scheduler.server.wire import LONGEST_LINE

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["modern", "legacy"])
def era(request) -> str:
    return request.param


@pytest.fixture
def serve(service: ServiceDouble):
    toolbox = Toolbox(service, clock=service.clock)
    return lambda door: serve_mcp(door, toolbox)


async def test_a_call_is_answered_over_a_socket(serve, era):
    async with connection(serve, era) as client:
        client.call("get_node_load", {}, ident=7)
        answer = await client.answer(7)
    assert answer["result"]["structuredContent"]["policy"] == "balanced"
    assert answer["result"]["isError"] is False


async def test_the_door_tells_who_calls(serve, era, service: ServiceDouble):
    grant = Grant(any_command=True, commands=("python *",))
    async with connection(serve, era, principal="me", grant=grant) as client:
        client.call("get_node_load", {})
        await client.answer(1)
    caller = service.callers[-1]
    assert (caller.principal, caller.client, caller.door, caller.environment) == ("me", "raw", "d1", "e1")
    assert (caller.any_command, caller.commands, caller.isolated) == (True, ("python *",), False)
    assert service.environments[0].key == "e1"


async def test_a_request_sent_again_through_the_same_door_is_recognised(serve, era, service: ServiceDouble):
    answers = []
    for resumed in (False, True):
        async with connection(serve, era, resumed=resumed) as client:
            client.call("submit_task", {"function": "tools.add"}, ident=5)
            answers.append(await client.answer(5))
    assert answers[0] == answers[1]
    assert len(service.tasks) == 1


async def test_an_id_used_for_something_else_is_another_request(serve, era, service: ServiceDouble):
    async with connection(serve, era, resumed=True) as client:
        for name in ("tools.one", "tools.two"):
            client.call("submit_task", {"function": name}, ident=5)
            await client.answer(5)
    assert len(service.tasks) == 2


async def test_ids_of_different_types_are_different_requests(serve, era, service: ServiceDouble):
    async with connection(serve, era) as client:
        for ident in (5, "5"):
            client.call("submit_task", {"function": "tools.one"}, ident=ident)
            await client.answer(ident)
    assert len({caller.request for caller in service.callers}) == 2


async def test_a_connection_keeps_the_era_that_it_was_opened_in(serve):
    async with connection(serve, "legacy") as client:
        client.request("tools/list", {"_meta": META}, ident=3)
        refused = await client.answer(3)
        client.call("get_node_load", {}, ident=4)
        assert (await client.answer(4))["result"]["isError"] is False
    assert refused["error"]["code"] == -32600
    async with connection(serve, "modern") as client:
        client.call("get_node_load", {}, ident=1)
        await client.answer(1)
        info = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        client.request("initialize", info, ident=2)
        assert "error" in await client.answer(2)


async def test_half_of_a_surrogate_pair_is_answered(serve, era):
    async with connection(serve, era) as client:
        client.raw(rb'{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"arguments":{"id":"\ud800"}}}')
        answer = await client.answer(3)
        assert answer["result"]["isError"] is True
        client.call("get_node_load", {}, ident=4)
        await client.answer(4)


async def test_deep_nesting_is_answered(serve, era):
    deep = b"[" * 100_000 + b"]" * 100_000
    async with connection(serve, era) as client:
        client.raw(b'{"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"a":' + deep + b'}},"id":"q"}')
        assert (await client.answer("q"))["result"]["isError"] is True


async def test_a_large_unreadable_call_is_answered_wherever_its_id_stands(serve, era):
    large = rb'"\ud800' + b"x" * 2_000_000 + b'"'
    async with connection(serve, era) as client:
        client.raw(b'{"id":"front","jsonrpc":"2.0","method":"tools/call","params":{"name":' + large + b"}}")
        assert (await client.answer("front"))["result"]["isError"] is True
        client.raw(b'{"method":"tools/call","params":{"name":' + large + b'},"id":"back","jsonrpc":"2.0"}')
        assert (await client.answer("back"))["result"]["isError"] is True


async def test_a_request_of_the_wrong_shape_gets_an_error_under_its_id(serve, era):
    async with connection(serve, era) as client:
        client.raw(b'{"jsonrpc":"1.0","id":3,"method":"tools/list"}')
        assert (await client.answer(3))["error"]["code"] == -32600


async def test_garbage_gets_a_parse_error_and_the_connection_lives(serve, era):
    async with connection(serve, era) as client:
        client.raw(b"garbage")
        client.raw(b"[1, 2]")
        client.raw(b"")
        client.call("get_node_load", {}, ident=4)
        await client.answer(4)
    assert [message["error"]["code"] for message in client.seen] == [-32700, -32600]


async def test_a_line_that_is_too_long_is_refused_and_the_connection_lives(serve):
    async with connection(serve) as client:
        client.raw(b"x" * (LONGEST_LINE + 1))
        client.call("get_node_load", {}, ident=4)
        await client.answer(4)
    assert client.seen[0]["error"]["code"] == -32600


async def test_half_of_a_surrogate_pair_in_a_result_is_sent_as_something_readable(serve, era, service: ServiceDouble):
    async with connection(serve, era) as client:
        client.call("submit_task", {"function": "tools.add"}, ident=1)
        ident = (await client.answer(1))["result"]["structuredContent"]["id"]
        service.end(ident, result={"a": "\ud800!"})
        client.call("get_task", {"id": ident}, ident=2)
        answer = await client.answer(2)
    assert answer["result"]["structuredContent"]["result"] == {"a": "?!"}


async def test_nan_is_refused(serve, era):
    async with connection(serve, era) as client:
        client.call("submit_task", {"function": "tools.add", "arguments": {"a": float("nan")}})
        assert "NaN" in await client.text(1)


async def test_answers_under_way_come_out_after_the_client_has_closed_its_side(serve, era):
    async with connection(serve, era) as client:
        for ident in range(10, 20):
            client.call("get_node_load", {}, ident=ident)
        client.half_close()
        answers = {(await client.line())["id"] for _ in range(10)}
        assert answers == set(range(10, 20))
        assert await client.line() is None


async def test_a_wait_does_not_hold_a_client_that_has_closed_its_side(serve, service: ServiceDouble):
    async with connection(serve) as client:
        client.call("submit_task", {"function": "tools.add"}, ident=1)
        ident = (await client.answer(1))["result"]["structuredContent"]["id"]
        client.call("wait_for_tasks", {"ids": [ident], "timeout": 40}, ident=2)
        client.half_close()
        assert await client.line() is None


async def test_a_call_that_meets_a_stopping_engine_is_left_to_the_next(serve, era, service: ServiceDouble):
    service.raises = ShuttingDown()
    async with connection(serve, era) as client:
        client.call("submit_task", {"function": "tools.add"}, ident=1)
        async with asyncio.timeout(5):
            await service.asked.wait()
        client.serving.cancel()
        assert await client.line() is None
    assert client.seen == []


async def test_a_session_that_is_cancelled_leaves_open_calls_unanswered(serve, era, service: ServiceDouble):
    async with connection(serve, era) as client:
        client.call("submit_task", {"function": "tools.add"}, ident=1)
        ident = (await client.answer(1))["result"]["structuredContent"]["id"]
        client.call("wait_for_tasks", {"ids": [ident], "timeout": 40}, ident=2)
        async with asyncio.timeout(5):
            await service.waiting.wait()
        client.serving.cancel()
        assert await client.line() is None


async def test_a_cancelled_request_frees_its_place_and_gets_no_answer(serve, era, service: ServiceDouble):
    async with connection(serve, era) as client:
        client.call("submit_task", {"function": "tools.add"}, ident=1)
        ident = (await client.answer(1))["result"]["structuredContent"]["id"]
        client.call("wait_for_tasks", {"ids": [ident], "timeout": 40}, ident=2)
        async with asyncio.timeout(5):
            await service.waiting.wait()
        client.send_line({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}})
        client.call("get_task", {"id": ident}, ident=3)
        assert (await client.answer(3))["result"]["structuredContent"]["state"] == "queued"
        client.half_close()
        assert await client.line() is None
    assert client.seen == []


async def test_progress_comes_with_the_token_that_asked_for_it(serve, era, service: ServiceDouble):
    async with connection(serve, era) as client:
        client.call("submit_task", {"function": "tools.add"}, ident=1)
        ident = (await client.answer(1))["result"]["structuredContent"]["id"]
        client.call("wait_for_tasks", {"ids": [ident], "timeout": 40}, ident=2, _meta={"progressToken": "t"})
        note = await client.line()
        assert note["method"] == "notifications/progress"
        assert note["params"]["progressToken"] == "t"
        assert note["params"]["message"] == "0 of 1 done"
        service.end(ident)
        assert (await client.answer(2))["result"]["structuredContent"]["complete"] is True


async def test_a_thousand_calls_at_once_are_all_answered(serve, era):
    async with connection(serve, era) as client:
        for ident in range(1500):
            client.call("get_node_load", {}, ident=ident)
        answered = set()
        while len(answered) < 1500:
            answered.add((await client.line())["id"])


async def test_discovery_and_lists_are_answered(serve, era):
    async with connection(serve, era) as client:
        for number, method in enumerate(("tools/list", "resources/list", "resources/templates/list", "prompts/list")):
            client.request(method, {}, ident=number)
            assert "result" in await client.answer(number)
        client.request("prompts/get", {"name": "diagnose_task", "arguments": {"id": "x-1"}}, ident=10)
        assert "x-1" in json.dumps(await client.answer(10))
        client.request("prompts/get", {"name": "diagnose_task"}, ident=11)
        assert (await client.answer(11))["error"]["code"] == -32602


async def test_tasks_and_outputs_are_resources(serve, era, service: ServiceDouble):
    async with connection(serve, era) as client:
        client.call("submit_task", {"function": "tools.add"}, ident=1)
        ident = (await client.answer(1))["result"]["structuredContent"]["id"]
        service.outputs[ident, "stdout"] = "\x1b[1mhello\x1b[0m"
        client.request("resources/read", {"uri": f"task://{ident}"}, ident=2)
        told = (await client.answer(2))["result"]["contents"][0]
        assert json.loads(told["text"])["call"] == "tools.add"
        client.request("resources/read", {"uri": f"output://{ident}/stdout"}, ident=3)
        assert (await client.answer(3))["result"]["contents"][0]["text"] == "hello"
        for number, uri in enumerate(("task://nobody-1", "nonsense://x", "output://x/stdnone"), start=4):
            client.request("resources/read", {"uri": uri}, ident=number)
            assert (await client.answer(number))["error"]["code"] == -32602
