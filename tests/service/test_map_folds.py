import pytest

from mcp_scheduler.core.events import Group
from mcp_scheduler.core.states import State
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.requests import MapTask
from mcp_scheduler.service.folding import Tree
from mcp_scheduler.service.groups import Tally
from mcp_scheduler.service.mapping import layout_of

JOIN = {"function": "m.join", "arguments": {"parts": {"$result": "items"}, "by": " "}}


def request(fan_in, **fields):
    reduce = {**JOIN, "fan_in": fan_in} if fan_in else JOIN
    return MapTask.model_validate({"task": {"function": "m.f"}, "over": {"items": [1]}, "reduce": reduce, **fields})


def folded(tree, leaves):
    """What an associative function would make of the leaves: their text, joined."""
    values = dict(leaves)
    for key, spec in tree.specs.items():
        name = spec.arguments["parts"]["$result"]
        assert spec.after == (name,)
        values[key] = "".join(values[under] for under in tree.lists[name])
    return values["reduce"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 10, 27, 28, 100])
@pytest.mark.parametrize("fan_in", [2, 3, 10])
def test_the_folds_keep_the_order_and_none_is_given_more_than_the_fan_in(count, fan_in):
    leaves = {f"{number}": f"<{number}>" for number in range(count)}
    tree = Tree(request(fan_in).reduce, tuple(leaves))
    assert folded(tree, leaves) == "".join(leaves.values())
    assert max(map(len, tree.lists.values())) <= fan_in
    under = [key for name in tree.over_leaves for key in tree.lists[name]]
    assert sorted(under) == sorted(leaves), "a leaf is no partial result: it is folded once, at the lowest level"
    assert tree.folds <= count


def test_without_a_fan_in_there_is_one_task_over_all():
    layout = layout_of(request(None), [{}] * 40, 0)
    assert (layout.folds, layout.items, len(layout.specs), len(layout.lists["items"])) == (0, 0, 41, 40)


def test_the_lowest_folds_see_the_items_of_chunks_and_the_others_partial_results():
    layout = layout_of(request(2, chunk=3), [{}] * 12, 3)
    assert (layout.folds, layout.items, layout.chunk) == (2, 12, 3)
    assert layout.lists == {"items 1.0": ("0", "1"), "items 1.1": ("2", "3"), "items": ("fold 1.0", "fold 1.1")}
    assert layout.flat == {"items 1.0", "items 1.1"}
    assert layout.specs["fold 1.0"].arguments == {"parts": {"$result": "items 1.0"}, "by": " "}


def test_a_fold_that_does_not_say_where_the_results_go_is_refused():
    with pytest.raises(InvalidRequest, match="does not say where the results go"):
        layout_of(request(2, reduce={"function": "m.join", "fan_in": 2}), [{}], 0)


def test_the_folds_are_no_results_of_the_map():
    tally = Tally(Group("g", "", "map", "ann", 6, 0.0, items=3, folds=2))
    for name in ("a", "b", "c", "fold1", "fold2", "whole"):
        tally.note(name, State.SUCCEEDED)
    assert (tally.total, tally.left) == (4, 0)
    assert tally.flat({"a": 1, "b": 2, "c": 3, "whole": 6}) == [1, 2, 3, 6]
