"""What a client sees of a relay while the engine lives: nothing at all."""

import fcntl
import json
import os
import signal
import struct
import termios
import threading
from pathlib import Path

from standin_client import wait_until

from mcp_scheduler.hello import make_hello

MIB = 1024 * 1024
MODERN = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}


def test_the_first_relay_starts_the_engine_and_carries_both_ways(connect, home):
    client = connect()
    answer = client.handshake()
    assert answer["result"]["pid"] == home.engines()[0]
    echo = client.call("tools/call", 1, text="größer")
    assert echo["result"]["echo"] == {"text": "größer"}


def test_the_engine_outlives_the_relay_and_serves_the_next_one(connect, home):
    first = connect()
    pid = first.handshake()["result"]["pid"]
    first.process.stdin.close()
    assert first.wait() == 0
    assert connect().handshake()["result"]["pid"] == pid
    assert home.engines() == [pid]


def test_a_modern_client_needs_no_handshake(connect):
    client = connect()
    assert client.call("tools/list", "a", _meta=MODERN)["result"]["method"] == "tools/list"


def test_ids_of_different_types_are_different_requests(connect, tmp_path):
    client = connect()
    client.handshake()
    client.send("wait_for_file", 1, file=str(tmp_path / "go"))
    assert "result" in client.call("tools/call", "1")
    (tmp_path / "go").touch()
    assert client.answer_to(1)["result"]["seen"]


def test_the_engine_can_ask_the_client(connect):
    client = connect()
    client.handshake()
    client.send("ask", 5)
    question = client.receive()
    assert (question["method"], question["id"]) == ("elicitation/create", 1)
    client.send_bytes(json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": {"yes": True}}).encode() + b"\n")
    assert client.answer_to(5)["result"] == {"yes": True}


def test_lines_that_are_not_json_are_passed_on_and_hurt_nobody(connect):
    client = connect()
    client.handshake()
    for garbage in (b"not json", b"\xff\xfe\x00", b"[" * 5000, b'{"id":', b"[]", b"7", b'""'):
        client.send_bytes(garbage + b"\n")
    assert "result" in client.call("tools/call", 2)
    assert any(message["method"] == "notifications/garbage" for message in client.others)


def test_a_line_that_is_too_long_is_refused_by_its_id_and_the_next_one_is_served(connect):
    client = connect()
    client.handshake()
    client.send("tools/call", 7, text="x" * (17 * 1024 * 1024))
    refusal = client.answer_to(7)["error"]
    assert "too long" in refusal["message"]
    assert "result" in client.call("tools/call", 8)


def test_a_line_just_within_the_limit_arrives_whole(connect):
    client = connect()
    client.handshake()
    text = "x" * (16 * 1024 * 1024 - 1000)
    assert client.call("tools/call", 7, text=text)["result"]["echo"]["text"] == text


def peak_memory(pid):
    """Bytes, the most the process has ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_a_client_that_does_not_read_for_a_while_loses_nothing_and_fills_no_memory(connect, home):
    client = connect()
    client.handshake()
    count, size = 50, 3_000_000
    for number in range(count):
        client.send("big", number, size=size)
    home.wait_for_note(f"request {count - 1} big")
    received = {}
    while len(received) < count:
        message = client.receive()
        received[message["id"]] = len(message["result"])
    assert received == dict.fromkeys(range(count), size)
    assert peak_memory(client.process.pid) < 80 * MIB


def is_blocked(client):
    """Whether the relay sleeps although its client's pipe is full."""
    waiting = struct.unpack("i", fcntl.ioctl(client.process.stdin, termios.FIONREAD, b"1234"))[0]
    state = Path(f"/proc/{client.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return waiting >= 65536 and state == "S"


def test_an_engine_that_does_not_read_for_a_while_loses_nothing_and_fills_no_memory(connect, home):
    client = connect()
    client.handshake()
    pid, count = home.engines()[0], 8
    os.kill(pid, signal.SIGSTOP)
    text = "x" * (15 * MIB)
    writer = threading.Thread(target=lambda: [client.send("tools/call", number, text=text) for number in range(count)])
    writer.start()
    wait_until(lambda: peak_memory(client.process.pid) > 64 * MIB and is_blocked(client), "the relay's buffer is full")
    peak = peak_memory(client.process.pid)
    os.kill(pid, signal.SIGCONT)
    answered = {client.receive()["id"] for _ in range(count)}
    writer.join()
    assert answered == set(range(count))
    assert peak < (64 + 8 + 5 * 15) * MIB  # what waits, what is on its way, and what it takes to read one such line


def test_the_hello_says_who_asks_and_where_work_runs(monkeypatch, tmp_path):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to("/usr/bin/env")
    monkeypatch.chdir(tmp_path)
    environ = {"PATH": "/bin", "LC_ALL": "C", "SECRET": "s", "PYTHONPATH": "lib", "MCP_SCHEDULER_ATTEMPT": "a-1.1"}
    hello = make_hello("mcp", principal="me", commands=["python *"], environ=environ)
    assert hello["environment"]["python"] == str(tmp_path / ".venv/bin/python")
    assert hello["environment"]["path"] == [str(tmp_path / "lib")]
    assert hello["environment"]["variables"] == {"PATH": "/bin", "LC_ALL": "C"}
    assert hello["grant"] == {"any_command": False, "commands": ["python *"]}
    assert hello["attempt"] == "a-1.1"
