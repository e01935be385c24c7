"""The home: where it is, who may use it, who serves it."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mcp_scheduler.home import EXIT_LOCKED, LOG_LIMIT, DoorError, EngineLock, Home, _locked, version_key
from mcp_scheduler.start import engine_command, engine_commands, log_tail, package_folder, start_engine


@pytest.mark.parametrize(
    ("option", "environ", "expected"),
    [
        ("/a/b", {"MCP_SCHEDULER_HOME": "/c"}, "/a/b"),
        ("", {"MCP_SCHEDULER_HOME": "/c", "XDG_DATA_HOME": "/d"}, "/c"),
        ("", {"XDG_DATA_HOME": "/d"}, "/d/mcp-scheduler"),
        ("", {"XDG_DATA_HOME": "relative/is/void"}, "~/.local/share/mcp-scheduler"),
        ("", {}, "~/.local/share/mcp-scheduler"),
    ],
)
def test_the_nearest_word_names_the_home(option, environ, expected):
    assert Home.find(option, environ).path == str(Path(expected).expanduser())


def test_a_new_home_is_open_to_its_user_alone_and_an_old_one_is_closed_to_others(tmp_path):
    for name in ("new/deep", "wide"):
        (tmp_path / "wide").mkdir(mode=0o755, exist_ok=True)
        Home(str(tmp_path / name)).prepare()
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


def test_a_symbolic_link_or_a_file_is_no_home(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    with pytest.raises(DoorError, match="symbolic link"):
        Home(str(tmp_path / "link")).prepare()
    with pytest.raises(DoorError, match="cannot be used"):
        Home(str(tmp_path / "file")).prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_somebody_elses_folder_is_no_home(tmp_path):
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 4321, 4321)
    with pytest.raises(DoorError, match="another user"):
        Home(str(tmp_path / "theirs")).prepare()


def test_one_process_at_a_time_serves_a_home(tmp_path):
    home = Home(str(tmp_path))
    lock = EngineLock.take(home)
    assert lock is not None
    assert home.engine_record()["pid"] == os.getpid()
    assert EngineLock.take(home) is None
    lock.release()
    again = EngineLock.take(home)
    assert again is not None
    again.release()


def test_a_lock_whose_file_was_removed_meanwhile_is_no_lock(tmp_path):
    home = Home(str(tmp_path))
    old = EngineLock.take(home)
    Path(home.file("engine.lock")).unlink()
    new = EngineLock.take(home)
    assert old is not None
    assert new is not None
    assert EngineLock.take(home) is None
    old.release()
    new.release()


def test_a_file_that_was_replaced_between_open_and_lock_is_not_the_homes_lock(tmp_path):
    path = tmp_path / "engine.lock"
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    path.unlink()
    assert not _locked(file, str(path))
    path.touch()
    assert not _locked(file, str(path))
    os.close(file)
    file = os.open(path, os.O_RDWR)
    assert _locked(file, str(path))
    os.close(file)


def test_a_short_path_keeps_its_socket_at_home():
    with tempfile.TemporaryDirectory(prefix="x") as short:
        assert Home(short).engine_address() == f"{short}/engine.sock"


def test_a_long_path_has_its_socket_in_the_runtime_folder_whatever_the_doors_variables_say(tmp_path, monkeypatch):
    long = tmp_path / ("n" * 100)
    runtime = Path(f"/tmp/doors-{os.getpid()}")
    own_folder = runtime / "mcp-scheduler"
    runtime.mkdir(mode=0o700)
    try:
        engine = Home(str(long), {"XDG_RUNTIME_DIR": str(runtime)})
        engine.prepare()
        address = str(Path(engine.socket_folder()) / "engine.sock")
        assert Path(address).is_relative_to(own_folder)
        assert len(address) < 100
        assert stat.S_IMODE(own_folder.stat().st_mode) == 0o700
        door = Home(str(long), {})
        assert door.engine_address() != address
        lock = EngineLock.take(engine)
        assert lock is not None
        assert door.engine_address() == address  # the engine's own word counts
        lock.release()
    finally:
        subprocess.run(["rm", "-r", runtime], check=True)


def test_a_copied_home_does_not_lead_to_the_first_ones_engine(tmp_path):
    first = Home(str(tmp_path / ("a" * 100)), {})
    first.prepare()
    lock = EngineLock.take(first)
    assert lock is not None
    second = Home(str(tmp_path / ("b" * 100)), {})
    second.prepare()
    Path(second.file("engine.lock")).write_bytes(Path(first.file("engine.lock")).read_bytes())
    assert second.engine_address() != first.engine_address()
    lock.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_socket_folder_that_somebody_else_made_first_is_refused(tmp_path):
    runtime = Path(f"/tmp/doors-{os.getpid()}")
    (runtime / "mcp-scheduler").mkdir(parents=True)
    os.chown(runtime / "mcp-scheduler", 4321, 4321)
    try:
        home = Home(str(tmp_path / ("n" * 100)), {"XDG_RUNTIME_DIR": str(runtime)})
        with pytest.raises(DoorError, match="another user"):
            home.engine_address()
        with pytest.raises(DoorError, match="another user"):
            home.socket_folder()
    finally:
        subprocess.run(["rm", "-r", runtime], check=True)


def test_the_log_is_rotated_before_an_engine_appends_to_a_long_one(tmp_path):
    home = Home(str(tmp_path))
    Path(home.log_file).write_bytes(b"x" * (LOG_LIMIT + 1))
    os.close(home.open_log())
    assert Path(home.log_file).stat().st_size == 0
    assert stat.S_IMODE(Path(home.log_file).stat().st_mode) == 0o600
    assert Path(home.log_file + ".1").stat().st_size == LOG_LIMIT + 1


def test_versions_are_compared_by_their_numbers():
    assert version_key("0.10.0") > version_key("0.9.9")
    assert version_key("1.2.3.dev4") == (1, 2, 3)
    assert version_key("") == ()


def test_a_newer_engine_that_served_the_home_is_started_before_our_own(tmp_path):
    home = Home(str(tmp_path))
    own = engine_command(home, sys.executable, package_folder())
    assert engine_commands(home) == [own]
    home.record_newest("99.0.0", "/nowhere/python", "")
    assert engine_commands(home) == [own]  # it is gone
    home.record_newest("99.0.1", sys.executable, "")
    home.record_newest("99.0.0", "/bin/sh", "")  # no longer the newest
    newest = [sys.executable, "-I", "-m", "mcp_scheduler", "engine", "--home", home.path]
    assert engine_commands(home) == [newest, own]


def test_the_real_engine_command_finds_the_package_and_leaves_a_taken_home_alone(tmp_path):
    home = Home(str(tmp_path))
    lock = EngineLock.take(home)
    assert lock is not None
    started = start_engine(home, engine_commands(home)[0])
    started.exit_code = os.waitstatus_to_exitcode(os.waitpid(started.pid, 0)[1])
    assert started.exit_code == EXIT_LOCKED, started.last_words()
    assert started.last_words() == ""
    lock.release()


def test_an_engine_is_detached_and_knows_nothing_of_the_attempt_that_started_it(tmp_path):
    home = Home(str(tmp_path))
    environ = {"PATH": "/bin", "LC_ALL": "C", "SECRET": "s", "PYTHONPATH": "/x", "CUDA_VISIBLE_DEVICES": "1"}
    attempt = {"MCP_SCHEDULER_ATTEMPT": "a.1", "MCP_SCHEDULER_COOKIE": "w", "MCP_SCHEDULER_SETTING": "kept"}
    code = "import os, sys; print(os.getsid(0) == os.getpid(), sorted(os.environ)); print(sys.stdin.read() == '')"
    started = start_engine(home, [sys.executable, "-I", "-c", code], environ | attempt)
    os.waitpid(started.pid, 0)
    kept = ["CUDA_VISIBLE_DEVICES", "LC_ALL", "MCP_SCHEDULER_SETTING", "PATH"]
    assert started.last_words() == f"True {kept}\nTrue"


def test_the_tail_of_the_log_begins_with_a_whole_line(tmp_path):
    home = Home(str(tmp_path))
    lines = [f"line {number} " + "x" * 90 for number in range(40)]
    Path(home.log_file).write_text("\n".join(lines) + "\n")
    assert log_tail(home).splitlines() == lines[-len(log_tail(home).splitlines()) :]
    assert log_tail(home, Path(home.log_file).stat().st_size - len(lines[-1]) - 1) == lines[-1]
