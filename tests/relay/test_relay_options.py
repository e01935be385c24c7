"""The program's own words: options, help, what it imports."""

import subprocess
import sys
from pathlib import Path

import pytest

from mcp_scheduler._version import __version__
from mcp_scheduler.options import UsageError, parse

ROOT = str(Path(__file__).parents[2])


def program(*words, **settings):
    command = [sys.executable, "-m", "mcp_scheduler", *words]
    settings = {"env": {"PYTHONPATH": ROOT, "PATH": "/bin"}, "stdin": subprocess.DEVNULL} | settings
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20, **settings)


def test_options_are_read_in_both_spellings():
    words = "--home /h --python=/p --functions a.py --functions=b --as me --env X --allow-command"
    options = parse([*words.split(), "python *", "--allow-any-command"])
    assert (options.home, options.python, options.principal) == ("/h", "/p", "me")
    assert options.functions == ["a.py", "b"]
    assert options.commands == ["python *"]
    assert options.names == ["X"]
    assert options.any_command
    assert not options.embedded


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--hom", "/h"], "--hom"),
        (["--home"], "needs a value"),
        (["--home="], "not empty"),
        (["--embedded=yes"], "--embedded"),
        (["--home", "/h", "stray"], "stray"),
    ],
)
def test_a_wrong_option_is_refused_by_name(words, complaint):
    with pytest.raises(UsageError, match=complaint):
        parse(words)


def test_a_wrong_option_ends_the_program_with_2_and_nothing_on_stdout():
    ended = program("--homes", "/h")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--homes" in ended.stderr
    assert "--home," in ended.stderr


def test_an_interpreter_that_does_not_exist_is_a_wrong_option():
    ended = program("--python", "/no/such/python")
    assert ended.returncode == 2
    assert "/no/such/python" in ended.stderr


def test_help_and_version_are_told():
    assert "--allow-command" in program("--help").stdout
    assert program("serve", "--help").stdout.startswith("usage: mcp-scheduler serve")
    assert program("--version").stdout == f"mcp-scheduler {__version__}\n"


def test_a_home_that_cannot_be_used_is_told_to_the_client(tmp_path):
    (tmp_path / "file").touch()
    request = '{"jsonrpc":"2.0","id":1,"method":"initialize"}\n'
    ended = program("--home", str(tmp_path / "file"), input=request, stdin=None)
    assert ended.returncode == 0
    assert "keeps its data in a real folder only" in ended.stdout


def test_the_relay_imports_nothing_that_is_slow_to_import():
    code = (
        "import sys; before = set(sys.modules)\n"
        "import mcp_scheduler.__main__, mcp_scheduler.options, mcp_scheduler.relay\n"
        "slow = {'asyncio', 'pathlib', 'subprocess', 'argparse', 'dataclasses', 'hashlib', 'inspect', 'tempfile'}\n"
        "ours = {name for name in sys.modules if name.startswith('mcp_scheduler.')}\n"
        "print(sorted(slow & (set(sys.modules) - before)), sorted(name[14:] for name in ours))"
    )
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.append({ROOT!r})\n{code}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    ours = ["__main__", "_version", "conversation", "door", "hello", "home", "lines", "options", "relay", "start"]
    ours.append("vigil")
    assert found.stdout.strip() == f"[] {ours}"
