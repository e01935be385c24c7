"""How `run` and `lease` find the command among their words."""

import pytest

from mcp_scheduler.cli import arguments
from mcp_scheduler.errors import Unavailable

STOP = Unavailable("Enough seen.")  # the request is what is looked at; nothing has to run


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("python", "-c", "print(1)"), ["python", "-c", "print(1)"]),
        (("--needs", "cpus=2", "python", "train.py", "--name", "x"), ["python", "train.py", "--name", "x"]),
        (("--needs", "cpus=2", "--", "python", "-V"), ["python", "-V"]),
        (("git", "diff", "--", "a.py"), ["git", "diff", "--", "a.py"]),
        (("--", "git", "diff", "--", "a.py"), ["git", "diff", "--", "a.py"]),
    ],
)
def test_the_first_word_that_is_no_option_begins_the_command_of_run(cli, standin, words, command):
    standin.answers["submit"] = STOP
    cli("run", *words)
    (asked,) = standin.asked("submit")
    assert asked["command"] == command
    assert asked.get("needs", {}) == ({"cpus": 2} if "--needs" in words else {})
    assert "name" not in asked


@pytest.mark.parametrize("verb", ["run", "lease"])
def test_without_a_command_nothing_is_asked(cli, standin, verb):
    for words in ((), ("--",), ("--needs", "cpus=1")):
        ran = cli(verb, *words)
        assert (ran.code, standin.calls) == (2, [])
        assert f"hint: Give the command: {verb} " in ran.err


@pytest.mark.parametrize("verb", ["run", "lease"])
def test_a_wrong_option_before_the_command_is_still_refused(cli, standin, verb):
    ran = cli(verb, "--nice", "5", "python", "train.py")
    assert (ran.code, standin.calls) == (2, [])
    assert "No such option: --nice" in ran.err


def test_usage_shows_where_the_command_goes(cli):
    assert cli("run", "--help").out.startswith("Usage: mcp-scheduler run [OPTIONS] [--] COMMAND...\n")
    assert "[KEY=VALUE]... [-- COMMAND...]" in " ".join(cli("submit", "--help").out.split())


def test_the_words_of_a_command_stay_as_they_are():
    assert arguments.command(["a", "--"], None, "") == ["a", "--"]
    assert arguments.command(["a"], [], "") == ["a", "--"]
