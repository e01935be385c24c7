"""Each verb once against the real engine, as a process of its own."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest


def gate(program, name):
    """A file that a waiting function waits for."""
    return program.folder / name


def waiting_for(program, task):
    """A `wait` whose door is open."""
    program.until(lambda: program("status", "--json").json["doors"] == 1, "only that of `status` is open")
    waiting = program.start("wait", task)
    program.until(lambda: program("status", "--json").json["doors"] == 2, "it waits")
    return waiting


def test_status_before_anything_starts_no_engine(program):
    assert program("status").code == 3
    assert not Path(program.home.path).exists()


def test_a_function_is_submitted_waited_for_and_its_result_read(program):
    ran = program("submit", "--functions", "tools.py", "tools.add", "a=2", "b=3", "--wait")
    assert ran.code == 0, ran.err
    task, ended = ran.out.splitlines()
    assert ended.startswith(f"{task} succeeded in ")
    assert ended.endswith(": 5")
    assert program("result", task).out == "5\n"
    assert program("show", task, "--json").json["state"] == "succeeded"
    assert "state      succeeded" in program("show", task).out
    assert any(line.startswith(task) for line in program("list").out.splitlines())


def test_a_failure_has_exit_code_1_and_its_output_is_kept(program):
    task = program.submit("tools.say", "text=oh no")
    ran = program("wait", task)
    assert ran.code == 1
    assert "ValueError: oh no" in ran.out
    logs = program("logs", task)
    assert (logs.code, logs.out, logs.err) == (0, "out: oh no\n", "err: oh no\n")
    assert program("logs", task, "--json").json["stdout"] == "out: oh no\n"
    failed = program("result", task)
    assert (failed.code, failed.out) == (1, "")


def test_logs_follow_a_running_task_to_its_end(program):
    file = gate(program, "gate-logs")
    task = program.submit("tools.wait_for", f"file={file}")
    with program.start("logs", "-f", task) as following:
        assert following.stdout.readline() == "begun\n"
        file.touch()
        out, _ = following.communicate(timeout=60)
    assert (out, following.returncode) == ("found\n", 0)


def test_ctrl_c_ends_the_waiting_and_not_the_task(program):
    file = gate(program, "gate-wait")
    task = program.submit("tools.wait_for", f"file={file}")
    program.until(lambda: program("show", task, "--json").json.get("progress") == 0.5, "it runs")
    with waiting_for(program, task) as waiting:
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert "the tasks go on" in err
    assert program("show", task, "--json").json["state"] == "running"
    assert program("wait", task, "--timeout", "0.05").code == 124
    file.touch()
    assert program("wait", task).code == 0


def test_a_wait_outlives_the_engine(program):
    task = program.submit("tools.add", "a=1", "--hold")
    with waiting_for(program, task) as waiting:
        os.kill(program.home.engine_record()["pid"], signal.SIGKILL)
        assert program("resume", task).code == 0
        out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, err
    assert out.startswith(f"{task} succeeded")


def test_tasks_are_held_reordered_resumed_cancelled_and_retried(program):
    task = program.submit("tools.add", "a=1", "--hold", "--tag", "batch")
    assert program("list", "--state", "held", "--json").json["tasks"][0]["id"] == task
    assert program("priority", "7", task).code == 0
    assert program("show", task, "--json").json["priority"] == 7
    assert program("cancel", "--tag", "batch").out == f"{task} cancelled\n"
    assert program("wait", task).code == 1
    assert program("retry", task).code == 0
    program.until(lambda: program("show", task, "--json").json["state"] in ("held", "succeeded"), "it was revived")
    program("resume", task)
    assert program("wait", task).code == 0
    assert program("hold", task).code == 2


def test_a_wait_for_a_group_ends_with_how_the_group_ended(program):
    series = program("submit", "--every", "1h", "--", "true").out.strip()
    program("wait", f"{series}-1")
    program("cancel", series)
    ran = program("wait", series)
    assert (ran.code, ran.out.splitlines()[-1]) == (1, f"{series} cancelled: 1 succeeded, 1 cancelled")


def test_a_graph_of_a_file_and_maps_of_words_run_to_their_ends(program, tmp_path):
    file = tmp_path / "graph.json"
    file.write_text(
        '{"two": {"function": "tools.add", "arguments": {"a": 1}},'
        ' "five": {"function": "tools.add", "arguments": {"a": {"$result": "two"}, "b": 3}}}'
    )
    ran = program("graph", "--functions", "tools.py", file, "--name", "sums", "--wait")
    assert ran.code == 0, ran.err
    group, *_, last = ran.out.splitlines()
    assert last == f"{group} succeeded: 2 succeeded"
    ran = program("map", "tools.add", "--functions", "tools.py", "--product", "a=1,2", "--product", "b=10,20", "--wait")
    assert (ran.code, ran.out.splitlines()[-1].partition(" ")[2]) == (0, "succeeded: 4 succeeded")
    ran = program("map", "--items", '["hello", "there"]', "--wait", "--", "echo", "{}")
    assert (ran.code, ran.out.splitlines()[-1].partition(" ")[2]) == (0, "succeeded: 2 succeeded")
    members = program("list", "--group", ran.out.splitlines()[0], "--json").json["tasks"]
    assert sorted(program("logs", member["id"]).out for member in members) == ["hello\n", "there\n"]


def test_what_failed_under_an_earlier_engine_is_run_again_where_it_was_meant_to_run(program, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    ident = program("submit", "--cwd", there, "--env", "A=b", "--", "sh", "-c", 'test "$A" = b && cat file').out.strip()
    assert program("wait", ident).code == 1
    program("stop")
    (there / "file").write_text("seen")
    program.environ["TMPDIR"] = str(tmp_path)  # another shell: only the store knows the environment of the task
    assert program("retry", ident).code == 0
    assert "seen" in program("wait", ident).out


def test_one_key_makes_one_task(program):
    first = program.submit("tools.add", "a=9", "--key", "once")
    assert program.submit("tools.add", "a=9", "--key", "once") == first
    ran = program("submit", "--functions", "tools.py", "tools.add", "a=10", "--key", "once")
    assert ran.code == 2
    assert ran.err.startswith("error: ")


def test_functions_and_nodes_tell_what_there_is(program):
    found = program("functions", "--functions", "tools.py", "--json").json["functions"]
    assert {"tools.add", "tools.say", "tools.wait_for"} <= {function["name"] for function in found}
    assert "a: integer, b: integer = 1" in program("functions", "--functions", "tools.py").out
    assert program("nodes", "--json").json["nodes"][0]["total"]["cpus"] > 0
    assert program("nodes").out.splitlines()[1].split()[1] == "cpus"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "nope"), 2),
        (("wait", "nope"), 2),
        (("submit", "tools.ad", "--functions", "tools.py"), 2),
        (("submit", "tools.add", "a=x", "--functions", "tools.py"), 2),
        (("submit", "tools.add", "a=1", "--functions", "tools.py", "--needs", "cpus=9999"), 2),
        (("submit", "tools.add", "a=1", "--functions", "tools.py", "--timeout", "soon"), 2),
    ],
)
def test_errors_are_two_lines_on_standard_error(program, words, code):
    ran = program(*words)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
    assert len(ran.err.splitlines()) <= 2


def test_doctor_finds_everything_in_order(program):
    ran = program("doctor", "--functions", "tools.py")
    assert ran.code == 0, ran.out
    assert "3 functions can be called" in ran.out


def test_what_config_prints_starts_a_server_that_answers(program):
    server = program("config", "cursor", "--functions", "tools.py").json["mcpServers"]["scheduler"]
    request = (
        '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},'
        '"clientInfo":{"name":"test","version":"0"}}}\n'
    )
    ended = subprocess.run(
        [server["command"], *server["args"]], input=request, cwd="/", env={"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert '"serverInfo"' in ended.stdout


def test_python_train_py_works_at_once_for_whoever_has_pasted_what_config_prints(program):
    (program.folder / "train.py").write_text("print('trained')\n")
    server = program("config", "claude-desktop").json["mcpServers"]["scheduler"]
    lines = [
        {"id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "desktop", "version": "0"}}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {
            "name": "submit_task", "arguments": {"command": "python train.py"}}},
    ]  # fmt: skip
    talking = subprocess.Popen(
        [server["command"], *server["args"]], cwd="/", env={"PATH": "/usr/bin:/bin"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with talking:
        for line in lines:
            talking.stdin.write(json.dumps({"jsonrpc": "2.0"} | line) + "\n")
        talking.stdin.flush()
        answer = next(found for text in talking.stdout if (found := json.loads(text)).get("id") == 2)["result"]
        assert not answer.get("isError"), answer
        task = answer["structuredContent"]["id"]
        assert program("wait", task).code == 0
    assert program("logs", task).out == "trained\n"


def test_a_file_in_place_of_a_home_is_unavailable(program, tmp_path):
    (tmp_path / "file").touch()
    ran = program("list", "--home", tmp_path / "file")
    assert ran.code == 3
    assert ran.err.startswith("error: ")


def test_stop_ends_the_engine_and_the_next_verb_starts_another(program):
    pid = program("status", "--json").json["pid"]
    assert program("stop").code == 0
    program.until(lambda: program("status").code == 3, "the engine ends")
    assert program("list").code == 0
    assert program("status", "--json").json["pid"] != pid


def test_what_was_learnt_is_shown_drawn_and_known_to_the_next_engine(program):
    for _ in range(3):
        program("submit", "--functions", "tools.py", "tools.add", "a=2", "b=3", "--wait")
    told = program("forecast", "add", "--json").json
    assert {one["name"] for one in told["forecasts"]} == {"tools.add"}
    assert "seconds" in {one["quantity"] for one in told["forecasts"]}
    program("stop")
    program.until(lambda: program("status").code == 3, "the engine has left")
    listed = program("list", "--state", "succeeded", "--json").json["tasks"]
    assert listed
    assert all("seconds" in one for one in listed), listed
    ran = program("forecast")
    assert (ran.code, "tools.add" in ran.out) == (0, True), ran.err
    drawn = program("plot", "forecast", "tools.add", "--to", "add.svg")
    assert (drawn.code, drawn.out) == (0, "add.svg\n"), drawn.err
    assert (program.folder / "add.svg").read_text().startswith("<svg")
    assert "memory" in (program.folder / program("plot", "load").out.strip()).read_text()
    wrong = program("forecast", "tols.add")
    assert (wrong.code, "Did you mean tools.add?" in wrong.err) == (2, True)
