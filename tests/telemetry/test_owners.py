"""Whose a process is: cookies in the environments of real processes."""

import contextlib
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_scheduler.telemetry.owners import Mark, Owners

TENANTS = {"cookie-1": "train.1"}
HOLD = "import sys; print(1, flush=True); sys.stdin.read()"


@contextlib.contextmanager
def running(program=HOLD, command=(sys.executable, "-c"), **environ):
    """A process with these variables; it has begun when this begins, and ends with it."""
    order = [*command, program]
    with subprocess.Popen(order, env={"PATH": os.environ["PATH"], **environ}, stdin=-1, stdout=-1, text=True) as child:
        assert select.select([child.stdout], [], [], 20)[0]
        child.told = child.stdout.readline().strip()
        yield child
        child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(20)
        child.kill()


def on_host():
    return Owners(TENANTS, in_container=False)


def test_a_carrier_of_a_known_cookie_is_its_tenants():
    with running(MCP_SCHEDULER_COOKIE="cookie-1", MCP_SCHEDULER_ATTEMPT="train.1") as child:
        assert on_host().tenant(child.pid) == "train.1"
        assert on_host().mark(child.pid) == Mark("cookie-1", "train.1")


def test_a_carrier_of_a_cookie_of_another_life_is_nobodys():
    with running(MCP_SCHEDULER_COOKIE="cookie-2") as child:
        assert on_host().tenant(child.pid) == ""
        assert on_host().mark(child.pid) == Mark("cookie-2", "")


def test_a_stranger_is_nobodys():
    with running(OTHER_MCP_SCHEDULER_COOKIE="cookie-1", X="MCP_SCHEDULER_COOKIE=cookie-1") as child:
        assert on_host().tenant(child.pid) == ""


def test_children_carry_what_their_parents_carry_even_with_a_clean_environment():
    for variables in ("None", "{}"):
        spawn = (
            f"import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {HOLD!r}], env={variables},"
            " stdout=-1, stdin=-1)\nchild.stdout.readline(); print(child.pid, flush=True)\n"
            "sys.stdin.read(); child.stdin.close(); child.wait()"
        )
        with running(spawn, MCP_SCHEDULER_COOKIE="cookie-1") as child:
            assert on_host().tenant(int(child.told)) == "train.1"


def test_a_process_that_is_not_there_cannot_be_told():
    with running() as child:
        pid = child.pid
    assert on_host().tenant(pid) is None


def test_a_reused_pid_is_looked_at_again(tmp_path):
    proc = tmp_path / "proc"

    def process(start, cookie):
        folder = proc / "77"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "stat").write_text("77 (a) b) S 1 " + "0 " * 17 + f"{start} 0 0")
        (folder / "environ").write_bytes(f"A=1\0MCP_SCHEDULER_COOKIE={cookie}\0".encode() if cookie else b"A=1\0")

    owners = Owners(TENANTS, proc=proc, in_container=False)
    process(100, "cookie-1")
    assert owners.tenant(77) == "train.1"
    process(100, "")  # the same process: known by its start time
    assert owners.tenant(77) == "train.1"
    process(200, "")
    assert owners.tenant(77) == ""
    shutil.rmtree(proc / "77")
    assert owners.tenant(77) is None


def test_what_tenants_there_are_may_change_at_any_time():
    tenants = {}
    owners = Owners(tenants, in_container=False)
    with running(MCP_SCHEDULER_COOKIE="cookie-1") as child:
        assert owners.tenant(child.pid) == ""
        tenants["cookie-1"] = "late.1"
        assert owners.tenant(child.pid) == "late.1"


def test_in_a_container_a_pid_alone_proves_nothing():
    owners = Owners(TENANTS, in_container=True)
    with running(MCP_SCHEDULER_COOKIE="cookie-1") as carrier, running() as stranger:
        assert owners.tenant(carrier.pid) is None  # it has no device open: the driver meant another process
        assert owners.tenant(stranger.pid) is None


def test_in_a_container_a_carrier_with_a_device_open_is_believed(tmp_path):
    folder = tmp_path / "77"
    (folder / "fd").mkdir(parents=True)
    (folder / "stat").write_text("77 (a) S 1 " + "0 " * 17 + "100 0 0")
    (folder / "environ").write_bytes(b"MCP_SCHEDULER_COOKIE=cookie-1\0")
    owners = Owners(TENANTS, proc=tmp_path, in_container=True)
    assert owners.tenant(77) is None
    (folder / "fd" / "5").symlink_to("/dev/nvidiactl")
    assert owners.tenant(77) == "train.1"


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="no pid namespaces here")
def test_a_container_is_told_by_its_pid_namespace():
    nested = Path("/proc/self/ns/pid").stat().st_ino != 0xEFFFFFFC
    assert Owners(TENANTS)._in_container is nested
