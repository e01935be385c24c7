"""How large an input is: its arguments and the files they name, looked up a bounded number of times."""

import os

import pytest

from mcp_scheduler.requests import TaskSpec
from mcp_scheduler.service.sizes import files_of, half_powers, look_up, texts_of


def looked_up(folder, **call):
    return sum(look_up([TaskSpec.model_validate(call)], str(folder)).values())


def test_sizes_count_half_powers_of_two():
    assert [half_powers(count) for count in (0, 1, 2, 1024, 2**20)] == [0, 0, 2, 20, 40]


@pytest.mark.parametrize(
    "call",
    [
        {"function": "f", "arguments": {"path": "data.bin", "n": 3}},
        {"function": "f", "arguments": {"deep": [{"path": "data.bin"}]}},
        {"command": "cat data.bin"},
        {"command": ["/bin/cat", "data.bin"]},
        {"command": ["/bin/cat", "../data.bin", {"$result": "x"}], "cwd": "below"},
    ],
)
def test_a_file_that_is_named_counts_with_what_it_holds(call, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"x" * 2**20)
    (tmp_path / "below").mkdir()
    assert looked_up(tmp_path, **call) == 2**20
    assert len(files_of(TaskSpec.model_validate(call), str(tmp_path))) == 1


def test_what_is_no_file_counts_nothing(tmp_path):
    arguments = {"folder": "./", "missing": "no.such", "long": "a/" * 5000, "odd": "a.\0", "half": "\ud800."}
    assert looked_up(tmp_path, function="f", arguments=arguments) == 0


def test_many_arguments_cost_few_looks(tmp_path, monkeypatch):
    looks = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path: (looks.append(path), real(path))[1])
    looked_up(tmp_path, function="f", arguments={"paths": [f"{number}.bin" for number in range(10_000)]})
    assert len(looks) <= 8


def test_a_call_without_names_of_files_needs_no_look():
    assert texts_of(TaskSpec.model_validate({"function": "f", "arguments": {"n": 1, "text": "plain words"}})) == []
