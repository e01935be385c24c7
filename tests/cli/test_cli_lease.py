"""lease, pause, resume of the queue, top."""

import signal
import sys

import pytest
from owner_standin import task

from mcp_scheduler.cli import lease
from mcp_scheduler.errors import Unavailable

HELD = task("lease-7f3k9q2m", "running", call="lease", attempt=1, fence=42, due=1_700_000_060.0)
PYTHON = sys.executable


@pytest.fixture
def granted(standin):
    """An engine that grants what is asked for."""
    standin.answers |= {
        "submit": {"tasks": [task("lease-7f3k9q2m", "queued", call="lease")]},
        "wait": {"done": [HELD], "remaining": 0, "complete": True},
        "get": HELD,
        "update": {"changed": [], "count": 1},
    }
    return standin


def actions(standin):
    return [params["action"] for params in standin.asked("update")]


def test_the_command_runs_with_the_variables_and_the_lease_is_released(cli, granted, tmp_path):
    granted.answers["get"] = HELD | {"variables": {"CUDA_VISIBLE_DEVICES": "GPU-a"}}
    names = ("CUDA_VISIBLE_DEVICES", "MCP_SCHEDULER_LEASE", "MCP_SCHEDULER_FENCE")
    shown = f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(' '.join(os.environ[n] for n in {names}))"
    ran = cli("lease", "--gpus", 1, "--needs", "cpus=2", "--", PYTHON, "-c", shown)
    assert (ran.code, (tmp_path / "seen").read_text()) == (0, "GPU-a lease-7f3k9q2m.1 42")
    assert "lease-7f3k9q2m is held · CUDA_VISIBLE_DEVICES=GPU-a" in ran.err
    asked = granted.asked("submit")[0]
    assert asked == {"lease": True, "needs": {"cpus": 2, "gpus": 1}, "timeout": lease.LAPSES}
    assert actions(granted) == ["release"]


