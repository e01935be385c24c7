import pytest

from mcp_scheduler.core.events import Group
from mcp_scheduler.core.states import State
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.requests import MapTask
from mcp_scheduler.service.folding import REDUCE
from mcp_scheduler.service.groups import Tally
from mcp_scheduler.service.mapping import chunk_size, layout_of


def request(**fields):
    return MapTask.model_validate({"task": {"function": "m.f"}, "over": {"items": [1]}, **fields})


def test_each_chunk_has_its_items_with_the_fixed_arguments_and_its_name_says_which():
    asked = request(task={"function": "m.f", "arguments": {"x": {"$item": True}, "mode": "fast"}, "priority": 3})
    specs = layout_of(asked, [1, 2, 3, 4, 5], 2).specs
    assert [(spec.name, spec.each, spec.first, spec.priority) for spec in specs.values()] == [
        ("items 0-1", [{"x": 1, "mode": "fast"}, {"x": 2, "mode": "fast"}], 0, 3),
        ("items 2-3", [{"x": 3, "mode": "fast"}, {"x": 4, "mode": "fast"}], 2, 3),
        ("items 4-4", [{"x": 5, "mode": "fast"}], 4, 3),
    ]


def test_items_that_are_objects_are_merged_and_the_reduce_waits_for_all():
    asked = request(task={"function": "m.f", "arguments": {"a": 1}}, reduce={"function": "m.sum"})
    specs = layout_of(asked, [{"b": 2}], 10).specs
    assert specs["0"].each == [{"a": 1, "b": 2}]
    assert specs[REDUCE].after == ("items",)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"command": "true"}, "`chunk` is for functions"),
        ({"function": "m.f", "needs": {"cpus": {"$item": "c"}}}, None),
        (
            {"function": "m.f", "env": {"A": "b"}, "tags": ["t"], "stdin": {"$item": True}},
            "may stand in `arguments` only",
        ),
        ({"function": "m.f"}, "does not say where it goes"),
    ],
)
def test_what_cannot_be_done_in_chunks_is_refused(task, said):
    if said is None:
        with pytest.raises(ValueError, match="cpus"):
            request(task=task)
        return
    with pytest.raises(InvalidRequest, match=said):
        layout_of(request(task=task), [1, 2], 2)


@pytest.mark.parametrize(
    ("chunk", "count", "seconds", "size"),
    [
        (None, 100, 0.001, 0),
        (7, 100, 0.001, 7),
        ("auto", 100_000, None, 1000),
        ("auto", 100_000, 0.001, 384),
        ("auto", 100_000, 0.0011, 384),
        ("auto", 100_000, 0.000976, 512),
        ("auto", 100_000, 30.0, 1),
        ("auto", 80, 0.000001, 10),
        ("auto", 1, None, 1),
        ("5s", 100_000, 0.01, 384),
        ("5s", 100_000, None, 1000),
    ],
)
def test_the_size_by_itself_takes_half_a_second_and_leaves_no_cpu_idle(chunk, count, seconds, size):
    assert chunk_size(request(chunk=chunk), count, seconds, 2.0) == size


def test_a_group_of_chunks_counts_and_returns_items():
    tally = Tally(Group("g", "", "map", "ann", 3, 0.0, items=5, chunk=3))
    for name, state in (("a", State.SUCCEEDED), ("b", State.RUNNING), ("reduce", State.PENDING)):
        tally.note(name, state)
    assert (tally.group.chunks, tally.total, tally.left) == (2, 6, 3)
    assert tally.flat({"a": [1, 2, 3], "reduce": "sum"}) == [1, 2, 3, None, None, "sum"]


@pytest.mark.parametrize(("chunk", "seconds"), [(3, 0.0), ("auto", 0.5), ("2s", 2.0), ("1m", 60.0)])
def test_a_chunk_of_a_time_makes_way_after_it_and_a_counted_one_never(chunk, seconds):
    specs = layout_of(request(chunk=chunk), [{}, {}], 2).specs
    assert specs["0"].seconds == seconds
