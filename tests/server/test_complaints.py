from __future__ import annotations

import pytest

from mcp_scheduler import requests
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.server.complaints import read


def said(model, value) -> str:
    with pytest.raises(InvalidRequest) as error:
        read(model, value, "submit_task")
    assert error.value.code == "invalid_request"
    for noise in ("pydantic", "http", "Input should", "type=", "Spec", "Annotated"):
        assert noise not in error.value.message
    return error.value.message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"function": "f", "prioirty": 3}, "submit_task has no field `prioirty`: did you mean `priority`?"),
        ({"function": "f", "Timeout": 3}, "submit_task has no field `Timeout`: did you mean `timeout`?"),
        ({"function": 5}, "`function` must be a text, not 5."),
        ({"function": "f", "priority": "high"}, '`priority` must be a whole number, not "high".'),
        ({"function": "f", "priority": 101}, "`priority` must be at most 100, not 101."),
        ({"function": "f", "needs": {"gpus": "two"}}, '`needs.gpus` must be a whole number, not "two".'),
        ({"function": "f", "needs": '{"gpus": 1}'}, '`needs` must be an object, not "{\\"gpus\\": 1}".'),
        (
            {"function": "f", "retry": {"max_atempts": 3}},
            "`retry` has no field `max_atempts`: did you mean `max_attempts`?",
        ),
        ({"function": "f", "retry": "often"}, '`retry` must be a whole number or an object, not "often".'),
        ({"function": "f", "retry": 0}, "`retry` must be at least 1 or an object, not 0."),
        ({"function": "f", "tags": ["a", 5]}, "`tags[1]` must be a text, not 5."),
        ({"command": ["a", 5]}, "`command[1]` must be a text or an object, not 5."),
        ({"command": []}, "`command` must be a text or a list of at least 1 item(s), not []."),
        ({"function": "f", "env": {"A": 1}}, "`env.A` must be a text, not 1."),
        ({}, "Give exactly one of function, command, chat, tool, lease; there is none of them."),
        (
            {"function": "f", "command": "x"},
            "Give exactly one of function, command, chat, tool, lease; there is function and command.",
        ),
        (
            {"function": "f", "timeout": "soon"},
            "`timeout`: 'soon' is no duration: give seconds or a text such as 90s, 5m, 1h30m, 2d.",
        ),
        ({"function": "f", "timeout": 0}, "`timeout` must be greater than 0, not 0."),
        ({"function": "f", "hold": "perhaps"}, '`hold` must be true or false, not "perhaps".'),
        (
            {"function": "f", "catch_up": "al"},
            "`catch_up` must be one of skip, one, all, not \"al\". Did you mean 'all'?",
        ),
    ],
)
def test_a_wrong_task_is_told_field_by_field(value: dict, text: str):
    assert said(requests.SubmitTask, value) == text


def test_a_task_inside_a_graph_is_named_by_its_key():
    text = said(requests.SubmitGraph, {"tasks": {"one": {"function": "f", "afer": []}}})
    assert text == "`tasks.one` has no field `afer`: did you mean `after`?"


def test_an_empty_graph_lacks_entries_and_is_no_list():
    assert said(requests.SubmitGraph, {"tasks": {}}) == "`tasks` must be an object of at least 1 entry, not {}."


def test_the_template_of_a_map_is_named():
    text = said(requests.MapTask, {"task": {"function": "f"}, "over": {"item": [1]}})
    assert text.startswith("`over` has no field `item`: did you mean `items`?")


def test_a_plain_list_to_map_over_is_told_where_it_goes():
    text = said(requests.MapTask, {"task": {"function": "f"}, "over": ["a"]})
    assert text == '`over`: a list goes under `items`: {"items": [...]}.'


@pytest.mark.parametrize(
    ("model", "foreign", "ours"),
    [
        (requests.SubmitTask, "args", "arguments"),
        (requests.SubmitTask, "depends_on", "after"),
        (requests.SubmitTask, "gpus", "needs"),
        (requests.SubmitTask, "files", "inputs"),
        (requests.SubmitTask, "schedule", "cron"),
        (requests.SubmitTask, "timezone", "cron"),
        (requests.Wait, "task_id", "ids"),
        (requests.GetTask, "task_id", "id"),
    ],
)
def test_a_word_of_other_schedulers_is_told_ours(model: type[requests.Request], foreign: str, ours: str):
    assert f"has no field `{foreign}`: did you mean `{ours}`?" in said(model, {foreign: 1})


def test_what_is_missing_is_said():
    assert said(requests.Wait, {}) == "`ids` is missing."


def test_a_name_that_is_like_none_gets_the_list():
    assert said(requests.GetTask, {"id": "x", "zzz": 1}) == "submit_task has no field `zzz`: it takes id, detail."


def test_many_mistakes_are_counted():
    text = said(requests.SubmitTask, {"function": "f"} | {f"x{number}": 1 for number in range(9)})
    assert text.endswith("And 5 more.")


def test_a_long_value_is_cut():
    assert len(said(requests.GetTask, {"id": ["x" * 10_000]})) < 200


def test_arguments_that_are_no_object_are_told():
    assert said(requests.GetTask, [1]) == "The request must be an object, not [1]."
