"""An engine dies, hangs, is replaced or cannot start: what the client sees of that."""

import json
import os
import signal
from pathlib import Path

from standin_client import kill, wait_until

MODERN = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}


def test_a_killed_engine_is_replaced_and_what_was_unanswered_is_answered_in_order(connect, home, tmp_path):
    client = connect()
    first = client.handshake()["result"]["pid"]
    for number in (1, 2, 3):
        client.send("wait_for_file", number, file=str(tmp_path / str(number)))
    home.wait_for_note("request 3 wait_for_file")
    home.kill_engine()
    home.wait_for_note("request 3 wait_for_file", times=2)
    for number in (1, 2, 3):
        (tmp_path / str(number)).touch()
    pids = {client.answer_to(number)["result"]["pid"] for number in (1, 2, 3)}
    assert pids == {home.engines()[1]} != {first}
    requests = [text for pid, text in home.notes() if int(pid) == home.engines()[1] and text.startswith("request")]
    assert requests == ["request 0 initialize", *(f"request {number} wait_for_file" for number in (1, 2, 3))]
    assert [message for message in client.others if message.get("id") == 0] == []  # the second answer is swallowed


def test_the_door_keeps_its_id_and_says_that_it_resumes(connect, home):
    client = connect()
    client.handshake()
    home.kill_engine()
    client.call("tools/call", 1)
    doors = [text.split() for _, text in home.notes() if text.startswith("door")]
    assert [door[2] for door in doors] == ["resumed=False", "resumed=True"]
    assert doors[0][1] == doors[1][1]


def test_an_engine_killed_again_and_again_costs_no_answer(connect, home, tmp_path):
    client = connect()
    client.handshake()
    client.send("wait_for_file", "slow", file=str(tmp_path / "go"))
    for round_ in range(5):
        home.wait_for_note('request "slow" wait_for_file', times=round_ + 1)
        home.kill_engine()
    assert client.call("tools/call", 9)["result"]["pid"] == home.engines()[5]
    (tmp_path / "go").touch()
    assert client.answer_to("slow")["result"]["seen"]


def test_a_request_that_kills_every_engine_is_given_up_and_the_others_are_not(connect, home, tmp_path):
    client = connect()
    client.handshake()
    client.send("die", 1)
    assert "again and again" in client.answer_to(1)["error"]["message"]
    assert "result" in client.call("tools/call", 2)


def test_a_stream_is_listened_to_again_at_the_next_engine(connect, home):
    client = connect()
    client.handshake()
    client.send("subscriptions/listen", "stream")
    home.wait_for_note('request "stream" subscriptions/listen')
    home.kill_engine()
    home.wait_for_note('request "stream" subscriptions/listen', times=2)


def test_a_cancelled_request_is_not_sent_to_the_next_engine(connect, home, tmp_path):
    client = connect()
    client.handshake()
    client.send("wait_for_file", 1, file=str(tmp_path / "never"))
    client.send("notifications/cancelled", requestId=1)
    home.wait_for_note("cancelled 1")
    home.kill_engine()
    client.call("tools/call", 2)
    assert home.seen("request 1 wait_for_file") == 1


def test_an_answer_to_a_dead_engine_never_answers_the_question_of_the_next(connect, home):
    client = connect()
    client.handshake()
    client.send("ask", 1, die_after_asking=True)
    asked = [client.receive()]
    assert asked[0]["params"]["message"] == "first"
    void = client.receive()
    assert (void["method"], void["params"]) == ("notifications/cancelled", {"requestId": asked[0]["id"]})
    asked.append(client.receive())
    assert asked[1]["params"]["message"] == "second"
    for question in asked:
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"to": question["params"]["message"]}}
        client.send_bytes(json.dumps(answer).encode() + b"\n")
    assert client.answer_to(1)["result"] == {"to": "second"}


def test_requests_made_while_no_engine_runs_wait_for_the_next(connect, home):
    client = connect()
    client.handshake()
    home.kill_engine()
    numbers = range(10, 60)
    for number in numbers:
        client.send("tools/call", number)
    assert [client.answer_to(number)["result"]["pid"] for number in numbers] == [home.engines()[1]] * 50


