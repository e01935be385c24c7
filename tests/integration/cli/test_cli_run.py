"""run: a command through the scheduler as if it ran here."""

from __future__ import annotations

import os
import signal

import pytest


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)], ids=["success", "failure", "signal"]
)
def test_the_exit_code_is_the_commands_own(program, script, code):
    assert program("run", "--", "sh", "-c", script).code == code


def test_the_command_may_begin_without_dashes(program):
    ran = program("run", "--name", "plain", "sh", "-c", "echo --name; exit 4")

    assert (ran.code, ran.out) == (4, "--name\n")


def test_output_comes_to_its_own_stream(program):
    ran = program("run", "--env", "WORD=there", "--", "sh", "-c", "echo hello $WORD; echo trouble >&2")

    assert ran.out == "hello there\n"
    assert "trouble\n" in ran.err


def test_a_timeout_ends_as_timeout_does(program):
    ran = program("run", "--timeout", "0.5", "--", "sleep", "600")

    assert ran.code == 124
    assert "timeout" in ran.err


def test_python_is_the_interpreter_of_this_shell(program):
    ran = program("run", "--", "python", "-c", "import sys; print('progress: 1 done'); print(sys.version_info[0])")

    assert ran.code == 0, ran.err
    assert ran.out.endswith("3\n")


def test_the_first_interrupt_is_answered_and_the_second_cancels(program):
    with program.start("run", "--", "sh", "-c", "echo begun; exec sleep 600") as running:
        assert running.stdout.readline() == "begun\n"
        assert "Ctrl-C twice" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        assert "again cancels" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()

    assert running.returncode == 130
    assert "cancelled" in said


def test_a_lease_and_a_pause_outlive_the_engine_and_a_killed_holder_is_outlived_soon(program):
    gate = program.folder / "gate-lease"
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)"
    with program.start("lease", "--needs", "cpus=1", "--name", "bench", "--", "python3", "-c", waits) as holding:
        program.until(lambda: bench(program)["state"] == "running", "it is granted")
        fence = bench(program)["fence"]
        assert program("pause").code == 0
        os.kill(program.home.engine_record()["pid"], signal.SIGKILL)
        after = bench(program)
        assert (after["state"], after["fence"], after["attempt"]) == ("running", fence, 1)
        waiting = program("submit", "--json", "--", "true").json
        assert (waiting["state"], "paused" in waiting["why"]) == ("queued", True)
        gate.touch()
        holding.communicate(timeout=60)
        assert holding.returncode == 0
    assert bench(program)["state"] == "succeeded"
    assert program("resume").code == 0
    assert program("wait", waiting["id"]).code == 0


def bench(program):
    """The lease, as `list` shows it."""
    return next(iter(program("list", "--name", "bench", "--json").json["tasks"]), {"state": ""})
