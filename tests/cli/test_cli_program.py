"""The command line as a whole: help, wrong words, completion, what it imports."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from owner_standin import task

from mcp_scheduler.cli import app
from mcp_scheduler.cli.text import age, amount, duration, for_people, number, one_line, size


def asked_by_the_shell(cli, monkeypatch, line):
    """What the shell would offer behind this beginning of a command line."""
    words = line.split(" ")
    monkeypatch.setenv(app.COMPLETE, "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    return cli().out.split()


@pytest.mark.parametrize("verb", app.VERBS)
def test_every_verb_has_help_whose_first_line_fits_the_list_of_verbs(cli, verb):
    ran = cli(verb, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: mcp-scheduler {verb} ")
    summary = next(line for line in cli("--help").out.splitlines() if line.split()[:1] == [verb])
    assert not summary.endswith("...")


def test_help_is_a_word_too(cli):
    assert cli("help").out == cli("--help").out
    assert cli("help", "wait").out == cli("wait", "--help").out


def test_a_mistyped_verb_is_told_the_nearest(cli):
    ran = cli("lits")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: No such command 'lits'. Did you mean 'list'")


def test_the_shell_completes_verbs_options_states_and_ids(cli, monkeypatch, standin):
    standin.answers["list"] = {"tasks": [task("train-1"), task("test-2")]}
    assert asked_by_the_shell(cli, monkeypatch, "mcp-scheduler sta") == ["status"]
    assert asked_by_the_shell(cli, monkeypatch, "mcp-scheduler wait --ti") == ["--timeout"]
    assert asked_by_the_shell(cli, monkeypatch, "mcp-scheduler list --state s") == ["scheduled", "succeeded", "skipped"]
    assert asked_by_the_shell(cli, monkeypatch, "mcp-scheduler wait tr") == ["train-1"]


def test_completing_starts_no_engine(cli, monkeypatch, home_folder):
    assert asked_by_the_shell(cli, monkeypatch, "mcp-scheduler wait tr") == []
    assert not home_folder.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_asks_this_program(cli, shell):
    ran = cli("completion", shell)
    assert ran.code == 0
    assert f"_MCP_SCHEDULER_COMPLETE=complete_{shell}" in ran.out
    assert app.COMPLETE not in os.environ


def test_a_verb_in_a_pipe_imports_neither_rich_nor_pydantic(standin):
    standin.answers["list"] = {"tasks": [task()], "counts": {"queued": 1}}
    code = (
        "import sys; from mcp_scheduler.cli.app import main; code = main(['list', '-n', '3']);"
        "print([name for name in ('rich', 'pydantic', 'sqlalchemy', 'mcp', 'asyncio') if name in sys.modules]);"
        "sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(app.__file__).parents[2]), "MCP_SCHEDULER_HOME": standin.home.path},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert ast.literal_eval(ended.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0004, "<1 ms"),
        (0.34, "340 ms"),
        (12.34, "12.3 s"),
        (245, "4m05s"),
        (3720, "1h02m"),
        (183600, "2d03h"),
    ],
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_numbers_have_units():
    assert [size(count) for count in (512, 1536, 3 << 20, 24 << 30)] == ["512 B", "1.5 KiB", "3 MiB", "24 GiB"]
    assert [age(seconds) for seconds in (-5, 5, 200, 7200, 400000)] == ["0s", "5s", "3m", "2h", "4d"]
    assert (amount("memory", 1 << 30), amount("cpus", 1.50), number(4.0)) == ("1 GiB", "1.5", "4")


def test_what_tasks_wrote_cannot_steer_the_terminal():
    assert one_line("a\x1b[31mred\x1b[0m\x07\r\nb\x9b2Jc\x00") == "a red b 2Jc"
    assert one_line("a" * 10, 5) == "aaaa…"


def test_advice_for_agents_names_verbs():
    said = "Call wait_for_tasks; update_task retry starts anew, update_task works."
    assert for_people(said) == ("Call `mcp-scheduler wait`; `mcp-scheduler retry` starts anew, update_task works.")
