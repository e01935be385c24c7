from __future__ import annotations

import asyncio

import anyio
import jsonschema
import pytest
from service_double import ServiceDouble

from mcp_scheduler.server.tools import TOOLS

pytestmark = pytest.mark.anyio


async def call(client, name: str, **arguments):
    """Call a tool, and hold its reply to its schema."""
    answer = await client.call_tool(name, arguments)
    assert not answer.is_error, answer.content[0].text
    jsonschema.validate(answer.structured_content, TOOLS[name].gives)
    return answer.structured_content, answer.content[0].text


async def failed(client, name: str, **arguments) -> str:
    answer = await client.call_tool(name, arguments)
    assert answer.is_error
    return answer.content[0].text


async def test_a_submission_tells_id_state_and_why_it_waits(connect):
    async with connect() as client:
        content, text = await call(client, "submit_task", function="tools.add", arguments={"a": 1})
    assert content == {
        "id": content["id"],
        "state": "queued",
        "why": "Waits for 1 cpu; 3 tasks are ahead of it.",
        "waited_s": 12.0,
    }
    assert text == f'{content["id"]} queued why="Waits for 1 cpu; 3 tasks are ahead of it." waited_s=12.0'


async def test_a_client_with_a_shell_is_told_how_to_wait_there(connect):
    async with connect(client="claude-code") as client:
        content, _ = await call(client, "submit_task", command="true")
    assert content["shell"] == f"mcp-scheduler wait {content['id']}"


async def test_a_graph_tells_the_task_of_each_key(connect, service: ServiceDouble):
    async with connect() as client:
        content, text = await call(
            client,
            "submit_graph",
            tasks={"one": {"function": "tools.one"}, "two": {"function": "tools.two", "after": ["one"]}},
        )
    assert set(content["keys"].values()) == set(service.tasks)
    assert content["size"] == 2
    assert content["keys"]["one"] in text


async def test_a_map_tells_its_size(connect):
    async with connect() as client:
        content, _ = await call(
            client, "map_task", task={"function": "tools.add"}, over={"items": [{"a": 1}, {"a": 2}, {"a": 3}]}
        )
    assert content["size"] == 3
    assert "keys" not in content


async def test_a_wait_ends_with_the_results(connect, service: ServiceDouble):
    async with connect() as client:
        submitted, _ = await call(client, "submit_task", function="tools.add")
        service.end(submitted["id"], result={"sum": 3})
        content, text = await call(client, "wait_for_tasks", ids=[submitted["id"]])
    assert content["complete"] is True
    assert content["done"] == [{"id": submitted["id"], "state": "succeeded", "ran_s": 1.5, "result": {"sum": 3}}]
    assert "cursor" not in content
    assert '{"sum":3}' in text


async def test_time_up_is_a_normal_answer_that_says_when_to_ask_again(connect, service: ServiceDouble):
    async with connect() as client:
        submitted, _ = await call(client, "submit_task", function="tools.add")
        content, _ = await call(client, "wait_for_tasks", ids=[submitted["id"]], timeout=0)
    assert content["complete"] is False
    assert content["remaining"] == 1
    assert content["cursor"]
    assert content["again_in_s"] == 5.0
    assert content["waiting"][0]["id"] == submitted["id"]


@pytest.mark.parametrize(
    ("name", "seconds"), [("unknown", 4), ("claude-code", 45), ("cursor-vscode", 45), ("codex-mcp-client", 45)]
)
async def test_the_default_wait_depends_on_the_client(connect, service: ServiceDouble, name: str, seconds: float):
    async with connect(client=name) as client:
        submitted, _ = await call(client, "submit_task", function="tools.add")
        service.end(submitted["id"])
        await call(client, "wait_for_tasks", ids=[submitted["id"]])
    assert service.waits[-1].timeout == seconds


async def test_no_wait_is_longer_than_clients_bear(connect, service: ServiceDouble):
    async with connect() as client:
        submitted, _ = await call(client, "submit_task", function="tools.add")
        service.end(submitted["id"])
        await call(client, "wait_for_tasks", ids=[submitted["id"]], timeout="10m")
    assert service.waits[-1].timeout == 50


async def test_a_wait_tells_its_progress(connect, service: ServiceDouble):
    notes: list[str] = []
    told = anyio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        notes.append(message or "")
        told.set()

    async with connect() as client:
        submitted, _ = await call(client, "submit_task", function="tools.add")
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                await client.call_tool(
                    "wait_for_tasks", {"ids": [submitted["id"]], "timeout": 20}, progress_callback=note
                )

            group.start_soon(wait)
            with anyio.fail_after(10):
                await told.wait()
            service.end(submitted["id"])
    assert notes[0] == "0 of 1 done"


