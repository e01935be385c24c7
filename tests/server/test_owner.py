from __future__ import annotations

import asyncio

import pytest
from service_double import ServiceDouble
from wires import connection

from mcp_scheduler.server.owner import serve_owner

pytestmark = pytest.mark.anyio


@pytest.fixture
def serve(service: ServiceDouble):
    return lambda door: serve_owner(door, service)


async def ask(client, method: str, params: dict | None = None, ident: int | str = 1):
    client.send_line({"jsonrpc": "2.0", "id": ident, "method": method, "params": params or {}})
    return await client.answer(ident)


async def test_every_use_case_is_a_method(serve, service: ServiceDouble):
    async with connection(serve, "owner") as client:
        task = (await ask(client, "submit", {"function": "tools.add"}))["result"]["tasks"][0]["id"]
        service.end(task, result=3)
        many = {"tasks": [{"function": "tools.add"}] * 3}
        assert len((await ask(client, "submit_many", many))["result"]["tasks"]) == 3
        graph = {"tasks": {"a": {"function": "tools.add"}}}
        assert "a" in (await ask(client, "submit_graph", graph))["result"]["group"]["keys"]
        mapped = {"task": {"function": "tools.add"}, "over": {"items": [1, 2]}}
        assert (await ask(client, "submit_map", mapped))["result"]["group"]["size"] == 2
        assert (await ask(client, "wait", {"ids": [task]}))["result"]["complete"] is True
        assert (await ask(client, "get", {"id": task}))["result"]["state"] == "succeeded"
        assert (await ask(client, "list"))["result"]["tasks"]
        assert (await ask(client, "read", {"id": task}))["result"]["text"] == "3"
        assert (await ask(client, "result", {"id": task}))["result"] == 3
        assert "unchanged" in (await ask(client, "cancel", {"ids": [task]}))["result"]
        for method in ("load", "functions", "status"):
            assert (await ask(client, method))["result"]


async def test_an_error_carries_code_hint_and_facts(serve):
    async with connection(serve, "owner") as client:
        error = (await ask(client, "get", {"id": "nobody"}))["error"]
    assert error["code"] == -32000
    assert error["message"] == "There is no task 'nobody'."
    assert error["data"]["code"] == "unknown_task"
    assert error["data"]["hint"].startswith("Call list_tasks")


async def test_a_wrong_field_is_named_with_the_right_one(serve):
    async with connection(serve, "owner") as client:
        error = (await ask(client, "submit", {"function": "tools.add", "prioirty": 3}))["error"]
    assert error["data"]["code"] == "invalid_request"
    assert error["message"] == "submit has no field `prioirty`: did you mean `priority`?"


async def test_an_unknown_method_is_told_with_the_nearest(serve):
    async with connection(serve, "owner") as client:
        error = (await ask(client, "submitt"))["error"]
    assert error["data"]["hint"] == "Did you mean submit?"


async def test_lines_that_are_no_requests_are_answered(serve):
    async with connection(serve, "owner") as client:
        client.raw(b"garbage")
        assert (await client.answer(None))["error"]["data"]["code"] == "invalid_request"
        client.raw(b'{"id": 4, "method": 5}')
        assert (await client.answer(4))["error"]["data"]["code"] == "invalid_request"
        client.raw(b'{"id": 5, "method": "list", "params": [1]}')
        assert (await client.answer(5))["error"]["data"]["code"] == "invalid_request"


async def test_requests_are_served_at_the_same_time(serve, service: ServiceDouble):
    async with connection(serve, "owner") as client:
        task = (await ask(client, "submit", {"function": "tools.add"}))["result"]["tasks"][0]["id"]
        client.send_line({"jsonrpc": "2.0", "id": "w", "method": "wait", "params": {"ids": [task]}})
        note = await client.line()
        assert note == {"jsonrpc": "2.0", "method": "progress", "params": {"id": "w", "text": "0 of 1 done"}}
        assert (await ask(client, "get", {"id": task}))["result"]["state"] == "queued"
        service.end(task)
        assert (await client.answer("w"))["result"]["complete"] is True


async def test_stop_answers_before_the_engine_goes(serve, service: ServiceDouble):
    async with connection(serve, "owner") as client:
        assert (await ask(client, "stop", {"force": True}))["result"] == {"stopping": True}
        async with asyncio.timeout(5):
            await service.over.wait()
    assert service.stopped == [True]


async def test_any_other_exception_becomes_an_incident(serve, service: ServiceDouble, caplog):
    service.raises = SystemExit(1)
    async with connection(serve, "owner") as client:
        error = (await ask(client, "status"))["error"]
        assert error["data"]["code"] == "internal"
        assert error["data"]["facts"]["incident"] in caplog.text
        service.raises = None
        assert "result" in await ask(client, "status")


async def test_a_request_sent_again_through_the_same_door_is_recognised(serve, service: ServiceDouble):
    for resumed in (False, True):
        async with connection(serve, "owner", resumed=resumed) as client:
            await ask(client, "submit", {"function": "tools.add"}, ident=5)
    assert len(service.tasks) == 1


async def test_answers_under_way_come_out_after_the_client_has_closed_its_side(serve):
    async with connection(serve, "owner") as client:
        for ident in range(5):
            client.send_line({"jsonrpc": "2.0", "id": ident, "method": "status", "params": {}})
        client.half_close()
        assert {(await client.line())["id"] for _ in range(5)} == set(range(5))
        assert await client.line() is None