def test_twenty_relays_on_an_empty_folder_end_with_one_engine(connect, home):
    clients = [connect() for _ in range(20)]
    pids = {client.handshake()["result"]["pid"] for client in clients}
    assert len(pids) == 1
    assert home.engines() == [*pids]


def test_twenty_relays_whose_engine_is_killed_end_with_one_engine(connect, home):
    clients = [connect() for _ in range(20)]
    for client in clients:
        client.handshake()
    home.kill_engine()
    pids = {client.call("tools/call", 1)["result"]["pid"] for client in clients}
    assert pids == {home.engines()[1]}
    assert len(home.engines()) == 2


def test_without_an_engine_a_tool_call_ends_with_a_result_that_a_model_can_read(connect, home):
    client = connect("--broken")
    error = client.call("initialize", 0)["error"]
    assert error["code"] == -32603
    client.send("tools/call", 1, name="x", _meta=MODERN)
    result = client.answer_to(1)["result"]
    assert result["isError"] is True
    assert result["resultType"] == "complete"
    text = result["content"][0]["text"]
    assert "the database is on fire" in text
    assert home.log_file in text
    client.send("tools/call", 2, name="x")
    assert "resultType" not in client.answer_to(2)["result"]


def test_an_engine_that_could_not_start_is_tried_again_with_the_next_call(connect, home):
    Path(home.file("fire")).touch()
    client = connect("--broken-while", home.file("fire"))
    assert "error" in client.call("initialize", 0)
    Path(home.file("fire")).unlink()
    assert "result" in client.call("initialize", 1)


def test_of_a_message_that_was_half_sent_the_next_engine_gets_the_whole(connect, home):
    client = connect()
    client.handshake()
    os.kill(home.engines()[0], signal.SIGSTOP)
    text = "x" * 5_000_000
    client.send("tools/call", 1, text=text)
    wait_until(client.is_read, "the relay has read it all")
    home.kill_engine()
    assert client.answer_to(1)["result"]["echo"]["text"] == text
    assert [message["method"] for message in client.others] == []


def test_a_newer_relay_takes_the_home_over_from_an_older_engine(connect, home):
    older = connect("--version", "0.0.1")
    first = older.call("initialize", 0)["result"]["pid"]
    older.send("notifications/initialized")
    # This relay is newer than that engine; the older client, which has the older engine's options, goes on with it.
    newer = connect()
    second = newer.handshake()["result"]["pid"]
    assert second != first
    assert home.newest()["version"] != "0.0.1"
    assert "result" in older.call("tools/call", 1)
    assert "result" in newer.call("tools/call", 1)


def test_an_older_embedded_engine_is_left_in_peace(connect, home):
    embedded = connect("--version", "0.0.1", "--embedded")
    pid = embedded.handshake()["result"]["pid"]
    assert connect().handshake()["result"]["pid"] == pid


def test_inside_an_attempt_a_relay_is_refused_and_starts_no_engine(connect, home):
    outside = connect()
    outside.handshake()
    inside = connect(environ={"MCP_SCHEDULER_ATTEMPT": "train-7f3k9q2m.1"})
    error = inside.call("initialize", 0)["error"]["message"]
    assert "train-7f3k9q2m.1" in error


def test_where_the_engine_allows_it_a_process_of_an_attempt_opens_a_door(connect, home):
    connect("--nested").handshake()
    inside = connect(environ={"MCP_SCHEDULER_ATTEMPT": "train-7f3k9q2m.1"})
    assert "result" in inside.handshake()


def test_a_frozen_engine_is_waited_for_while_the_client_can_still_leave(connect, home):
    first = connect()
    first.handshake()
    pid = home.engines()[0]
    os.kill(pid, signal.SIGSTOP)
    client = connect()
    client.send("initialize", 0)
    client.process.stdin.close()
    assert client.wait(3) == 0
    kill(pid)
