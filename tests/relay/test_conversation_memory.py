"""What the relay remembers of a conversation: lines in, lines out, no process at all."""

import json

import pytest

from mcp_scheduler.conversation import RESENDINGS, Conversation


def line(**message):
    return json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n"


def request(number, method="tools/call", **params):
    return line(id=number, method=method, params=params)


def lines(data):
    return [json.loads(part) for part in data.splitlines()]


@pytest.fixture
def talk():
    """A conversation after its handshake."""
    talk = Conversation()
    talk.from_client(request(0, "initialize"))
    talk.from_engine(line(id=0, result={}))
    talk.from_client(line(method="notifications/initialized"))
    return talk


def lose(talk):
    told = talk.engine_lost()
    talk.from_engine(line(id=0, result={})) if talk.handshake() else None
    return told, lines(talk.unfinished())


def test_lines_pass_unchanged_while_the_first_engine_lives(talk):
    for odd in (b'{ "id" : 5,"method":"x" }\n', b"garbage\n", b"[]\n", b"\n", line(id=5, result=1)):
        assert talk.from_client(odd) == odd
    for odd in (line(id=9, method="roots/list"), b"garbage\n", line(id=5, result=1), line(method="notifications/x")):
        assert talk.from_engine(odd) == odd


def test_what_is_answered_is_not_sent_again(talk):
    talk.from_client(request(1))
    talk.from_client(request(2))
    talk.from_engine(line(id=1, error={"code": 1}))
    _, again = lose(talk)
    assert [message.get("id") for message in again] == [None, 2]
    assert again[0]["method"] == "notifications/initialized"


@pytest.mark.parametrize(("asked", "answered"), [(1, "1"), ("1", 1), (1, True), (1, 1.0)])
def test_an_answer_of_another_type_of_id_answers_nothing(talk, asked, answered):
    talk.from_client(request(asked))
    talk.from_engine(line(id=answered, result={}))
    assert talk.waits


def test_the_answer_to_the_repeated_handshake_is_swallowed_once(talk):
    talk.engine_lost()
    assert lines(talk.handshake())[0]["method"] == "initialize"
    assert talk.is_replaying
    assert talk.from_engine(line(id=0, result={})) == b""
    assert not talk.is_replaying
    assert talk.from_engine(line(id=0, result={})) != b""


def test_a_handshake_that_was_under_way_is_sent_again_and_its_answer_reaches_the_client():
    talk = Conversation()
    talk.from_client(request("init", "initialize"))
    talk.engine_lost()
    assert talk.handshake() == b""
    assert [message["method"] for message in lines(talk.unfinished())] == ["initialize"]
    assert talk.from_engine(line(id="init", result={})) != b""


def test_a_handshake_that_was_refused_is_forgotten():
    talk = Conversation()
    talk.from_client(request(0, "initialize"))
    talk.from_engine(line(id=0, error={"code": -32600}))
    talk.engine_lost()
    assert talk.handshake() == b""
    assert talk.unfinished() == b""


def test_a_death_during_the_repeated_handshake_repeats_it(talk):
    talk.engine_lost()
    assert talk.handshake()
    talk.engine_lost()
    assert lines(talk.handshake())[0]["method"] == "initialize"


def test_subscriptions_and_the_log_level_are_renewed_and_their_answers_swallowed(talk):
    for number, uri in ((1, "task://a"), (2, "task://b")):
        talk.from_client(request(number, "resources/subscribe", uri=uri))
        talk.from_engine(line(id=number, result={}))
    talk.from_client(request(3, "resources/unsubscribe", uri="task://b"))
    talk.from_engine(line(id=3, result={}))
    _, again = lose(talk)
    assert [message.get("params", {}).get("uri") for message in again] == [{}.get("uri"), "task://a"]
    assert talk.from_engine(line(id=1, result={})) == b""


def test_a_listening_stream_is_no_reason_to_wait_but_is_renewed(talk):
    talk.from_client(request("s", "subscriptions/listen"))
    assert not talk.waits
    _, again = lose(talk)
    assert again[-1]["id"] == "s"


def test_questions_of_later_engines_are_marked_and_their_answers_unmarked(talk):
    lose(talk)
    question = lines(talk.from_engine(line(id=3, method="elicitation/create", params={})))[0]
    assert question["id"] != 3
    answer = lines(talk.from_client(line(id=question["id"], result={"a": 1})))[0]
    assert (answer["id"], answer["result"]) == (3, {"a": 1})
    assert talk.from_client(line(id=question["id"], result={})) == b""
    withdrawn = line(id="q", method="elicitation/create", params={})
    marked = lines(talk.from_engine(withdrawn))[0]["id"]
    cancelled = talk.from_engine(line(method="notifications/cancelled", params={"requestId": "q"}))
    assert lines(cancelled)[0]["params"]["requestId"] == marked


def test_an_open_question_of_a_dead_engine_is_withdrawn_and_its_answer_dropped(talk):
    talk.from_engine(line(id=3, method="elicitation/create", params={}))
    told, _ = lose(talk)
    assert [message["params"] for message in lines(told)] == [{"requestId": 3}]
    assert talk.from_client(line(id=3, result={})) == b""


def test_giving_up_answers_everything_once(talk):
    talk.from_client(request(1))
    talk.from_client(request("2", "tools/list"))
    answers = {message["id"]: message for message in lines(talk.give_up("no engine"))}
    assert answers[1]["result"]["isError"] is True
    assert answers[1]["result"]["content"] == [{"type": "text", "text": "no engine"}]
    assert answers["2"]["error"]["message"] == "no engine"
    assert talk.give_up("no engine") == b""
    assert not talk.waits


def test_only_what_was_sent_too_often_is_worn(talk):
    talk.from_client(request(1))
    talk.from_client(request("s", "subscriptions/listen"))
    for _ in range(RESENDINGS):
        assert talk.give_up("worn", only_worn=True) == b""
        lose(talk)
    talk.from_client(request(2))
    assert [message["id"] for message in lines(talk.give_up("worn", only_worn=True))] == [1]
    assert [message.get("id") for message in lose(talk)[1]] == [None, "s", 2]