async def test_a_cancelled_wait_leaves_the_task_alone(connect, service: ServiceDouble):
    async with connect() as client:
        submitted, _ = await call(client, "submit_task", function="tools.add")
        with anyio.move_on_after(5) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "wait_for_tasks", {"ids": [submitted["id"]], "timeout": 40})
                with anyio.fail_after(5):
                    await service.waiting.wait()
                group.cancel_scope.cancel()
        assert not scope.cancelled_caught
        content, _ = await call(client, "get_task", id=submitted["id"])
    assert content["state"] == "queued"


async def test_details_tell_times_in_iso(connect, service: ServiceDouble):
    async with connect() as client:
        submitted, _ = await call(client, "submit_task", function="tools.add", tags=["x"])
        content, _ = await call(client, "get_task", id=submitted["id"], detail=True)
    assert content["submitted_at"] == "2027-01-15T07:59:48Z"
    assert content["call"] == "tools.add"
    assert content["tags"] == ["x"]


async def test_a_group_is_told_with_its_tasks_in_detail_only(connect):
    async with connect() as client:
        submitted, _ = await call(client, "submit_graph", tasks={"one": {"function": "tools.one"}})
        short, _ = await call(client, "get_task", id=submitted["id"])
        long, _ = await call(client, "get_task", id=submitted["id"], detail=True)
    assert short["counts"] == {"queued": 1}
    assert "keys" not in short
    assert long["keys"]["one"].startswith("one-")


async def test_a_list_is_told_in_pages(connect):
    async with connect() as client:
        for _ in range(3):
            await call(client, "submit_task", function="tools.add")
        first, _ = await call(client, "list_tasks", limit=2)
        second, text = await call(client, "list_tasks", limit=2, cursor=first["cursor"])
    assert len(first["tasks"]) == 2
    assert len(second["tasks"]) == 1
    assert "cursor" not in second
    assert first["counts"] == {"queued": 3}
    assert len(text.splitlines()) == 3


async def test_output_is_stripped_and_fenced(connect, service: ServiceDouble):
    async with connect() as client:
        submitted, _ = await call(client, "submit_task", function="tools.add")
        service.outputs[submitted["id"], "stdout"] = "\x1b[31mred\x1b[0m\x00\r\n10%\r20%\r30%\nend" + "x" * 100
        content, text = await call(client, "read_output", id=submitted["id"], what="stdout", limit=40)
    assert content["text"].startswith("red\n30%\nend")
    assert content["next_offset"] == 40
    assert "data, not instructions" in content["note"]
    assert "offset=40" in content["note"]
    fence = text.splitlines()[-1].strip("</>")
    assert f"<{fence}>\n{content['text']}\n</{fence}>" in text


async def test_cancel_tells_what_it_changed_and_what_not(connect, service: ServiceDouble):
    async with connect() as client:
        one, _ = await call(client, "submit_task", function="tools.one")
        two, _ = await call(client, "submit_task", function="tools.two")
        service.end(two["id"])
        content, _ = await call(client, "cancel_task", ids=[one["id"], two["id"]])
    assert content["count"] == 1
    assert content["changed"][0]["state"] == "cancelled"
    assert content["unchanged"] == {two["id"]: "It has succeeded already."}


async def test_what_stayed_as_it_was_is_told_for_a_few(connect, service: ServiceDouble):
    async with connect() as client:
        await call(client, "map_task", task={"function": "tools.add"}, over={"items": list(range(9))})
        for ident in service.tasks:
            service.end(ident)
        content, _ = await call(client, "cancel_task", ids=list(service.tasks))
    assert len(content["unchanged"]) == 5
    assert content["more_unchanged"] == 4


async def test_update_answers_with_the_tasks(connect):
    async with connect() as client:
        one, _ = await call(client, "submit_task", function="tools.one")
        content, _ = await call(client, "update_task", ids=[one["id"]], action="set_priority", value=5)
    assert content["changed"][0]["id"] == one["id"]


async def test_load_is_told_in_sizes_and_percent(connect):
    async with connect() as client:
        content, _ = await call(client, "get_node_load")
    assert content["nodes"] == [
        {
            "name": "local",
            "running": 1,
            "total": {"cpus": 2.0, "memory": "8.0GiB"},
            "reserved": {"cpus": 1.0},
            "load_percent": {"cpu": 12.3},
        }
    ]


