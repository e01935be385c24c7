"""Which commands a grant covers, how a command becomes an argument list, and what a refusal says."""

from __future__ import annotations

import os
import re
import shutil
import sys

import pytest

from mcp_scheduler import errors
from mcp_scheduler.ports import Environment
from mcp_scheduler.requests import Caller, TaskSpec
from mcp_scheduler.service.commands import command_call, head_of, words_of

ANY = Caller(any_command=True)


@pytest.fixture
def environment(tmp_path):
    """A client in a folder of its own, with two programs in it."""
    for name in ("tool", "other"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    variables = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    return Environment("here", sys.executable, str(tmp_path), variables=variables)


def call(environment, command, caller=ANY, **fields):
    return command_call(caller, TaskSpec(command=command, **fields), environment)


def allowed(environment, pattern, command):
    try:
        call(environment, command, Caller(commands=(pattern,)))
    except errors.NotAllowed:
        return False
    return True


@pytest.mark.parametrize(
    ("pattern", "command", "is_allowed"),
    [
        ("tool", ["tool"], True),
        ("tool", ["tool", "x"], False),
        ("tool *", ["tool"], True),
        ("tool *", ["tool", "x", "--y", "z"], True),
        ("tool *", ["other"], False),
        ("tool run *", ["tool", "run", "x"], True),
        ("tool run *", ["tool", "delete", "x"], False),
        ("tool run *", ["tool"], False),
        ("tool run-*", ["tool", "run-all"], True),
        ("tool run-*", ["tool", "run-all", "more"], False),
        ("tool * out", ["tool", "a", "out"], True),
        ("tool * out", ["tool", "a b c", "out"], True),
        ("tool * out", ["tool", "a", "b", "out"], False),
        ("tool ?", ["tool", "ab"], False),
        ("tool [ab]", ["tool", "b"], True),
        ("'tool' 'two words'", ["tool", "two words"], True),
        ("tool run", "tool run", True),
        ("tool *", "tool 'a b' c", True),
        ("", ["tool"], False),
    ],
)
def test_patterns_match_the_argument_list_element_by_element(environment, pattern, command, is_allowed):
    assert allowed(environment, pattern, command) is is_allowed


def test_a_pattern_names_a_program_and_not_a_word(environment, tmp_path):
    impostor = tmp_path / "elsewhere" / "tool"
    impostor.parent.mkdir()
    shutil.copy(tmp_path / "bin/tool", impostor)

    assert not allowed(environment, "tool *", [str(impostor)])
    assert not allowed(environment, "tool *", ["elsewhere/tool"])
    assert allowed(environment, "tool *", [str(tmp_path / "bin" / "tool")])
    assert allowed(environment, "tool *", ["bin/../bin/tool"])
    assert allowed(environment, f"{tmp_path}/elsewhere/*", [str(impostor)])


def test_python_is_the_interpreter_of_the_client(environment):
    assert call(environment, ["python", "train.py"])["command"][0] == sys.executable
    assert allowed(environment, "python *", ["python3", "train.py"])
    assert allowed(environment, "python *", [sys.executable, "train.py"])


def test_shell_characters_are_arguments_and_no_way_around_a_pattern(environment):
    assert call(environment, ["tool", "; rm -rf /", "$(id)", "*"])["command"][1:] == ["; rm -rf /", "$(id)", "*"]
    with pytest.raises(errors.InvalidRequest, match="no shell reads this command"):
        call(environment, "tool run ; other")
    with pytest.raises(errors.InvalidRequest, match="cannot be split"):
        call(environment, "tool 'unfinished")


def test_what_another_task_will_fill_in_matches_a_last_star_only(environment):
    word = {"$result": "earlier"}

    assert allowed(environment, "tool run *", ["tool", "run", word])
    assert not allowed(environment, "tool * run", ["tool", word, "run"])
    with pytest.raises(errors.InvalidRequest):
        call(environment, [word, "run"])


def test_a_refusal_says_which_flag_to_add_in_which_file(environment):
    with pytest.raises(errors.NotAllowed) as refused:
        call(environment, ["tool", "run"], Caller(commands=("other",)))

    assert "tool run" in refused.value.message
    assert '"--allow-command", "tool *"' in refused.value.hint
    assert "mcp-scheduler config" in refused.value.hint
    assert "restart the client" in refused.value.hint


@pytest.mark.parametrize("command", [["tool", "a\0b"], ["tool", "x" * 200_000]])
def test_what_the_kernel_would_not_take_is_refused_at_once(environment, command):
    with pytest.raises(errors.InvalidRequest, match="NUL or has more than"):
        call(environment, command)


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "PATH", "CUDA_VISIBLE_DEVICES", "MCP_SCHEDULER_HOME"])
def test_variables_that_change_which_code_runs_are_refused(environment, name):
    with pytest.raises(errors.NotAllowed, match=name):
        call(environment, ["tool"], env={name: "x"})


def test_folder_and_variables_and_input_are_passed_on(environment, tmp_path):
    made = call(environment, ["tool"], cwd="bin", env={"A": "b"}, stdin="text")

    assert made["cwd"] == str(tmp_path / "bin")
    assert (made["env"], made["stdin"]) == ({"A": "b"}, "text")
    with pytest.raises(errors.InvalidRequest, match="no folder"):
        call(environment, ["tool"], cwd="nowhere")


def test_a_program_that_is_not_there_is_refused(environment):
    with pytest.raises(errors.InvalidRequest, match="no program 'nowhere'"):
        call(environment, ["nowhere"])


@pytest.mark.parametrize(
    ("command", "head"),
    [
        (["/usr/bin/tool", "x"], "tool"),
        (["/usr/bin/python3", "-u", "src/train.py", "--lr", "1"], "python3 train.py"),
        (["/bin/bash", "-c", "echo /a/b"], "bash -c"),
        (["/usr/bin/python3"], "python3"),
    ],
)
def test_the_head_names_the_kind_of_command(command, head):
    assert head_of(command) == head


def test_a_text_is_split_as_a_shell_splits_it():
    assert words_of("python train.py --name 'a b'") == ["python", "train.py", "--name", "a b"]
    with pytest.raises(errors.InvalidRequest, match="empty"):
        words_of("  ")


@pytest.mark.parametrize(
    ("command", "told", "hint"),
    [
        (["nowhere"], "There is no program 'nowhere' in the PATH of this client.", "Give its absolute path."),
        (["./nowhere"], r"There is no program './nowhere' in .*", "Check the path."),
        (["./plain"], r".*/plain may not be executed.", r"chmod \+x it, or name its interpreter first: bash ./plain."),
        (["plain"], r".*/plain may not be executed.", r"chmod \+x it, .*"),
        (["mine"], r"There is no program 'mine' in the PATH of this client.", r"There is one in .*: say ./mine."),
        (["bin/"], r".*/bin is a folder, not a program.", "Name a program in it."),
        (
            ["tool a | other"],
            r"There is no program 'tool a \| other': that is a whole line.",
            r"Give its words one by one: tool a \| other. A line for a shell: bash -c 'tool a \| other'.",
        ),
        (["nowhere a"], "There is no program 'nowhere a' in the PATH of this client.", "Give its absolute path."),
    ],
)
def test_who_names_no_program_is_told_what_stands_there_and_how_it_would_run(
    environment, tmp_path, command, told, hint
):
    (tmp_path / "plain").write_text("echo hi\n")
    shutil.copy(tmp_path / "bin" / "tool", tmp_path / "mine")

    with pytest.raises(errors.InvalidRequest) as refused:
        call(environment, command)
    assert re.fullmatch(f"{told} {hint}", str(refused.value))
