from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from pathlib import Path

import pytest
from bench import PYTHON

SOURCE = """
    import asyncio, os, subprocess, sys, threading, time
    from pathlib import Path
    from mcp_scheduler import current_task, function

    @function
    def add(a: int, b: int = 2) -> int:
        "Adds."
        return a + b

    @function(name="slow-one", timeout=5)
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @function
    def wait_for(path: Path) -> str:
        while not path.exists():
            time.sleep(0.001)
        return "came"

    @function
    async def sleep_for_ever() -> None:
        await asyncio.sleep(3600)

    @function
    def stubborn(path: Path) -> str:
        try:
            wait_for(path)
        except BaseException:
            pass
        return "partial"

    @function
    def fail(text: str) -> None:
        raise ValueError(text)

    @function
    def run(code: str) -> object:
        names = {}
        exec(code, globals(), names)
        return names.get("result")
"""


@pytest.fixture
def engine(bench):
    engine = bench.start(bench.write("fns.py", SOURCE))
    assert engine.expect("hello")["worker"] == "w1"
    return engine


def run(engine, code, attempt="r-1.1"):
    return engine.result(attempt, "fns.run", code=code)


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
    assert run(engine, "print('still heard'); result = os.getcwd()", "a-2.1") == str(bench.folder)
    assert bench.printed["a-2.1"] == b"still heard\n"
    engine.send(bye=True)
    assert bench.exit_code() == 0


def test_a_process_that_user_code_spawns_finds_the_functions(engine):
    code = "import multiprocessing as m, fns\nwith m.get_context('spawn').Pool(1) as p: result = p.map(fns.add, [1, 2])"
    assert run(engine, code) == [3, 4]


def test_a_worker_that_dies_in_a_call_leaves_its_name_in_the_now_file(bench, engine):
    engine.send(calls=[[f"a-{n}.1", {"function": "fns.run", "arguments": {"code": "os._exit(9)"}}] for n in (1, 2)])
    assert bench.exit_code() == 9
    assert bench.now.running().attempt == "a-1.1"
    assert bench.now.begun() == ["a-1.1"]


def test_output_is_told_apart_by_call(bench, engine):
    for n in range(20):
        run(engine, f"print('out {n}'); sys.stderr.write('err {n} '); os.system('echo child {n}')", f"a-{n}.1")
    for n in range(20):
        printed = bench.printed[f"a-{n}.1"].decode()
        assert sorted(printed.split()) == sorted(f"out {n} err {n} child {n}".split())


def test_a_call_knows_its_task(bench, engine):
    code = (
        "t = current_task(); t.progress(0.5, 'half'); (t.folder / 'x').write_text('y')\n"
        "result = [t.id, t.attempt, t.name, str(t.folder), os.environ['MCP_SCHEDULER_ATTEMPT'], t.cancelled]"
    )
    folder = str(bench.folder / "tasks" / "train-abc")
    assert run(engine, code, "train-abc.2") == ["train-abc", 2, "n", folder, "train-abc.2", False]
    assert engine.expect("progress") == ["train-abc.2", 0.5, "half"]
    assert Path(folder, "x").exists()


def test_progress_is_limited_but_its_end_is_told(engine):
    run(engine, "for n in range(1001): current_task().progress(n / 1000)")
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


# -- stops


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


def test_an_idle_worker_ends_when_asked(bench, engine):
    bench.stop(None, "")
    assert bench.exit_code() == 0


def test_a_call_in_a_thread_can_ask_whether_it_is_cancelled(bench, engine):
    code = (
        "t = current_task()\nwhile not t.cancelled:\n  try: time.sleep(0.001)\n  except BaseException: pass\nresult = 1"
    )
    engine.call("a-1.1", "fns.run", code=code, timeout=100)
    engine.expect("began")
    bench.stop("a-1.1", "cancelled")
    assert engine.done("a-1.1")["reason"] == "cancelled"


# -- recall, acks, the end of the connection


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
    assert (record["attempt"], record["result"], record["reason"]) == ("a-1.1", "3", None)


def test_junk_from_the_engine_ends_the_connection_not_the_worker(bench, engine):
    engine.socket.sendall(b"\xff" * 100)
    again = bench.connect()
    again.expect("hello")
    assert again.result("a-1.1", "fns.add", a=1) == 3


# -- renewal


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
    run(engine, "import builtins; builtins.kept = bytearray(100 << 20); time.sleep(1)")
    engine.call("a-2.1", "fns.add", a=1)
    assert "memory grew" in engine.expect("retiring")


# -- sources


def test_one_bad_source_spoils_no_other(bench):
    bench.write("exits.py", "import sys; sys.exit(3)")
    bench.write("breaks.py", "1 / 0")
    bench.write("json.py", "")
    bench.write("args.py", "from mcp_scheduler import function\n@function\ndef f(*parts): ...\n")
    bench.write("wrong.py", "from mcp_scheduler import function\n@function(timeout=-1)\ndef f(): ...\n")
    good = bench.write("fns.py", SOURCE)
    names = [str(bench.folder / f"{name}.py") for name in ("exits", "breaks", "json", "args", "wrong", "absent")]
    engine = bench.start(*names, "no_such_module", good)
    catalogue = engine.expect("catalogue")
    assert "fns.add" in [entry["name"] for entry in catalogue["functions"]]
    told = "\n".join(catalogue["problems"])
    for text in ("SystemExit: 3", "ZeroDivisionError", "'json' is taken by", "*parts is positional", "timeout must be",
                 "there is no file", "No module named 'no_such_module'"):  # fmt: skip
        assert text in told
    assert len(catalogue["problems"]) == 7


def test_modules_and_entry_points_are_sources_too(bench):
    source = "from mcp_scheduler import function\n@function\ndef f() -> int:\n    return 1\n"
    bench.write("here.py", source)
    for name in ("lib", "site", "site/thing-1.0.dist-info"):
        (bench.folder / name).mkdir()
    bench.write("lib/there.py", source)
    bench.write("site/plugged.py", source)
    bench.write("site/thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    bench.write("site/thing-1.0.dist-info/entry_points.txt", "[mcp_scheduler.functions]\nx = plugged\n")
    engine = bench.start("here", "there", path=(str(bench.folder / "lib"), str(bench.folder / "site")))
    catalogue = engine.expect("catalogue")
    assert catalogue["problems"] == []
    assert [entry["name"] for entry in catalogue["functions"]] == ["here.f", "there.f", "plugged.f"]


def test_a_user_module_does_not_see_the_packages_beside_ours(bench):
    code = "import sys\nfrom mcp_scheduler import function\n@function\ndef path() -> list:\n    return sys.path\n"
    engine = bench.start(bench.write("fns.py", code))
    import mcp_scheduler

    beside = Path(mcp_scheduler.__file__).parent.parent
    ours = engine.result("a-1.1", "fns.path").count(str(beside))
    probe = subprocess.run(
        [PYTHON, "-I", "-c", "import sys; print(sys.path)"], capture_output=True, text=True, check=True
    )
    assert ours == probe.stdout.count(f"'{beside}'"), "an editable installation is there anyway; we add nothing"
