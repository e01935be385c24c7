"""doctor: each check finds what it is there for, and says what to do."""

import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from mcp_scheduler._version import __version__
from mcp_scheduler.cli.checks import folder, machine, program, reach
from mcp_scheduler.home import Home

MOUNTS = [
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "30 22 0:40 / /home/me rw - nfs4 server:/home rw",
    r"31 22 0:41 / /mnt/with\040space rw shared:7 - cifs //server/share rw",
    "32 30 0:42 / /home/me/local rw - btrfs /dev/sdb1 rw",
    "33 22 0:43 / /run rw - tmpfs tmpfs rw",
    "34 22 0:44 / /home/me/local rw - xfs /dev/sdc1 rw",
]


def environment(python=sys.executable, functions=(), cwd="/", path=()):
    return {"python": str(python), "cwd": str(cwd), "path": list(path), "functions": [str(f) for f in functions],
            "variables": {"PATH": os.environ["PATH"]}}  # fmt: skip


def test_everything_in_order_ends_with_0_and_changes_nothing(cli, home_folder):
    ran = cli("doctor")
    assert ran.code == 0, ran.out
    assert "FAIL" not in ran.out
    for what in ("python", "packages", "sqlite", "home", "settings", "file system", "disk", "socket", "engine",
                 "interpreter", "functions", "cgroup", "open files", "gpus"):  # fmt: skip
        assert any(line[6:].startswith(what) for line in ran.out.splitlines()), what
    assert not home_folder.exists()


def test_json_is_a_list_of_findings(cli):
    found = cli("doctor", "--json").json
    assert {"level", "what", "text", "todo"} == set(found[0])


def test_something_wrong_ends_with_1_and_says_what_to_do(cli, tmp_path):
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    ran = cli("doctor", "--functions", tmp_path / "broken.py")
    assert ran.code == 1
    assert "No module named 'nowhere_to_be_found'" in ran.out


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/x", "ext4"),
        ("/home/me/x", "nfs4"),
        ("/home/meadow", "ext4"),
        ("/mnt/with space/x", "cifs"),
        ("/home/me/local/x", "xfs"),
        ("/run/x", "tmpfs"),
    ],
)
def test_a_file_system_is_that_of_the_nearest_mount(path, kind):
    assert folder.file_system(path, MOUNTS) == kind


@pytest.mark.parametrize(
    ("path", "level"),
    [
        ("/home/me/home", "FAIL"),
        ("/run/home", "WARN"),
        ("/srv/home", "OK"),
        ("/home/me/local/Dropbox/home", "WARN"),
        ("/srv/OneDrive - Work/home", "WARN"),
    ],
)
def test_network_vanishing_and_synced_folders_are_warned_of(path, level):
    found = folder.check_file_system(path, MOUNTS)
    assert found.level == level
    assert bool(found.todo) == (level != "OK")


