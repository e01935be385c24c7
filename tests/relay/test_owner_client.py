"""The owner's client: calls, errors of the right class, engines that come and go."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_scheduler.errors import SchedulerError, Unavailable, UnknownTask
from mcp_scheduler.hello import make_hello
from mcp_scheduler.owner import OwnerClient, to_error
from mcp_scheduler.remote import RemoteService
from mcp_scheduler.vigil import Vigil

STANDIN = str(Path(__file__).with_name("standin.py"))


@pytest.fixture
def owner(home):
    with OwnerClient(
        home, make_hello("owner", client="cli"), commands=[[sys.executable, STANDIN, home.path]]
    ) as client:
        yield client
    os.waitpid(home.engines()[-1], os.WNOHANG)


def test_a_call_starts_the_engine_and_is_answered(owner, home):
    texts = []
    result = owner.call("submit", {"name": "größer"}, progress=texts.append)
    assert result["params"] == {"name": "größer"}
    assert result["pid"] == home.engines()[0] == owner.engine["pid"]
    assert texts == ["half"]


def test_an_error_comes_back_as_its_own_class(owner):
    with pytest.raises(UnknownTask, match="No such task") as caught:
        owner.call("fail", {})
    assert caught.value.facts == {"id": "a"}
    assert "list_tasks" in caught.value.hint
    assert owner.call("submit", {})


def test_a_call_goes_on_with_the_next_engine_when_its_own_dies(owner, home):
    result = owner.call("die", {})
    assert result["resumed"] is True
    assert len(home.engines()) == 2


def test_a_call_can_be_given_a_limit(owner):
    with pytest.raises(Unavailable, match="in time"):
        owner.call("silence", {}, timeout=0.1)
    assert owner.call("submit", {"n": 2})["params"] == {"n": 2}


def test_an_engine_that_stands_still_is_named_with_what_to_do(home):
    hello, commands = make_hello("owner", client="cli"), [[sys.executable, STANDIN, home.path]]
    with OwnerClient(home, hello, commands=commands, vigil=Vigil(0.2, 0.3)) as client:
        pid = client.call("submit", {})["pid"]
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(Unavailable, match=f"process {pid}.* it is stopped") as caught:
            client.call("submit", {"late": 1})
        assert f"kill -CONT {pid}" in caught.value.hint
        os.kill(pid, signal.SIGCONT)
        assert client.call("submit", {"late": 2})["params"] == {"late": 2}, "the answer that came too late is nobody's"


def test_a_python_program_is_told_the_same(owner, home):
    pid = owner.call("submit", {})["pid"]

    async def ask():
        async with RemoteService(home, make_hello("owner", client="python"), Vigil(0.2, 0.3)) as service:
            os.kill(pid, signal.SIGSTOP)
            with pytest.raises(Unavailable, match=f"process {pid}.* it is stopped"):
                await service.call("submit", {"late": 1})
            os.kill(pid, signal.SIGCONT)
            return await service.call("submit", {"late": 2})

    assert asyncio.run(ask())["params"] == {"late": 2}


def test_a_door_that_a_stopped_engine_does_not_open_names_it(owner, home):
    pid = owner.call("submit", {})["pid"]
    os.kill(pid, signal.SIGSTOP)
    with OwnerClient(home, limit=0.3) as client, pytest.raises(Unavailable, match=f"process {pid}.* it is stopped"):
        client.call("submit", {})
    os.kill(pid, signal.SIGCONT)


def test_an_engine_that_is_long_silent_and_lives_is_left_in_peace(home):
    hello, commands = make_hello("owner", client="cli"), [[sys.executable, STANDIN, home.path]]
    with OwnerClient(home, hello, commands=commands, vigil=Vigil(0.1, 0.5)) as client:
        assert client.call("submit", {})
        with pytest.raises(Unavailable, match="in time"):
            client.call("silence", {}, timeout=2.0)


def test_a_large_call_and_its_large_answer_arrive_whole(owner):
    text = "x" * 3_000_000
    assert owner.call("submit", {"text": text})["params"]["text"] == text


def test_where_no_engine_shall_be_started_none_is(home):
    with OwnerClient(home, start=False) as client, pytest.raises(Unavailable, match="No engine runs"):
        client.call("status", {})
    assert home.engines() == []


def test_an_engine_that_does_not_answer_is_named_by_its_process(owner, home):
    pid = owner.call("submit", {})["pid"]
    os.kill(pid, 19)
    try:
        with OwnerClient(home, limit=0.2) as second, pytest.raises(Unavailable, match=f"process {pid}"):
            second.call("status", {})
    finally:
        os.kill(pid, 18)


def test_an_unknown_code_is_still_an_error_of_the_scheduler():
    error = to_error("from_the_future", "Words.", "A hint.")
    assert type(error) is SchedulerError
    assert str(error) == "Words. A hint."


def test_the_client_imports_nothing_heavy():
    code = (
        "import sys, mcp_scheduler.owner\n"
        "heavy = {'asyncio', 'pydantic', 'mcp', 'sqlalchemy', 'typer', 'subprocess', 'dataclasses'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
