"""Clients, relays and engines start and end in any order."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time

import pytest
from attacked import LIMIT, SETTINGS, end_of, is_alive, submit

pytestmark = pytest.mark.anyio

EXIT = 2.0  # seconds in which a relay without a client has to be gone
HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "crowd", "version": "1"}},
}  # fmt: skip


def relay(house):
    """A relay without an SDK in front of it."""
    return subprocess.Popen(
        house.house.relay_command(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=house.house.environment,
    )  # fmt: skip


def say(process, message):
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()


def answer(process):
    assert select.select([process.stdout], [], [], LIMIT)[0], "no answer"
    return json.loads(process.stdout.readline())


def close(process):
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_twenty_relays_on_an_empty_folder_share_one_engine(house):
    crowd = [relay(house) for _ in range(20)]
    try:
        for one in crowd:
            say(one, HELLO)
        answers = [answer(one) for one in crowd]
        engines = house.house.processes()["engine"]
    finally:
        for one in crowd:
            close(one)
    assert all("result" in told for told in answers), answers
    assert engines == [house.engine()]
    log = (house.house.home / "engine.log").read_text()
    assert log.count("engine ready") == 1


@pytest.mark.parametrize("farewell", ["end of input", "SIGTERM"])
async def test_a_relay_whose_client_left_is_gone_in_two_seconds_and_the_tasks_go_on(house, farewell):
    async with house.client() as client:
        task = await submit(client, "until", "on", arguments={"file": str(house.gate())})
        pid = await house.run_of("on")
    lonely = relay(house)
    try:
        say(lonely, HELLO)
        answer(lonely)
        begun = time.monotonic()
        if farewell == "SIGTERM":
            lonely.send_signal(signal.SIGTERM)
        else:
            lonely.stdin.close()
        lonely.wait(LIMIT)
        assert time.monotonic() - begun < EXIT
    finally:
        close(lonely)
    assert is_alive(pid)
    house.gate().touch()
    async with house.client() as client:
        assert (await end_of(client, task))["result"] == "seen"
    assert house.runs("on") == [pid]


class TestAnEngineThatNobodyNeeds:
    @pytest.fixture
    def settings(self):
        return {**SETTINGS, "MCP_SCHEDULER_ENGINE__IDLE_EXIT": "0.2"}

    async def test_leaves_when_its_work_is_done_and_not_before(self, house):
        async with house.client() as client:
            await submit(client, "until", "last", arguments={"file": str(house.gate())})
            await house.run_of("last")
        engine = house.engine()
        handle = os.pidfd_open(engine)
        assert not select.select([handle], [], [], 1.0)[0], "it left its work"
        house.gate().touch()
        left = select.select([handle], [], [], LIMIT)[0]
        os.close(handle)
        assert left, "it stays for nothing"
        assert not house.house.left_over()
