"""Workers that give way to fresh ones."""

from __future__ import annotations

import sys
from types import ModuleType

from worker_functions import SOURCE

from mcp_scheduler.sdk.renewal import PAUSE, Code, Renewal


def test_changed_code_makes_the_worker_give_way_before_the_next_call(bench, engine):
    fingerprint = engine.expect("catalogue")["functions"][0]["fingerprint"]
    bench.write("fns.py", SOURCE.replace("a + b", "a - b"))
    number, reason = 0, None
    while reason is None:  # looked for at most once a second
        number += 1
        engine.send(ack=[f"a-{number - 1}.1"])
        engine.call(f"a-{number}.1", "fns.add", a=1)
        message = engine.next("done", "retiring")
        reason = message.get("retiring")
    assert reason == f"code changed: {bench.folder}/fns.py"
    assert engine.expect("returned") == [f"a-{number}.1"]
    assert bench.exit_code() == 0
    engine = bench.restart()
    assert engine.expect("catalogue")["functions"][0]["fingerprint"] != fingerprint
    assert engine.result("b-1.1", "fns.add", a=1) == -1


def test_a_worker_gives_way_after_its_number_of_calls(bench):
    engine = bench.start(bench.write("fns.py", SOURCE), calls=2)
    engine.send(calls=[[f"a-{n}.1", {"function": "fns.add", "arguments": {"a": n}}] for n in range(4)])
    assert engine.expect("retiring") == "it has run its number of calls"
    assert engine.expect("returned") == ["a-2.1", "a-3.1"]
    assert bench.exit_code() == 0
    assert bench.record("a-1.1")["result"] == "3"


def test_a_worker_gives_way_when_it_has_grown(bench):
    engine = bench.start(bench.write("fns.py", SOURCE), growth=50 << 20)
    engine.run("import builtins; builtins.kept = bytearray(100 << 20); time.sleep(1)")
    engine.call("a-2.1", "fns.add", a=1)
    assert "memory grew" in engine.expect("retiring")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def loaded(tmp_path, monkeypatch, name):
    """A module of the user's, as this process has loaded it."""
    file = tmp_path / f"{name}.py"
    file.write_text("x = 1")
    module = ModuleType(name)
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, name, module)
    return file


def test_after_a_pause_changed_code_is_seen_at_once(tmp_path, monkeypatch):
    file, code, clock = loaded(tmp_path, monkeypatch, "first_of_mine"), Code("/nowhere"), Clock()
    code.look()
    renewal = Renewal(code, most_calls=100, most_growth=1 << 40, clock=clock)
    file.write_text("x = 1000")
    assert renewal.due() == "", "it has just begun"
    renewal.rests()
    clock.now += PAUSE / 2
    assert renewal.due() == "", "calls follow each other"
    renewal.rests()
    clock.now += PAUSE
    assert renewal.due() == f"code changed: {file}"


def test_what_a_call_loads_is_known_as_it_was_loaded(tmp_path, monkeypatch):
    code, clock = Code("/nowhere"), Clock()
    code.look()
    renewal = Renewal(code, most_calls=100, most_growth=1 << 40, clock=clock)
    assert renewal.due() == ""
    file = loaded(tmp_path, monkeypatch, "second_of_mine")
    renewal.rests()
    file.write_text("x = 1000")
    clock.now += PAUSE
    assert renewal.due() == f"code changed: {file}"
