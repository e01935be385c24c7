from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import mcp_types
import pytest
from pydantic import BaseModel

from mcp_scheduler.requests import TaskSpec
from mcp_scheduler.server.tools import TOOLS

SNAPSHOT = Path(__file__).with_name("tools_list.json")
BUDGET = 3_500  # tokens, four characters each


def wire(result: mcp_types.ListToolsResult) -> dict[str, Any]:
    return {"tools": [tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in result.tools]}


@pytest.mark.anyio
async def test_the_tools_are_as_they_were(connect):
    """Clients cache the list and models know it: it changes on purpose only. To renew the snapshot, delete
    tests/server/tools_list.json, run this test, read the difference, and commit the new file."""
    async with connect() as client:
        now = json.dumps(wire(await client.list_tools()), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(now)
        pytest.fail("There was no snapshot: it has been written.")
    before = SNAPSHOT.read_text()
    assert now == before, "\n".join(difflib.unified_diff(before.splitlines(), now.splitlines(), lineterm="", n=1))


@pytest.mark.anyio
async def test_the_list_of_tools_is_short(connect):
    async with connect() as client:
        told = json.dumps(wire(await client.list_tools()), separators=(",", ":"), ensure_ascii=False)
    assert len(told) / 4 <= BUDGET


def test_the_twelve_tools_are_there():
    assert list(TOOLS) == [
        "submit_task",
        "submit_graph",
        "map_task",
        "wait_for_tasks",
        "get_task",
        "list_tasks",
        "read_output",
        "cancel_task",
        "update_task",
        "get_node_load",
        "plan_tasks",
        "list_functions",
    ]


@pytest.mark.parametrize("name", TOOLS)
def test_a_schema_names_exactly_what_the_request_takes(name: str):
    tool = TOOLS[name]
    assert list(tool.takes["properties"]) == list(tool.request.model_fields)
    required = {field for field, known in tool.request.model_fields.items() if known.is_required()}
    assert set(tool.takes.get("required", ())) == required
    assert tool.takes["additionalProperties"] is False


@pytest.mark.parametrize("name", TOOLS)
def test_choices_are_those_of_the_request(name: str):
    tool = TOOLS[name]
    for field, schema in tool.takes["properties"].items():
        choices = schema.get("enum") or schema.get("items", {}).get("enum")
        if choices is not None:
            assert set(choices) == _literals(tool.request.model_fields[field].annotation), field


def _literals(annotation: Any) -> set[str]:
    inner = get_args(annotation)
    texts = {value for value in inner if isinstance(value, str)}
    return texts.union(*(_literals(part) for part in inner if not isinstance(part, str))) if inner else texts


def test_needs_are_named_as_in_the_request():
    needs = TOOLS["submit_task"].takes["properties"]["needs"]["properties"]
    (model,) = (
        part
        for part in get_args(TaskSpec.model_fields["needs"].annotation)
        if isinstance(part, type) and issubclass(part, BaseModel)
    )
    assert list(needs) == list(model.model_fields)


@pytest.mark.parametrize("name", TOOLS)
def test_schemas_are_valid_and_portable(name: str):
    for schema in (TOOLS[name].takes, TOOLS[name].gives):
        jsonschema.Draft202012Validator.check_schema(schema)
        text = json.dumps(schema)
        for foreign in ("$ref", "$defs", "oneOf", "allOf", '"type": ['):
            assert foreign not in text


@pytest.mark.parametrize("name", TOOLS)
def test_descriptions_fit_a_glance(name: str):
    assert 20 <= len(TOOLS[name].description) <= 420
    assert TOOLS[name].description.endswith(".")


def test_what_changes_nothing_says_so_and_nothing_else_does():
    readers = {name for name, tool in TOOLS.items() if tool.nature.reads_only}
    assert readers == {
        "wait_for_tasks",
        "get_task",
        "list_tasks",
        "read_output",
        "get_node_load",
        "plan_tasks",
        "list_functions",
    }
    assert all(TOOLS[name].nature.destroys for name in set(TOOLS) - readers)
