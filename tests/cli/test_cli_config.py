"""config: what it prints starts this installation, from any folder, with any environment."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from mcp_scheduler import options

REALM = ("claude-desktop", "cursor", "vscode")


@pytest.fixture
def entry(cli, tmp_path, monkeypatch):
    """The command line that the configuration of a client says, as a list."""

    def of(client, *words):
        ran = cli("config", client, *words)
        assert ran.code == 0, ran.err
        if client == "claude-code":
            line = shlex.split(ran.out)
            assert line[:5] == ["claude", "mcp", "add", "--scope", "user"]
            return line[line.index("--") + 1 :]
        top = json.loads(ran.out)
        server = top["servers" if client == "vscode" else "mcpServers"]["scheduler"]
        assert server.pop("type", None) == ("stdio" if client == "vscode" else None)
        return [server.pop("command"), *server.pop("args")]

    monkeypatch.chdir(tmp_path)
    return of


def door_options(line):
    """The options of the door in a command line, read as the door itself reads them."""
    first = next(index for index, word in enumerate(line) if word == "--python")
    return options.parse(line[first:])


@pytest.mark.parametrize("client", [*REALM, "claude-code"])
def test_it_says_the_same_to_every_client_with_absolute_paths(entry, client, tmp_path, home_folder):
    line = entry(
        client, "--functions", "my tools.py", "--functions", "pkg.mod", "--as", "me",
        "--allow-command", "python *", "--allow-command", "make", "--python", sys.executable,
    )  # fmt: skip
    assert Path(line[0]).is_absolute()
    chosen = door_options(line)
    assert chosen.functions == [str(tmp_path / "my tools.py"), "pkg.mod"]
    assert (chosen.python, chosen.home) == (sys.executable, str(home_folder))
    assert (chosen.principal, chosen.commands, chosen.any_command) == ("me", ["python *", "make"], False)


def test_without_options_it_names_the_interpreter_of_this_shell(entry, tmp_path, monkeypatch):
    monkeypatch.delenv("MCP_SCHEDULER_HOME")
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    chosen = door_options(entry("cursor"))
    assert chosen.python == str(python)
    assert chosen.home == ""


def test_without_options_python_programs_may_be_run_and_it_is_said_what_that_means(entry, cli):
    assert door_options(entry("cursor")).commands == ["python *"]
    told = cli("config", "cursor").err
    assert '"--allow-command", "python *": it may run python with any arguments.' in told
    assert "--no-commands" in told


def test_commands_can_be_left_out(entry, cli):
    assert door_options(entry("cursor", "--no-commands")).commands == []
    assert "functions only" in cli("config", "cursor", "--no-commands").err


def test_each_pattern_is_explained(cli):
    told = cli("config", "cursor", "--allow-command", "make", "--allow-command", "python train.py *").err
    assert "it may run make, and with nothing else behind it" in told
    assert "it may run python if the first arguments are train.py" in told


def test_any_command_is_passed_on(entry):
    assert door_options(entry("cursor", "--allow-any-command")).any_command is True


@pytest.mark.parametrize(
    ("client", "place"),
    [
        ("claude-desktop", "claude_desktop_config.json"),
        ("cursor", ".cursor/mcp.json"),
        ("vscode", ".vscode/mcp.json"),
        ("claude-code", "--scope project"),
    ],
)
def test_where_to_put_it_is_said_on_standard_error(cli, client, place):
    assert place in cli("config", client).err


def test_an_unknown_client_is_refused_with_those_that_are_known(cli):
    ran = cli("config", "emacs")
    assert ran.code == 2
    assert "claude-desktop, claude-code, cursor, vscode" in ran.err


def test_the_program_is_the_console_script_beside_the_interpreter(entry, monkeypatch, tmp_path):
    script = tmp_path / "bin" / "mcp-scheduler"
    script.parent.mkdir()
    script.touch()
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(script.parent))
    assert entry("cursor")[0] == str(script)


def test_what_uvx_runs_from_its_cache_is_started_by_uvx(entry, monkeypatch, tmp_path):
    uvx = tmp_path / "uvx"
    uvx.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.prefix", "/home/me/.cache/uv/archive-v0/abc")
    assert entry("cursor")[:2] == [str(uvx), "mcp-scheduler"]


def test_a_source_tree_is_started_by_its_path(entry, monkeypatch, tmp_path):
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setattr("mcp_scheduler.cli.config.package_folder", lambda: "/src/tree")
    line = entry("cursor")
    assert line[:5] == ["/usr/bin/env", "PYTHONPATH=/src/tree", sys.executable, "-m", "mcp_scheduler"]


def test_a_file_of_functions_that_is_not_there_is_told_and_a_module_is_not_looked_for(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools.py").touch()
    ran = cli("config", "cursor", "--functions", "tools.py", "--functions", "toolz.py", "--functions", "some.module")
    assert ran.code == 0
    assert [line for line in ran.err.splitlines() if line.startswith("warning")] == [
        "warning: there is no file toolz.py yet: the client will see no functions of it."
    ]


def test_a_folder_that_is_gone_under_the_shell_is_an_error_and_no_traceback(cli, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    ran = cli("config", "claude-desktop")
    assert (ran.code, ran.out) == (2, "")
    assert "has been removed" in ran.err
