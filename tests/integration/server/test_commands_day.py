"""Commands, as an agent runs them: client → relay → engine → shim."""

from __future__ import annotations

import sys

import anyio
import pytest
from test_agents_day import call, done, failed

pytestmark = pytest.mark.anyio

ALLOWED = ("--allow-command", "python *", "--allow-command", "sh -c *")
TRAIN = "import json, os; print('epoch 1'); json.dump({'loss': 0.5}, open(os.environ['MCP_SCHEDULER_RESULT'], 'w'))"


async def test_a_command_is_submitted_awaited_and_read(house, era):
    async with house.client(era, *ALLOWED) as client:
        task = await call(client, "submit_task", command=["python", "-c", TRAIN], tags=["train"])
        (ended,) = (await done(client, task["id"]))["done"]
        assert ended["state"] == "succeeded"
        assert ended["result"] == {"exit_code": 0, "stdout_tail": "epoch 1\n", "result": {"loss": 0.5}}
        assert (await call(client, "read_output", id=task["id"], what="stdout"))["text"] == "epoch 1\n"
        found = await call(client, "read_output", id=task["id"], what="result", path="result.loss")
        assert found["text"] == "0.5"


async def test_a_failure_tells_the_exit_code_and_where_to_look(house, era):
    async with house.client(era, *ALLOWED) as client:
        task = await call(client, "submit_task", command="sh -c 'echo no such data >&2; exit 3'")
        (ended,) = (await done(client, task["id"]))["done"]
        assert (ended["state"], ended["reason"]) == ("failed", "error")
        assert ended["error"] == "exited with 3: no such data"
        detail = await call(client, "get_task", id=task["id"], detail=True)
        assert detail["attempts"][0]["exit_code"] == 3
        assert detail["given"].endswith("/sh -c 'echo no such data >&2; exit 3'")
        assert detail["cwd"].startswith("/")
        assert (await call(client, "read_output", id=task["id"], what="stderr"))["text"] == "no such data\n"


async def test_the_results_of_commands_flow_through_a_graph(house, era):
    async with house.client(era, *ALLOWED) as client:
        graph = await call(
            client,
            "submit_graph",
            tasks={
                "train": {"command": ["python", "-c", TRAIN]},
                "tell": {"command": ["sh", "-c", "echo loss $0", {"$result": "train", "path": "result.loss"}]},
                "sum": {"function": "tools.add", "arguments": {"a": {"$result": "tell", "path": "exit_code"}, "b": 5}},
            },
        )
        await done(client, graph["id"])
        told = await call(client, "get_task", id=graph["keys"]["tell"])
        assert told["result"]["stdout_tail"] == "loss 0.5\n"
        assert (await call(client, "get_task", id=graph["keys"]["sum"]))["result"] == 5


async def test_a_running_command_is_cancelled(house, era):
    async with house.client(era, *ALLOWED) as client:
        program = "print('progress: 0.5 half', flush=True)\nimport time; time.sleep(600)"
        task = await call(client, "submit_task", command=["python", "-c", program])
        with anyio.fail_after(60):
            while not (told := await call(client, "get_task", id=task["id"])).get("progress_text"):
                assert told["state"] in ("queued", "running"), told
                await call(client, "wait_for_tasks", ids=[task["id"]], timeout=0.1)
        assert (await call(client, "get_task", id=task["id"]))["progress"] == 0.5
        await call(client, "cancel_task", ids=[task["id"]])
        (ended,) = (await done(client, task["id"]))["done"]
        assert ended["state"] == "cancelled"


async def test_what_the_grant_does_not_cover_is_refused_with_the_flag_to_add(house, era):
    async with house.client(era, *ALLOWED) as client:
        told = await failed(client, "submit_task", command=["touch", "x"])
        assert '"--allow-command", "touch *"' in told
        assert "NUL" in await failed(client, "submit_task", command=["python", "a\0b"])
        assert "no shell" in await failed(client, "submit_task", command="python x | sh")
        assert sys.executable not in told