@pytest.mark.parametrize(("program", "code"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_the_exit_code_is_the_command_s_own(cli, granted, program, code):
    assert cli("lease", "--gpus", 1, "--", PYTHON, "-c", program).code == code


def until(gate):
    """A command that ends when the file is there, or badly after a minute."""
    return (
        f"import pathlib, time\nend = time.monotonic() + 60\nwhile not pathlib.Path({str(gate)!r}).exists():\n"
        " assert time.monotonic() < end\n time.sleep(0.01)"
    )


def test_it_is_renewed_while_the_command_runs(cli, granted, monkeypatch, tmp_path):
    monkeypatch.setattr(lease, "BEAT", 0.02)
    renewed = tmp_path / "renewed"

    def update(params):
        if actions(granted).count("renew") > 2:
            renewed.touch()
        return {"changed": [], "count": 1}

    granted.answers["update"] = update
    assert cli("lease", "--gpus", 1, "--", PYTHON, "-c", until(renewed)).code == 0
    assert actions(granted)[-1] == "release"


def test_a_lease_that_is_lost_ends_its_command(cli, granted, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.02)
    granted.answers["update"] = {"count": 0, "unchanged": {"lease-7f3k9q2m": "has already ended: failed (timeout)"}}
    granted.answers["cancel"] = {"count": 0, "unchanged": {}}
    ran = cli("lease", "--gpus", 1, "--", PYTHON, "-c", "import time; time.sleep(60)")
    assert ran.code == 128 + signal.SIGTERM
    assert "is lost (has already ended: failed (timeout))" in ran.err


def test_an_engine_that_cannot_be_reached_for_a_moment_ends_nothing(cli, granted, monkeypatch, tmp_path):
    monkeypatch.setattr(lease, "BEAT", 0.02)
    asked = tmp_path / "asked"

    def update(params):
        if actions(granted).count("renew") > 2:
            asked.touch()
        raise Unavailable("The disk is full.")

    granted.answers["update"] = update
    ran = cli("lease", "--gpus", 1, "--", PYTHON, "-c", until(asked))
    assert ran.code == 0
    assert ran.err.count("cannot be renewed just now: The disk is full.") == 1
    assert "could not be released (The disk is full.)" in ran.err


def test_its_time_can_be_limited(cli, granted):
    ran = cli("lease", "--gpus", 1, "--for", "0.2", "--", PYTHON, "-c", "import time; time.sleep(60)")
    assert (ran.code, actions(granted)) == (124, ["release"])


def test_ctrl_c_while_it_waits_takes_the_request_back(cli, standin):
    def wait(_params):
        signal.raise_signal(signal.SIGTERM)
        return {"done": [], "remaining": 1, "complete": False}

    standin.answers |= {
        "submit": {"tasks": [task("lease-7f3k9q2m", "queued")]},
        "get": task("lease-7f3k9q2m", "queued", why="needs 1 gpu; gpu0: held as a whole by train-1"),
        "wait": wait,
        "update": {"count": 0, "unchanged": {"lease-7f3k9q2m": "is queued, not granted yet"}},
        "cancel": {"changed": [task("lease-7f3k9q2m", "cancelled")], "count": 1},
    }
    ran = cli("lease", "--gpus", 1, "--", PYTHON, "-c", "raise SystemExit(7)")
    assert ran.code == 130
    assert "waits: needs 1 gpu; gpu0: held as a whole by train-1" in ran.err
    assert standin.asked("cancel") == [{"ids": ["lease-7f3k9q2m"]}]


def test_a_request_that_somebody_cancels_says_so(cli, granted):
    granted.answers["get"] = task("lease-7f3k9q2m", "cancelled", ended_at=1_700_000_001.0)
    granted.answers["update"] = {"count": 0, "unchanged": {"lease-7f3k9q2m": "has already ended: cancelled"}}
    granted.answers["cancel"] = {"count": 0, "unchanged": {"lease-7f3k9q2m": "has already ended: cancelled"}}
    ran = cli("lease", "--gpus", 1, "--", PYTHON, "-c", "")
    assert (ran.code, "lease-7f3k9q2m cancelled" in ran.err) == (1, True)


def test_what_cannot_be_run_is_not_waited_for(cli, standin):
    assert cli("lease", "--gpus", 1).code == 2
    assert cli("lease", "--gpus", 1, "--", "no-such-program").code == 126
    assert standin.calls == []


def test_the_queue_is_paused_and_goes_on(cli, standin):
    standin.answers["pause"] = {"queued": 3, "running": 1, "paused": "the queue is paused by its owner"}
    standin.answers["resume"] = {"queued": 3, "running": 1}
    assert "3 tasks that could run will wait for `mcp-scheduler resume`; 1 running." in cli("pause").err
    assert cli("resume").err == "The queue goes on: 3 queued, 1 running.\n"
    assert cli("pause", "--json").json == standin.answers["pause"]
    assert [name for name, _ in standin.calls] == ["pause", "resume", "pause"]


@pytest.fixture
def busy(standin):
    node = {"name": "local", "total": {"cpus": 2.0}, "reserved": {"cpus": 1.0}, "load": {"cpu": 50.0}, "running": 1}
    device = {"name": "gpu0", "uuid": "GPU-a", "label": "h100", "health": "ok", "total": 80 * 2**30, "tasks": ["a"]}
    standin.answers["load"] = {
        "nodes": [node | {"devices": [device]}], "counts": {"running": 1, "queued": 1}, "policy": "priority",
        "alerts": ["the queue is paused"],
    }  # fmt: skip
    standin.answers["list"] = lambda params: {
        "tasks": [task("train-a", "running")] if "running" in params["states"] else [task("b", why="others go first")],
        "cursor": "", "counts": {},
    }  # fmt: skip
    return standin


def test_top_shows_everything_once_where_nobody_looks(cli, busy):
    out = cli("top").out
    for shown in (
        "NODES",
        "DEVICES",
        "RUNNING",
        "WAITING",
        "gpu0",
        "train-a",
        "others go first",
        "alert: the queue is",
    ):
        assert shown in out
    assert set(cli("top", "--json").json) == {"nodes", "counts", "policy", "alerts", "running", "waiting"}


def test_top_looks_again_until_ctrl_c(cli, busy, terminal, monkeypatch):
    terminal(120)
    looks = []

    def load(_params, answer=busy.answers["load"]):
        looks.append(1)
        if len(looks) == 3:
            signal.raise_signal(signal.SIGINT)
        return answer

    busy.answers["load"] = load
    ran = cli("top", "--interval", "0.1")
    assert ran.code == 130
    assert "train-a" in ran.out
