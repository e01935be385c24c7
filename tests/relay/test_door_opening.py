"""The way to an open door, seen from whoever opens it."""

import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from mcp_scheduler.door import Opening, open_door
from mcp_scheduler.hello import capture_environment, make_hello
from mcp_scheduler.home import EXIT_LOCKED, DoorError

STANDIN = str(Path(__file__).with_name("standin.py"))
HELLO = make_hello("owner")


@pytest.fixture
def reap():
    """Openings whose engines are children of this process: they are reaped after the home's engines were killed."""
    openings = []
    yield openings.append
    for opening in openings:
        for started in opening.started:
            if started.exit_code is None:
                os.waitpid(started.pid, 0)


@pytest.fixture
def listener(reap, home):
    """A socket where the engine's would be."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(home.engine_address())
    sock.listen()
    yield sock
    sock.close()


def test_an_engine_that_cannot_start_gives_way_to_the_next_command(reap, home):
    opening = Opening(home, HELLO, commands=[["/bin/false"], [sys.executable, STANDIN, home.path]])
    connection = open_door(opening)
    assert connection.engine["pid"] == opening.started[-1].pid
    assert [started.exit_code for started in opening.started[:-1]] == [1]
    connection.socket.close()
    home.kill_engine()
    reap(opening)


def test_when_no_command_works_the_last_lines_of_the_log_are_told(home):
    opening = Opening(home, HELLO, commands=[["/bin/sh", "-c", "echo the disk is full >&2; exit 3"]])
    with pytest.raises(DoorError, match="exit code 3") as caught:
        open_door(opening)
    assert "the disk is full" in caught.value.hint
    assert opening.socket is None


def test_an_engine_that_is_killed_while_it_starts_is_started_again(reap, home, tmp_path):
    once = f'mkdir {tmp_path}/killed 2>/dev/null && kill -9 $$; exec "$@"'
    opening = Opening(home, HELLO, commands=[["/bin/sh", "-c", once, "sh", sys.executable, STANDIN, home.path]])
    connection = open_door(opening)
    assert [started.exit_code for started in opening.started[:-1]] == [-9]
    connection.socket.close()
    home.kill_engine()
    reap(opening)


def test_engines_that_are_killed_again_and_again_are_told(home):
    opening = Opening(home, HELLO, commands=[["/bin/sh", "-c", "kill -9 $$"]])
    with pytest.raises(DoorError, match="exit code -9"):
        open_door(opening)
    assert len(opening.started) == 3


def test_a_program_that_does_not_exist_is_told_by_name(home):
    with pytest.raises(DoorError, match="/no/such/python"):
        open_door(Opening(home, HELLO, commands=[["/no/such/python"]]))


def test_the_limit_ends_a_start_that_leads_nowhere(reap, home):
    opening = Opening(home, HELLO, commands=[["/bin/sleep", "60"]], limit=0.3)
    with pytest.raises(DoorError, match="has come up"):
        open_door(opening)
    (started,) = opening.started
    os.kill(started.pid, 9)
    reap(opening)


def test_an_engine_that_left_the_home_to_another_one_is_no_failure(home):
    opening = Opening(home, HELLO, commands=[["/bin/sh", "-c", f"exit {EXIT_LOCKED}"]], limit=0.3)
    with pytest.raises(DoorError, match="has come up"):
        open_door(opening)


def test_whoever_answers_something_else_is_no_engine(home, listener):
    def answer():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\n")
        connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(DoorError, match="does not speak this protocol"):
        open_door(Opening(home, HELLO, start=False))
    thread.join()


def test_an_engine_that_leaves_before_its_welcome_is_asked_again(home, listener):
    def answer():
        for reply in (b"", b'{"mcp_scheduler":1,"error":{"code":"shutting_down"}}\n', WELCOME + b"behind it"):
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(reply)
            connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    connection = open_door(Opening(home, HELLO, start=False))
    thread.join()
    assert connection.rest == b"behind it"
    connection.socket.close()


WELCOME = b'{"mcp_scheduler":1,"engine":{"pid":1,"version":"99.0","embedded":false}}\n'


def test_a_door_inside_an_attempt_starts_no_engine(home):
    hello = make_hello("owner", environ={"MCP_SCHEDULER_ATTEMPT": "a.1"})
    opening = Opening(home, hello, commands=[[sys.executable, STANDIN, home.path]], limit=0.3)
    with pytest.raises(DoorError, match="has come up"):
        open_door(opening)
    assert opening.started == []


@pytest.mark.parametrize("relative", [{}, {"cwd": "sub"}, {"functions": ["work.py"]}, {"python": "./python"}])
def test_from_a_folder_that_was_removed_nothing_runs_elsewhere(relative, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert capture_environment(cwd=str(tmp_path))["cwd"] == str(tmp_path)
    with pytest.raises(DoorError, match="has been removed"):
        capture_environment(**{"cwd": str(tmp_path) if relative else "", **relative})
