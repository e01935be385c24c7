"""Workers that give way to fresh ones."""

from __future__ import annotations

from worker_functions import SOURCE


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
