"""What an agent does in a day, over the real thing: client → relay → engine → worker."""

from __future__ import annotations

import json
import os
import subprocess

import anyio
import httpx2
import jsonschema
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from mcp_scheduler.server.tools import TOOLS

pytestmark = pytest.mark.anyio


async def call(client, name: str, **arguments):
    answer = await client.call_tool(name, arguments)
    assert not answer.is_error, answer.content[0].text
    jsonschema.validate(answer.structured_content, TOOLS[name].gives)
    return answer.structured_content


async def failed(client, name: str, **arguments) -> str:
    answer = await client.call_tool(name, arguments)
    assert answer.is_error
    return answer.content[0].text


async def done(client, ident: str):
    """Wait as an agent does: again while time is up."""
    with anyio.fail_after(60):
        while True:
            told = await call(client, "wait_for_tasks", ids=[ident])
            if told["complete"]:
                return told


async def test_a_function_is_found_submitted_awaited_and_read(house, era):
    async with house.client(era) as client:
        names = [one["name"] for one in (await call(client, "list_functions"))["functions"]]
        assert names == ["tools.add", "tools.boom", "tools.until"]
        assert (await call(client, "get_node_load"))["nodes"]
        task = await call(client, "submit_task", function="tools.add", arguments={"a": 1})
        (ended,) = (await done(client, task["id"]))["done"]
        assert (ended["state"], ended["result"]) == ("succeeded", 3)
        assert (await call(client, "read_output", id=task["id"], what="stdout"))["text"] == "adding 1 2\n"
        detail = await call(client, "get_task", id=task["id"], detail=True)
        assert len(detail["attempts"]) == 1
        listed = await call(client, "list_tasks", states=["succeeded"], limit=1)
        assert [one["id"] for one in listed["tasks"]] == [task["id"]]
        resource = await client.read_resource(f"task://{task['id']}")
        assert json.loads(resource.contents[0].text)["result"] == 3


async def test_results_flow_through_a_graph_and_failures_are_told(house, era):
    async with house.client(era) as client:
        graph = await call(
            client,
            "submit_graph",
            tasks={
                "one": {"function": "tools.add", "arguments": {"a": 1}},
                "two": {"function": "tools.add", "arguments": {"a": {"$result": "one"}, "b": 10}},
                "bad": {"function": "tools.boom"},
                "never": {"function": "tools.add", "arguments": {"a": 1}, "after": ["bad"]},
            },
        )
        told = (await done(client, graph["id"]))["groups"][0]
        assert told["counts"] == {"succeeded": 2, "failed": 1, "skipped": 1}
        assert "boom" in told["failures"][0]["error"]
        assert (await call(client, "get_task", id=graph["keys"]["two"]))["result"] == 13
        assert (await call(client, "get_task", id=graph["keys"]["never"]))["state"] == "skipped"


async def test_a_map_runs_its_items(house, era):
    async with house.client(era) as client:
        group = await call(
            client, "map_task", task={"function": "tools.add"}, over={"items": [{"a": number} for number in range(8)]}
        )
        assert (await done(client, group["id"]))["groups"][0]["counts"] == {"succeeded": 8}


async def test_mistakes_are_told_with_what_would_be_right(house, era):
    async with house.client(era) as client:
        assert "tools.add" in await failed(client, "submit_task", function="tools.ad")
        assert "did you mean `function`" in await failed(client, "submit_task", functoin="tools.add")
        assert "'a'" in await failed(client, "submit_task", function="tools.add", arguments={"b": 1})
        assert "--allow-command" in await failed(client, "submit_task", command=["true"])
        assert "list_tasks" in await failed(client, "get_task", id="nobody")


async def test_a_running_task_tells_its_progress_and_is_cancelled(house, era):
    told: list[str] = []

    async def progress(_done: float, _total: float | None, message: str | None) -> None:
        told.append(message or "")

    async with house.client(era, name="claude-code") as client:
        task = await call(client, "submit_task", function="tools.until", arguments={"file": "/nowhere"})
        waiting = await client.call_tool(
            "wait_for_tasks", {"ids": [task["id"]], "timeout": 2.5}, progress_callback=progress
        )
        assert waiting.structured_content["complete"] is False
        assert waiting.structured_content["again_in_s"] > 0
        assert told
        assert (await call(client, "get_task", id=task["id"]))["progress_text"] == "half way"
        assert (await call(client, "cancel_task", ids=[task["id"]]))["count"] == 1
        await done(client, task["id"])
        assert (await call(client, "get_task", id=task["id"]))["state"] == "cancelled"


async def test_a_wait_survives_the_death_of_the_engine(house, era):
    file = house.folder / f"go-{era}"
    async with house.client(era, name="claude-code") as client:
        task = await call(client, "submit_task", function="tools.until", arguments={"file": str(file)})
        first = house.engine()
        answers = []

        async def wait() -> None:
            answers.append(await call(client, "wait_for_tasks", ids=[task["id"]], timeout=45))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                while (await call(client, "get_task", id=task["id"])).get("progress_text") != "half way":
                    pass
                house.kill_engine()
                file.touch()
        assert house.engine() != first
        (ended,) = answers[0]["done"]
        assert (ended["state"], ended["result"]) == ("succeeded", "seen")


async def test_engine_and_client_may_share_a_process(empty_house, era):
    async with empty_house.client(era, "--embedded") as client:
        task = await call(client, "submit_task", function="tools.add", arguments={"a": 1})
        assert (await done(client, task["id"]))["done"][0]["result"] == 3


async def test_the_same_is_served_over_http_behind_a_token(empty_house, era):
    serving = subprocess.Popen(  # noqa: ASYNC220 - its end is what this test waits for
        empty_house.command("serve", "--port", "0", "--functions", str(empty_house.folder / "tools.py")),
        env=empty_house.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = next(line for line in serving.stderr if "Serving MCP at" in line).split()[3].rstrip(";")
        token = (empty_house.home / "http.token").read_text().strip()
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as web,
            Client(streamable_http_client(url, http_client=web), mode=era) as client,
        ):
            task = await call(client, "submit_task", function="tools.add", arguments={"a": 1})
            assert (await done(client, task["id"]))["done"][0]["result"] == 3
        async with httpx2.AsyncClient() as stranger:
            assert (await stranger.post(url, json={})).status_code == 401
    finally:
        serving.terminate()
        serving.communicate(timeout=30)
    assert serving.returncode == 0
    assert os.stat(empty_house.home / "http.token").st_mode & 0o777 == 0o600
