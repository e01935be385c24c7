"""A relay ends when its client has gone, however it went, and leaves nothing behind."""

import os
import select
import signal
import subprocess
import sys
import time

import pytest
from standin_client import HERE, LIMIT

EXIT = 2.0  # seconds


def timed(client, limit=EXIT):
    begun = time.monotonic()
    code = client.wait()
    assert time.monotonic() - begun < limit
    return code


def test_closed_input_ends_it_at_once(connect):
    client = connect()
    client.handshake()
    client.process.stdin.close()
    assert timed(client, 1.0) == 0


def test_answers_under_way_still_come_out_after_closed_input(connect, home, tmp_path):
    client = connect()
    client.handshake()
    client.send("wait_for_file", 1, file=str(tmp_path / "go"))
    home.wait_for_note("request 1 wait_for_file")
    client.process.stdin.close()
    (tmp_path / "go").touch()
    assert client.answer_to(1)["result"]["seen"]
    assert timed(client) == 0


def test_closed_input_ends_it_though_an_answer_never_comes(connect, home, tmp_path):
    client = connect()
    client.handshake()
    client.send("wait_for_file", 1, file=str(tmp_path / "never"))
    home.wait_for_note("request 1 wait_for_file")
    client.process.stdin.close()
    assert timed(client) == 0


def test_a_last_line_without_newline_is_still_answered(connect):
    client = connect()
    client.handshake()
    client.send_bytes(b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}')
    client.process.stdin.close()
    assert "result" in client.answer_to(1)


def test_closed_output_ends_it_though_nothing_is_said(connect):
    client = connect()
    client.handshake()
    client.process.stdout.close()
    assert timed(client) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(connect, number):
    client = connect()
    client.handshake()
    client.process.send_signal(number)
    assert timed(client) == -number


def test_a_signal_ends_it_while_it_waits_for_an_engine(connect, home):
    client = connect()
    client.handshake()
    os.kill(home.engines()[0], signal.SIGSTOP)
    waiting = connect()
    waiting.send("initialize", 0)
    waiting.process.send_signal(signal.SIGTERM)
    assert timed(waiting) == -signal.SIGTERM


def test_a_killed_client_takes_its_relay_along(home):
    """The client is a process of its own here; its relay's process id comes through a pipe."""
    read, write = os.pipe()
    program = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "os.write(int(sys.argv[1]), b'%d' % child.pid)\n"
        "child.wait()\n"
    )
    relay = [sys.executable, str(HERE / "relay_main.py"), home.path]
    client = subprocess.Popen(
        [sys.executable, "-c", program, str(write), *relay],
        pass_fds=[write],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
    )
    os.close(write)
    pid = int(os.read(read, 20))
    os.close(read)
    handle = os.pidfd_open(pid)
    home.wait_for_note("listens")
    client.kill()
    client.wait()
    assert select.select([handle], [], [], LIMIT)[0]
    os.close(handle)


def test_a_client_that_never_reads_does_not_hold_it(connect):
    client = connect()
    client.handshake()
    for number in range(8):
        client.send("big", number, size=3_000_000)
    client.process.stdin.close()
    assert timed(client) == 0
