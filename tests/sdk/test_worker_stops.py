"""Stops of calls and of the worker: each hits what it is meant for, and nothing else."""

from __future__ import annotations

import json
import signal

import pytest


@pytest.mark.parametrize("function", ["fns.wait_for", "fns.stubborn", "fns.sleep_for_ever"])
def test_a_stop_ends_the_call_gives_back_the_rest_and_ends_the_worker(bench, engine, function):
    arguments = {} if function == "fns.sleep_for_ever" else {"path": "/nowhere/at/all"}
    first = ["a-1.1", {"function": function, "arguments": arguments, "timeout": 100}]
    engine.send(calls=[first, *[[f"a-{n}.1", {"function": "fns.add", "arguments": {"a": n}}] for n in (2, 3)]])
    engine.expect("began")
    bench.stop("a-1.1", "timeout")
    outcome = engine.done("a-1.1")
    assert outcome["reason"] == "timeout"
    assert outcome["result"] is None
    assert engine.expect("returned") == ["a-2.1", "a-3.1"]
    assert bench.exit_code() == 0
    assert bench.record("a-1.1")["reason"] == "timeout"


def test_a_late_stop_does_not_hit_the_next_call(bench, engine):
    engine.result("a-1.1", "fns.add", a=1)
    go = bench.folder / "go"
    engine.call("a-2.1", "fns.wait_for", path=str(go), timeout=100)
    engine.expect("began")
    bench.now.ask_stop(bench.now.running().sequence - 2, "cancelled")
    bench.process.send_signal(signal.SIGTERM)
    go.touch()
    assert engine.done("a-2.1")["reason"] is None
    assert engine.result("a-3.1", "fns.add", a=1) == 3


def test_a_stop_that_is_heard_when_its_call_is_over_changes_nothing(bench, engine):
    gate = bench.gate()
    first = ["a-1.1", {"function": "fns.gated", "arguments": gate.arguments}]
    engine.send(calls=[first, ["a-2.1", {"function": "fns.add", "arguments": {"a": 1}}]])
    gate.reached()
    bench.stop("a-1.1", "cancelled")
    gate.open()
    assert engine.done("a-1.1")["reason"] is None
    assert json.loads(engine.done("a-2.1")["result"]) == 3
    assert engine.result("a-3.1", "fns.add", a=2) == 4


def test_an_end_counts_even_where_the_stop_of_a_call_has_missed(bench, engine):
    gate = bench.gate()
    first = ["a-1.1", {"function": "fns.gated", "arguments": gate.arguments}]
    engine.send(calls=[first, ["a-2.1", {"function": "fns.add", "arguments": {"a": 1}}]])
    gate.reached()
    bench.stop("a-1.1", "cancelled")
    bench.stop(None, "")
    gate.open()
    assert engine.done("a-1.1")["reason"] is None
    assert engine.expect("retiring")
    assert engine.expect("returned") == ["a-2.1"]
    assert bench.exit_code() == 0


def test_an_idle_worker_ends_when_asked_and_says_so_first(bench, engine):
    bench.stop(None, "")
    assert engine.expect("retiring")
    assert bench.exit_code() == 0


def test_a_call_in_a_thread_can_ask_whether_it_is_cancelled(bench, engine):
    code = (
        "t = current_task()\nwhile not t.cancelled:\n  try: time.sleep(0.001)\n  except BaseException: pass\nresult = 1"
    )
    engine.call("a-1.1", "fns.run", code=code, timeout=100)
    engine.expect("began")
    bench.stop("a-1.1", "cancelled")
    assert engine.done("a-1.1")["reason"] == "cancelled"
