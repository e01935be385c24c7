"""An engine that says nothing: the client is told which process hangs, and a living one is left in peace."""

from __future__ import annotations

import os
import signal

from mcp_scheduler.vigil import Vigil, told


def test_calls_to_a_stopped_engine_are_answered_with_its_pid_and_what_to_do(connect, home):
    client = connect("--patience", "0.2")
    engine = client.handshake()["result"]["pid"]
    os.kill(engine, signal.SIGSTOP)
    answer = client.call("tools/call", 1)["result"]
    assert answer["isError"]
    text = answer["content"][0]["text"]
    assert f"(process {engine})" in text
    assert f"kill -CONT {engine}" in text
    assert "error" in client.call("tools/list", 2)
    os.kill(engine, signal.SIGCONT)
    assert client.call("tools/call", 3)["result"]["pid"] == engine
    assert [message for message in client.others if message.get("id") in (1, 2)] == []  # they came too late
    assert not [message for message in client.others if "alive" in str(message.get("id"))]


def test_a_quiet_engine_that_lives_is_asked_and_its_long_request_goes_on(connect, home, tmp_path):
    client = connect("--patience", "0.2")
    engine = client.handshake()["result"]["pid"]
    client.send("wait_for_file", 1, file=str(tmp_path / "file"))
    home.wait_for_note('request "mcp-scheduler relay: alive?" ping', times=2)
    (tmp_path / "file").touch()
    assert client.answer_to(1)["result"]["pid"] == engine
    assert client.others == []


def test_nobody_is_asked_while_nobody_waits():
    vigil = Vigil(quiet=1.0, frozen=2.0)
    assert [vigil.step(now, waits=False) for now in (0.0, 10.0, 20.0)] == ["", "", ""]
    assert vigil.patience(20.0) is None


def test_silence_is_counted_from_the_last_word():
    vigil = Vigil(quiet=1.0, frozen=2.0)
    steps = [vigil.step(now, waits=True) for now in (0.0, 0.9, 1.0, 2.9)]
    assert steps == ["", "", "ask", ""]
    vigil.heard()
    assert [vigil.step(now, waits=True) for now in (3.0, 4.0, 5.9, 6.0)] == ["", "ask", "", "give up"]
    assert vigil.step(8.9, waits=True) == ""
    assert vigil.step(9.0, waits=True) == "give up"


def test_an_engine_that_runs_and_does_not_answer_is_not_called_stopped():
    text = told(os.getpid(), 15.0)
    assert "hangs" in text
    assert f"kill -9 {os.getpid()}" in text
