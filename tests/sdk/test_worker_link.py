"""Recall, acknowledgements, and engines that come and go."""

from __future__ import annotations

import json

from worker_functions import SOURCE


def test_a_recall_gives_back_what_has_not_begun(bench, engine):
    go = bench.folder / "go"
    first = ["a-1.1", {"function": "fns.wait_for", "arguments": {"path": str(go)}, "timeout": 100}]
    engine.send(calls=[first, ["a-2.1", {"function": "fns.add", "arguments": {"a": 1}}]])
    engine.expect("began")
    engine.send(recall=True)
    assert engine.expect("returned") == ["a-2.1"]
    go.touch()
    assert json.loads(engine.done("a-1.1")["result"]) == "came"


def test_acknowledged_results_are_forgotten(bench, engine):
    engine.expect("catalogue")
    engine.result("a-1.1", "fns.add", a=1)
    engine.result("a-2.1", "fns.add", a=2)
    engine.send(ack=["a-1.1"])
    engine.send(describe=True)  # answered after the ack was obeyed
    engine.expect("catalogue")
    assert bench.now.begun() == ["a-2.1"]
    engine.close()
    again = bench.connect()
    assert again.expect("hello")["unacked"] == ["a-2.1"]
    assert json.loads(again.done("a-2.1")["result"]) == 4


def test_without_an_engine_the_call_is_finished_and_the_rest_is_dropped(bench, engine):
    go = bench.folder / "go"
    engine.result("a-0.1", "fns.add", a=1)
    first = ["a-1.1", {"function": "fns.wait_for", "arguments": {"path": str(go)}, "timeout": 100}]
    engine.send(calls=[first, ["a-2.1", {"function": "fns.add", "arguments": {"a": 1}}]])
    engine.expect("began")
    engine.close()
    again = bench.connect()
    hello = again.expect("hello")
    assert hello["current"] == "a-1.1"
    assert hello["began"] > 1e9
    assert hello["unacked"] == ["a-0.1"]
    assert bench.record("a-0.1")["result"] == "3"
    again.close()
    go.touch()
    third = bench.connect()
    assert third.expect("hello")["queued"] == []
    assert json.loads(third.done("a-1.1")["result"]) == "came"
    assert bench.now.begun() == ["a-0.1", "a-1.1"]
    assert third.result("a-3.1", "fns.add", a=1) == 3


def test_a_worker_alone_and_idle_ends_with_its_results_on_disk(bench):
    engine = bench.start(bench.write("fns.py", SOURCE), alone=0.2)
    engine.result("a-1.1", "fns.add", a=1)
    engine.close()
    assert bench.exit_code() == 0
    record = bench.record("a-1.1")
    assert (record["attempt"], record["result"], record.get("reason")) == ("a-1.1", "3", None)


def test_junk_from_the_engine_ends_the_connection_not_the_worker(bench, engine):
    engine.socket.sendall(b"\xff" * 100)
    again = bench.connect()
    again.expect("hello")
    assert again.result("a-1.1", "fns.add", a=1) == 3


def test_an_outcome_does_not_wait_for_the_long_call_behind_it(bench, engine):
    go = bench.folder / "go"
    calls = [[f"a-{number}.1", {"function": "fns.add", "arguments": {"a": number}}] for number in range(20)]
    engine.send(calls=[*calls, ["long.1", {"function": "fns.wait_for", "arguments": {"path": str(go)}}]])
    told = {}
    while len(told) < len(calls):
        told.update(engine.expect("done"))
    assert [json.loads(told[name]["result"]) for name, _ in calls] == [number + 2 for number in range(20)]
    go.touch()
    assert json.loads(engine.done("long.1")["result"]) == "came"


def test_outcomes_that_wait_for_others_are_told_before_the_worker_ends(bench, engine):
    engine.send(calls=[[f"a-{number}.1", {"function": "fns.add", "arguments": {"a": 1}}] for number in range(20)])
    engine.send(bye=True)
    ended, returned = [], []
    while len(ended) + len(returned) < 20:
        message = engine.next("done", "returned")
        ended += [name for name, _ in message.get("done", ())]
        returned += message.get("returned", ())
    assert [*ended, *returned] == [f"a-{number}.1" for number in range(20)]
    assert bench.exit_code() == 0
