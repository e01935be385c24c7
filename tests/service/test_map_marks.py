"""`{"$item": …}` in the templates of maps."""

from typing import Any

import pytest

from mcp_scheduler import errors
from mcp_scheduler.requests import MapTask
from mcp_scheduler.service.mapping import items_of, layout_of


def specs(task: dict[str, Any], over: dict[str, Any], **fields: Any) -> list[Any]:
    request = MapTask.model_validate({"task": task, "over": over, **fields})
    return list(layout_of(request, items_of(request.over), 0).specs.values())


def test_an_item_in_a_command_is_a_word_as_it_is_or_as_json() -> None:
    task = {"command": ["train", {"$item": "lr"}, "-v", {"$item": True}]}
    words = [spec.command for spec in specs(task, {"product": {"lr": [0.1, "auto"]}})]
    assert words == [["train", "0.1", "-v", '{"lr": 0.1}'], ["train", "auto", "-v", '{"lr": "auto"}']]


def test_an_item_is_what_a_command_reads() -> None:
    assert [spec.stdin for spec in specs({"command": ["sort"], "stdin": {"$item": True}}, {"items": [[1], "a"]})] == [
        "[1]",
        "a",
    ]


def test_a_number_is_a_word_in_a_further_stage_too_beside_the_result_of_the_one_before() -> None:
    stage = {"command": ["eval", {"$item": "lr"}, {"$result": "previous"}]}
    found = specs({"function": "m.f"}, {"product": {"lr": [1]}}, stages=[stage])
    assert found[1].command == ["eval", "1", {"$result": "0"}]


def test_an_item_that_does_not_fit_its_place_is_told() -> None:
    with pytest.raises(errors.InvalidRequest, match=r"With the item 7 in it, `arguments` is not right: .*dictionary"):
        specs({"function": "m.f", "arguments": {"$item": True}}, {"items": [7]})