@pytest.mark.parametrize(
    ("number", "is_defective"),
    [
        ((3, 6, 23), False),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_the_wal_reset_defect_is_known_by_version(number, is_defective):
    assert program.has_wal_reset_defect(number) is is_defective
    assert ("WAL-reset" in program.check_sqlite(number).text) is is_defective


def test_a_home_is_a_closed_folder_of_one_s_own(tmp_path):
    home = tmp_path / "home"
    assert folder.check_home(str(home)).level == "OK"
    home.mkdir(mode=0o755)
    assert folder.check_home(str(home)).todo == f"chmod 700 {home}"
    home.chmod(0o700)
    assert folder.check_home(str(home)).level == "OK"
    link = tmp_path / "link"
    link.symlink_to(home)
    assert folder.check_home(str(link)).level == "FAIL"


def test_a_home_that_could_not_be_made_is_told_before_an_engine_fails(tmp_path, monkeypatch):
    home = tmp_path / "new" / "deep" / "home"
    assert folder.check_home(str(home)).level == "OK"
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)  # root may write where others may not
    found = folder.check_home(str(home))
    assert (found.level, f"{tmp_path} may not be written" in found.text) == ("FAIL", True)


def test_a_file_in_place_of_the_home_fails_in_every_line_that_it_concerns(cli, tmp_path):
    (tmp_path / "file").touch()
    ran = cli("doctor", "--home", tmp_path / "file")
    assert ran.code == 1
    assert [line[6:12] for line in ran.out.splitlines() if line.startswith("FAIL")] == ["home  ", "socket", "engine"]
    assert cli("status", "--home", tmp_path / "file").code == 3


def test_little_room_is_told(tmp_path):
    assert [folder.check_disk(str(tmp_path / "new"), free).level for free in (1 << 20, 1 << 29, 1 << 40)] == [
        "FAIL", "WARN", "OK",
    ]  # fmt: skip


def test_a_socket_is_for_its_owner_alone(home_folder):
    home = Home(str(home_folder))
    home.prepare()
    assert reach.check_socket(home).level == "OK"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(home.engine_address())
        Path(home.engine_address()).chmod(stat.S_IRWXU | stat.S_IRWXO)
        assert reach.check_socket(home).level == "WARN"
    Path(home.engine_address()).unlink()
    Path(home.engine_address()).touch()
    assert reach.check_socket(home).level == "FAIL"


def test_an_engine_of_another_version_is_told(cli, standin):
    engine = {"version": __version__, "pid": 1, "counts": {"queued": 1}}
    standin.answers["status"] = engine
    assert reach.check_engine(Path(standin.home.path)).level == "OK"
    standin.answers["status"] = engine | {"version": "0.0.1"}
    assert reach.check_engine(Path(standin.home.path)).level == "WARN"


def test_functions_are_loaded_by_their_own_interpreter(tmp_path):
    (tmp_path / "good.py").write_text(
        "from mcp_scheduler import function\nprint('noise')\n@function\ndef f(a: int) -> int:\n    return a\n"
    )
    (tmp_path / "bad.py").write_text("raise RuntimeError('no good')\n")
    found = reach.check_functions(environment(functions=[tmp_path / "good.py"]))
    assert [(finding.level, finding.what) for finding in found] == [("OK", "interpreter"), ("OK", "functions")]
    assert found[1].text == "1 function can be called"
    found = reach.check_functions(environment(functions=[tmp_path / "good.py", tmp_path / "bad.py"]))
    assert found[1].level == "FAIL"
    assert "no good" in found[1].text


def test_an_interpreter_that_does_not_work_is_told(tmp_path):
    assert reach.check_functions(environment(python=tmp_path / "none"))[0].level == "FAIL"
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'cannot execute' >&2\nexit 3\n")
    broken.chmod(0o755)
    found = reach.check_functions(environment(python=broken))
    assert found[0].level == "FAIL"
    assert "cannot execute" in found[0].text


def test_a_module_that_works_while_it_loads_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(reach, "_LOADING", 0.3)
    (tmp_path / "busy.py").write_text("import threading\nthreading.Event().wait()\n")
    found = reach.check_functions(environment(functions=[tmp_path / "busy.py"]))
    assert found[0].level == "FAIL"
    assert "not loaded within" in found[0].text


def test_a_cgroup_counts_where_it_can_be_written(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/user.slice/me\n")
    assert "no cgroup v2" in machine.check_cgroup(tmp_path, own).text
    (tmp_path / "cgroup.controllers").touch()
    assert "not writable" in machine.check_cgroup(tmp_path, own).text
    (tmp_path / "user.slice/me").mkdir(parents=True)
    (tmp_path / "user.slice/me/cgroup.procs").touch()
    assert machine.check_cgroup(tmp_path, own).text.startswith("writable")


def test_gpus_are_no_failure_whatever_the_driver_says(monkeypatch):
    import pynvml

    assert machine.check_gpus().level in ("OK", "WARN")

    def broken():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(pynvml, "nvmlInit", broken)
    assert machine.check_gpus().level == "WARN"
    assert "Reboot" in machine.check_gpus().todo


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[pool]\ncpu = 2\n", "there is no setting pool.cpu (did you mean pool.cpus?)."),
        ("[pol]\ncpus = 2\n", "there is no setting pol (did you mean pool?)."),
        ("[pool]\ncpus = 'two'\n", "pool.cpus: Input should be a valid number"),
        ("[pool\n", "is not TOML"),
        ("[pool]\nxyz = 1\n", "there is no setting pool.xyz."),
    ],
)
def test_settings_that_no_engine_would_start_with_are_found(cli, home_folder, text, told):
    home_folder.mkdir(mode=0o700)
    (home_folder / "config.toml").write_text(text)
    ran = cli("doctor")
    assert ran.code == 1
    finding = next(line for line in ran.out.splitlines() if line.startswith("FAIL"))
    assert finding[6:].startswith("settings")
    assert told in finding


def test_settings_that_are_understood_are_in_order(home_folder):
    home_folder.mkdir(mode=0o700)
    (home_folder / "config.toml").write_text("[pool]\ncpus = 2\n")
    assert folder.check_settings(str(home_folder)).level == "OK"
    (home_folder / "config.toml").write_bytes(b"[pool]\n# \xff\n")
    assert "UTF-8" in folder.check_settings(str(home_folder)).todo
