import pytest

from mcp_scheduler.core.events import Group
from mcp_scheduler.core.states import State
from mcp_scheduler.errors import InvalidRequest, TooLarge
from mcp_scheduler.requests import MapTask
from mcp_scheduler.service.folding import REDUCE
from mcp_scheduler.service.groups import Tally
from mcp_scheduler.service.mapping import LIMIT, layout_of

GO_ON = {"function": "m.g", "arguments": {"x": {"$result": "previous", "path": "value"}}}


def request(**fields):
    return MapTask.model_validate({"task": {"function": "m.f"}, "over": {"items": [1]}, "stages": [GO_ON], **fields})


def test_each_item_goes_through_the_stages_by_itself():
    last = {"command": ["say", {"$result": "previous"}, {"$item": "a"}], "needs": {"gpus": 1}, "after": ["previous"]}
    layout = layout_of(request(stages=[GO_ON, last], reduce={"function": "m.sum"}), [{"a": "x"}, {"a": "y"}], 0)
    assert list(layout.specs) == ["0", "0.2", "0.3", "1", "1.2", "1.3", REDUCE]
    assert layout.specs["1.2"].arguments == {"x": {"$result": "1", "path": "value"}}
    assert layout.specs["1.3"].command == ["say", {"$result": "1.2"}, "y"]
    assert layout.specs["1.3"].after == ("1.2",)
    assert layout.specs["1.3"].needs.gpus == 1
    assert (layout.lists, layout.stages, layout.items, layout.chunk) == ({"items": ("0.3", "1.3")}, 3, 2, 0)


def test_a_word_of_a_command_that_is_called_previous_stays_what_it_is():
    layout = layout_of(request(stages=[{"command": ["git", "previous"], "after": ["previous"]}]), [{}], 0)
    assert layout.specs["0.2"].command == ["git", "previous"]


def test_a_chunk_goes_on_as_one_and_each_item_takes_its_part():
    stage = {"function": "m.g", "arguments": {"x": {"$result": "previous"}, "n": {"$item": "n"}}}
    layout = layout_of(request(stages=[stage, GO_ON], chunk=2), [{"n": 1}, {"n": 2}, {"n": 3}], 2)
    assert list(layout.specs) == ["0", "0.2", "0.3", "1", "1.2", "1.3"]
    second, third = layout.specs["0.2"], layout.specs["0.3"]
    assert [one["x"] for one in second.each] == [
        {"$result": "0", "path": "[0]"},
        {"$result": "0", "path": "[1]"},
    ]
    assert [one["n"] for one in second.each] == [1, 2]
    assert third.each[1] == {"x": {"$result": "0.2", "path": "[1] | value"}}
    assert (second.source, third.source, third.name, layout.specs["1.2"].first) == ("0", "0.2", "items 0-1", 2)


@pytest.mark.parametrize(
    ("stage", "chunk", "said"),
    [
        ({"function": "m.g"}, None, "Stage 2 does not say where the result of the stage before it goes"),
        ({"command": ["a", {"$result": "previous"}]}, 2, "`chunk` is for functions: stage 2 is a process of its own"),
        ({**GO_ON, "after": ["other"]}, 2, "With `chunk`, stage 2 cannot wait for other"),
        ({"function": "m.g", "arguments": {"x": {"$result": "previous", "path": 3}}}, 2, "is no reference"),
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(stage, chunk, said):
    with pytest.raises(InvalidRequest, match=said):
        layout_of(request(stages=[stage], chunk=chunk), [{}, {}], chunk or 0)


def test_items_times_stages_are_limited():
    with pytest.raises(TooLarge, match="in 2 stages would be 100,002 tasks"):
        layout_of(request(), [{}] * (LIMIT // 2 + 1), 0)


def test_a_group_of_stages_counts_items_and_returns_what_the_last_stage_made():
    tally = Tally(Group("g", "", "map", "ann", 5, 0.0, items=2, stages=2))
    states = (State.SUCCEEDED, State.SUCCEEDED, State.FAILED, State.SKIPPED, State.PENDING)
    for name, state in zip(("a1", "a2", "b1", "b2", "reduce"), states, strict=True):
        tally.note(name, state)
    assert (tally.total, tally.left, tally.done()) == (3, 1, (1, 1))
    assert tally.with_results(frozenset({State.SUCCEEDED})) == ["a2"]
    assert tally.flat({"a2": "A"}) == ["A", None, None]


def test_a_group_of_chunks_in_stages_counts_items():
    tally = Tally(Group("g", "", "map", "ann", 4, 0.0, items=5, chunk=3, stages=2))
    for name, state in (("a1", State.SUCCEEDED), ("a2", State.RUNNING), ("b1", State.SUCCEEDED), ("b2", State.FAILED)):
        tally.note(name, state)
    assert (tally.group.chunks, tally.total, tally.left, tally.done()) == (2, 5, 3, (5, 0))
    assert tally.flat({"b2": [4, {"$error": "no"}]}) == [None, None, None, 4, {"$error": "no"}]
