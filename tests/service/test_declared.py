"""What a decorator declares of conflicts and compensation goes into the specs, unless they say it themselves."""

from __future__ import annotations

from mcp_scheduler.ports import Catalogue, FunctionEntry
from mcp_scheduler.requests import TaskSpec
from mcp_scheduler.service.calls import Functions
from mcp_scheduler.service.declared import with_declared

OPTIONS = {"on_failure": "m.undo", "reads": ["index"], "writes": ["model"]}
ENTRIES = [
    FunctionEntry(name, environment="environment", summary="", parameters={}, options=options, fingerprint="f")
    for name, options in (("m.train", OPTIONS), ("m.plain", {}))
]
FUNCTIONS = Functions(Catalogue("environment", tuple(ENTRIES)))


def filled(**fields: object) -> TaskSpec:
    (spec,) = with_declared([TaskSpec.model_validate(fields)], FUNCTIONS)
    return spec


def test_what_is_declared_counts_where_the_submission_is_silent():
    spec = filled(function="train", arguments={"path": "x"})
    assert (spec.reads, spec.writes) == (("index",), ("model",))
    assert spec.on_failure == {"function": "m.undo", "arguments": {"path": "x"}}


def test_what_a_submission_says_wins_nothing_included():
    spec = filled(function="m.train", writes=[], on_failure=None, reads=["other"])
    assert (spec.reads, spec.writes, spec.on_failure) == (("other",), (), None)


def test_other_tasks_are_left_as_they_are():
    for fields in ({"function": "m.plain"}, {"command": ["true"]}):
        spec = TaskSpec.model_validate(fields)
        assert with_declared([spec], FUNCTIONS) == [spec]
        assert with_declared([spec], None) == [spec]
