"""What a call sees, returns and leaves behind."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from worker_functions import SOURCE


def test_a_fresh_worker_says_what_it_offers(bench):
    engine = bench.start(bench.write("fns.py", SOURCE))
    hello = engine.expect("hello")
    assert hello == {
        "worker": "w1",
        "pid": bench.process.pid,
        "current": None,
        "began": None,
        "unacked": [],
        "queued": [],
    }
    catalogue = engine.expect("catalogue")
    assert catalogue["problems"] == []
    entries = {entry["name"]: entry for entry in catalogue["functions"]}
    assert entries["fns.slow-one"]["options"] == {"timeout": 5}
    assert entries["fns.add"]["summary"] == "Adds."
    assert entries["fns.add"]["parameters"]["required"] == ["a"]
    engine.send(describe=True)
    assert engine.expect("catalogue") == catalogue


def test_a_window_of_calls_is_answered_in_order(engine):
    calls = [[f"a-{n}.1", {"function": "fns.add", "arguments": {"a": n}}] for n in range(100)]
    engine.send(calls=calls)
    results = {}
    while len(results) < 100:
        results.update(engine.expect("done"))
    assert [json.loads(outcome["result"]) for outcome in results.values()] == [n + 2 for n in range(100)]
    one = results["a-0.1"]
    assert one["reason"] is None
    assert one["result_size"] == 1
    assert 0 < one["seconds"] < 5
    assert one["at"] > 1e9
    assert len(one["fingerprint"]) == 16


def test_more_calls_than_the_now_file_has_room_for_wait_for_acks(engine):
    engine.send(calls=[[f"a-{n}.1", {"function": "fns.add", "arguments": {"a": n}}] for n in range(1500)])
    seen = 0
    while seen < 1500:
        done = engine.expect("done")
        seen += len(done)
        engine.send(ack=[attempt for attempt, _ in done])


def test_async_functions_run_on_one_loop(engine):
    assert engine.result("a-1.1", "fns.slow-one", x=3) == 3
    engine.call("a-2.1", "fns.slow-one", x=4, timeout=9)
    assert engine.expect("began")[0] == "a-2.1"
    assert json.loads(engine.done("a-2.1")["result"]) == 4


def test_an_error_is_told_in_the_users_frames_alone(engine):
    outcome = engine.failure("a-1.1", "fns.fail", text="no luck")
    assert outcome["reason"] == "error"
    assert outcome["error"].startswith("ValueError: no luck\n")
    assert "fns.py" in outcome["error"]
    assert "calls.py" not in outcome["error"]


def test_wrong_arguments_and_unknown_functions_are_rejected(engine):
    for function, arguments in (("fns.add", {"a": "x"}), ("fns.add", {}), ("fns.nothing", {})):
        assert engine.failure("a-1.1", function, **arguments)["reason"] == "rejected"


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        ("sys.exit(3)", "error", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "error", "KeyboardInterrupt"),
        ("raise MemoryError", "out_of_memory", "MemoryError"),
        ("raise type('OutOfMemoryError', (RuntimeError,), {})('CUDA')", "out_of_memory", "CUDA"),
        ("result = {1, 2}", "error", "current_task().folder"),
        ("result = float('nan')", "error", "not JSON"),
        ("result = type('P', (dict,), {'items': lambda s: 1 / 0})(a=1)", "error", ""),
    ],
)
def test_what_user_code_does_wrong_ends_its_call_and_no_more(engine, code, reason, text):
    outcome = engine.failure("a-1.1", "fns.run", code=code)
    assert outcome["reason"] == reason
    assert text in outcome["error"]
    assert engine.result("a-2.1", "fns.add", a=1) == 3


@pytest.mark.parametrize(
    "code",
    [
        "os.close(1); os.close(2)",
        "sys.stdout.close(); sys.stderr.close()",
        "os.dup2(os.open('/dev/null', os.O_RDWR), 1); sys.stdout = None",
        "os.chdir('/')",
        "import tempfile, shutil; d = tempfile.mkdtemp(); os.chdir(d); shutil.rmtree(d)",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "threading.Thread(target=time.sleep, args=(3600,)).start()",
        "os.fork()",
        "if os.fork() == 0: sys.exit(1)",
        "import multiprocessing as m; p = m.get_context('fork').Process(target=print); p.start(); p.join()",
        "async def f(): asyncio.get_running_loop().create_task(sleep_for_ever())\nresult = None; x = f(); x.close()",
    ],
)
def test_what_user_code_leaves_behind_does_not_reach_the_next_call(bench, engine, code):
    engine.call("a-1.1", "fns.run", code=code)
    engine.done("a-1.1")
    assert engine.run("print('still heard'); result = os.getcwd()", "a-2.1") == str(bench.folder)
    assert bench.printed["a-2.1"] == b"still heard\n"
    engine.send(bye=True)
    assert bench.exit_code() == 0


def test_a_process_that_user_code_spawns_finds_the_functions(engine):
    code = "import multiprocessing as m, fns\nwith m.get_context('spawn').Pool(1) as p: result = p.map(fns.add, [1, 2])"
    assert engine.run(code) == [3, 4]


def test_a_worker_that_dies_in_a_call_leaves_its_name_in_the_now_file(bench, engine):
    engine.send(calls=[[f"a-{n}.1", {"function": "fns.run", "arguments": {"code": "os._exit(9)"}}] for n in (1, 2)])
    assert bench.exit_code() == 9
    assert bench.now.running().attempt == "a-1.1"
    assert bench.now.begun() == ["a-1.1"]


def test_output_is_told_apart_by_call(bench, engine):
    for n in range(20):
        engine.run(f"print('out {n}'); sys.stderr.write('err {n} '); os.system('echo child {n}')", f"a-{n}.1")
    for n in range(20):
        printed = bench.printed[f"a-{n}.1"].decode()
        assert sorted(printed.split()) == sorted(f"out {n} err {n} child {n}".split())


def test_a_call_knows_its_task(bench, engine):
    code = (
        "t = current_task(); t.progress(0.5, 'half'); (t.folder / 'x').write_text('y')\n"
        "result = [t.id, t.attempt, t.name, str(t.folder), os.environ['MCP_SCHEDULER_ATTEMPT'], t.cancelled]"
    )
    folder = str(bench.folder / "tasks" / "train-abc")
    assert engine.run(code, "train-abc.2") == ["train-abc", 2, "n", folder, "train-abc.2", False]
    assert engine.expect("progress") == ["train-abc.2", 0.5, "half"]
    assert Path(folder, "x").exists()


def test_progress_is_limited_but_its_end_is_told(engine):
    engine.run("for n in range(1001): current_task().progress(n / 1000)")
    assert engine.expect("progress")[1] == 0
    fractions = []
    while not fractions or fractions[-1] < 1:
        fractions.append(engine.expect("progress")[1])
    assert len(fractions) < 50


def test_a_large_result_becomes_a_file_named_by_its_content(bench, engine):
    engine.call("a-1.1", "fns.run", code="result = 'x' * 100_000")
    outcome = engine.done("a-1.1")
    raw = b'"' + b"x" * 100_000 + b'"'
    assert outcome["result"] is None
    assert outcome["result_size"] == len(raw)
    assert outcome["result_file"] == hashlib.sha256(raw).hexdigest()
    assert (bench.folder / "results" / outcome["result_file"][:2] / outcome["result_file"]).read_bytes() == raw


def test_a_result_beyond_the_limit_is_refused(bench):
    engine = bench.start(bench.write("fns.py", SOURCE), result=1000)
    assert "more than the 1,000 allowed" in engine.failure("a-1.1", "fns.run", code="result = 'x' * 1000")["error"]


def test_the_memory_of_a_call_is_measured(engine):
    engine.call("a-1.1", "fns.run", code="x = bytearray(200 << 20)")
    high = engine.done("a-1.1")["memory_peak"]
    engine.call("a-2.1", "fns.run", code="time.sleep(0.002)")
    assert high > 200 << 20
    assert engine.done("a-2.1")["memory_peak"] < high - (100 << 20)