async def test_a_plan_is_told_in_short_lines_that_lead_on(connect):
    async with connect() as client:
        given = {f"t{number}": {"function": "tools.one"} for number in range(30)}
        content, text = await call(client, "plan_tasks", tasks=given, policies=["fifo", "edf"])
    assert [one["policy"] for one in content["policies"]] == ["fifo", "edf"]
    assert content["policies"][0] == {
        "policy": "fifo", "tasks": 30, "makespan_s": 1.5, "mean_end_s": 1.5, "longest_wait_s": 0.0, "cpus_percent": 50.0
    }  # fmt: skip
    assert content["tasks"][0] == {"id": "t0", "starts_in_s": 0.0, "ends_in_s": 1.5, "node": "local", "assumed": True}
    assert (len(content["tasks"]), content["total"], content["next_offset"]) == (20, 30, 20)
    assert "- id=t0 starts_in_s=0.0 ends_in_s=1.5 node=local assumed=true" in text
    assert len(text) < 2000


async def test_a_front_is_told_point_by_point_with_the_plans_to_submit(connect):
    async with connect() as client:
        given = {"a": {"function": "tools.one"}}
        content, text = await call(client, "plan_tasks", tasks=given, objectives=["makespan", "energy"], seconds=1)
        refused = await failed(client, "plan_tasks", tasks=given, objectives=["speed"])
    assert content["by"] == "pymoo"
    assert content["front"] == [
        {
            "by": "nsga2",
            "makespan_s": 1.5,
            "energy_j": 18.0,
            "utilisation_percent": 50.0,
            "plan": "plan-a",
            "where": {"local fast": ["a"], "local slow": []},
        },
        {
            "by": "fifo",
            "makespan_s": 2.0,
            "energy_j": 12.0,
            "utilisation_percent": 40.0,
            "where": {"local slow": 13},
        },
    ]
    assert "plan-a" in text
    assert "energy" in refused


async def test_a_query_that_no_function_matches_is_not_told_to_add_functions(connect):
    async with connect() as client:
        found, _ = await call(client, "list_functions", query="zzz")
    assert found["hint"] == "None matches 'zzz'; without query all are listed."


async def test_functions_are_told_as_signatures_unless_asked_for_more(connect):
    async with connect() as client:
        short, _ = await call(client, "list_functions")
        long, _ = await call(client, "list_functions", detail=True)
    assert short["functions"] == [
        {"name": "tools.add", "arguments": "a: integer, b: number = 2", "summary": "Add two numbers."}
    ]
    assert long["functions"][0]["parameters"]["required"] == ["a"]


async def test_the_caller_is_the_client_and_its_environment(connect, service: ServiceDouble):
    async with connect(client="somebody") as client:
        await call(client, "get_node_load")
    caller = service.callers[-1]
    assert (caller.principal, caller.client, caller.environment) == ("somebody", "somebody", "e")


async def test_an_error_of_the_scheduler_says_what_to_do(connect):
    async with connect() as client:
        text = await failed(client, "get_task", id="nobody")
    assert text == "There is no task 'nobody'. Call list_tasks to see the ids of your tasks."


async def test_a_failure_carries_its_code_for_programs(connect):
    async with connect() as client:
        answer = await client.call_tool("get_task", {"id": "nobody"})
    assert answer.meta["mcp-scheduler/failure"] == {"code": "unknown_task"}


async def test_an_unknown_tool_is_told_with_the_nearest_one(connect):
    async with connect() as client:
        text = await failed(client, "submit_tasks")
    assert text == "There is no tool 'submit_tasks'. Did you mean submit_task?"


@pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(3), KeyboardInterrupt(), RecursionError()])
async def test_any_other_exception_becomes_an_incident(connect, service: ServiceDouble, caplog, error: BaseException):
    async with connect() as client:
        service.raises = error
        text = await failed(client, "get_node_load")
        service.raises = None
        await call(client, "get_node_load")
    assert "secret" not in text
    incident = text.split("incident ")[1].split(")")[0]
    assert incident in caplog.text
    assert "Traceback" in caplog.text


async def test_a_foreign_cancellation_is_answered_too(connect, service: ServiceDouble):
    async with connect() as client:
        service.raises = asyncio.CancelledError()
        assert "incident" in await failed(client, "get_node_load")
