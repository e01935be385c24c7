"""list, show, result, functions, nodes, status: what people see, what pipes get."""

import io
import json
import re
import sys

import pytest
from owner_standin import task
from rich.cells import cell_len

from mcp_scheduler.cli.text import clock
from mcp_scheduler.errors import Conflict, UnknownTask

LONG = task(
    "a-task-with-a-very-long-name-indeed-that-goes-on-7f3k9q2m", "failed", call="command python train.py " * 5,
    reason="timeout", error="ran longer than 90 s\nTraceback: something\x1b[31m in red", seconds=90.0,
)  # fmt: skip


@pytest.fixture
def listed(standin):
    standin.answers["list"] = {"tasks": [LONG, task("b-1", "running", progress=0.42, progress_text="epoch 3")],
                               "counts": {"failed": 1, "running": 1}}  # fmt: skip


def test_a_pipe_gets_every_column_whole_and_no_summary(cli, listed):
    lines = cli("list").out.splitlines()
    assert lines[0].split() == ["ID", "STATE", "CALL", "AGE", "TIME", "NOTE"]
    assert LONG["call"].strip().removeprefix("command ") in lines[1]
    assert lines[1].endswith("timeout: ran longer than 90 s Traceback: something in red")
    assert lines[2].endswith("42 % epoch 3")
    assert len(lines) == 3


def test_who_has_not_ended_is_listed_and_shown_with_the_time_by_which_it_is_done(cli, standin):
    under_way = task("b-1", "running", eta={"end": 12.04, "end_late": 84.0})
    standin.answers |= {"list": {"tasks": [under_way, task("a-1")]}, "get": under_way}
    lines = cli("list").out.splitlines()
    assert "DONE IN" in lines[0]
    assert lines[1].endswith("12.0 s to 1m24s")
    assert "done in    12.0 s to 1m24s" in cli("show", "b-1").out


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_a_table_fits_the_terminal_and_ids_are_never_cut(cli, listed, terminal, columns):
    terminal(columns)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in cli("list").out.splitlines()]
    assert max(cell_len(line.rstrip()) for line in lines) <= columns
    assert any(line.startswith(LONG["id"]) for line in lines)
    assert lines[-1] == "1 failed, 1 running"


def test_json_is_the_engine_s_page(cli, listed, standin):
    assert cli("list", "--json").json == {"tasks": standin.answers["list"]["tasks"], "cursor": "",
                                          "counts": {"failed": 1, "running": 1}}  # fmt: skip


def test_filters_are_passed_on_and_pages_are_joined(cli, standin):
    pages = {None: {"tasks": [task("a")], "cursor": "next"}, "next": {"tasks": [task("b")]}}
    standin.answers["list"] = lambda asked: pages[asked.get("cursor")]
    ran = cli(
        "list", "--state", "failed", "--state", "queued", "--tag", "t", "--group", "g", "--name", "n", "--mine", "-n", 3
    )
    assert [line.split()[0] for line in ran.out.splitlines()] == ["ID", "a", "b"]
    filters = {"states": ["failed", "queued"], "tag": "t", "group": "g", "name": "n", "mine": True}
    assert standin.asked("list") == [filters | {"limit": 3}, filters | {"limit": 2, "cursor": "next"}]


def test_nothing_to_list_is_said_aside(cli, standin):
    standin.answers["list"] = {}
    ran = cli("list")
    assert (ran.code, ran.out, ran.err) == (0, "", "No tasks.\n")
    assert cli("list", "--json").json == {"tasks": [], "cursor": "", "counts": {}}


def test_show_tells_the_story_of_a_task(cli, standin):
    attempt = {"number": 1, "node": "local", "started_at": 1.7e9, "ended_at": 1.7e9 + 2, "reason": "crashed",
               "signal": 9, "seconds": 2.0, "memory_peak": 3 << 20, "stdout_bytes": 124}  # fmt: skip
    standin.answers["get"] = task(state="failed", attempts=[attempt], error="Killed\n  at line 3", hint="Retry it.")
    lines = cli("show", "x").out.splitlines()
    assert "error      Killed" in lines
    assert "             at line 3" in lines
    assert lines[-1].split() == [
        "1",
        "local",
        *clock(1.7e9).split(),
        "2.0",
        "s",
        "crashed",
        "signal",
        "9",
        "3",
        "MiB",
        "124",
        "B",
    ]
    assert standin.asked("get") == [{"id": "x", "detail": True}]


def test_show_tells_the_whole_command_and_its_folder_or_the_arguments(cli, standin):
    standin.answers["get"] = task("x", call="command python train.py", given="/bin/python train.py --lr 0.1", cwd="/w")
    lines = cli("show", "x").out.splitlines()
    assert "command    /bin/python train.py --lr 0.1" in lines
    assert "folder     /w" in lines
    standin.answers["get"] = task("x", call="function tools.train", given='{"lr": 0.1}')
    assert 'arguments  {"lr": 0.1}' in cli("show", "x").out.splitlines()


def test_show_tells_what_undoes_a_task_and_whose_result_it_has(cli, standin):
    standin.answers["get"] = task("x", "failed", undo="x-undo", rollback="done")
    assert {"undo       x-undo", "rollback   done"} <= set(cli("show", "x").out.splitlines())
    standin.answers["get"] = task("y", "succeeded", cached_from="z")
    assert "result of  z" in cli("show", "y").out.splitlines()


def test_show_tells_a_group_by_its_counts_and_failures(cli, standin):
    standin.answers["get"] = {
        "id": "g", "kind": "graph", "state": "failed", "submitted_at": 1.7e9, "size": 3,
        "counts": {"succeeded": 2, "failed": 1}, "failures": [task("m", "failed")],
    }  # fmt: skip
    ran = cli("show", "g")
    assert "tasks      3: 2 succeeded, 1 failed" in ran.out
    assert "The first 1 failure:" in ran.out


def test_result_prints_json_and_raw_prints_a_text_bare(cli, standin):
    standin.answers["result"] = {"ä": [1, None]}
    assert cli("result", "x").out == '{\n  "ä": [\n    1,\n    null\n  ]\n}\n'
    standin.answers["result"] = "text"
    assert cli("result", "x").out == '"text"\n'
    assert cli("result", "x", "--raw").out == "text\n"


def test_the_result_of_a_failed_task_is_its_error_and_1(cli, standin):
    standin.answers["result"] = Conflict("x has no result.")
    standin.answers["get"] = task("x", "failed", error="ValueError: no", hint="Mend it.")
    ran = cli("result", "x")
    assert (ran.code, ran.out, ran.err) == (1, "", "error: x failed: ValueError: no\nhint: Mend it.\n")
    standin.answers["get"] = task("x", "running")
    assert cli("result", "x").code == 2


def test_functions_show_their_arguments(cli, standin):
    schema = {"properties": {"path": {"type": "string"}, "n": {"type": "integer", "default": 3},
                             "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}},
              "required": ["path"]}  # fmt: skip
    standin.answers["functions"] = {
        "functions": [{"name": "t.f", "summary": "Do it.", "parameters": schema, "options": {"retry": 3}}],
        "total": 1, "problems": ["bad.py: SyntaxError"],
    }  # fmt: skip
    ran = cli("functions")
    assert "t.f       path: string, n: integer = 3, tags: array[string] | null = …  Do it." in ran.out
    assert ran.err == "warning: bad.py: SyntaxError\n"
    assert "runs with: retry 3" in cli("functions", "--detail").out
    assert cli("functions", "--json").json == standin.answers["functions"]


def test_nodes_show_what_is_reserved_and_loaded(cli, standin):
    node = {"name": "local", "total": {"cpus": 4, "memory": 8 << 30}, "reserved": {"cpus": 1.5, "memory": 0},
            "load": {"cpus": 37.2, "disk": 5}, "soon": {"cpus": 61.0}, "running": 2, "weight": 58.4}  # fmt: skip
    standin.answers["load"] = {"nodes": [node], "counts": {"running": 2}, "alerts": ["gpu0 is hot"], "policy": "fifo"}
    rows = [line.split() for line in cli("nodes").out.splitlines()]
    assert rows[1] == ["local", "cpus", "1.5", "4", "37", "%", "61", "%", "2", "58"]
    assert rows[2] == ["memory", "0", "B", "8", "GiB"]
    assert rows[3] == ["disk", "5", "%"]
    assert ["alert:", "gpu0", "is", "hot"] in rows


def test_nodes_show_devices_and_what_keeps_them(cli, standin):
    free = {"name": "gpu0", "uuid": "GPU-0", "label": "h100-80gb", "health": "ok", "total": 80 << 30, "free": 79 << 30}
    held = {"name": "gpu1", "uuid": "GPU-1", "label": "h100-80gb", "health": "withheld", "total": 80 << 30,
            "promised": 8 << 30, "tasks": ["train-1"], "why": "drained by its owner"}  # fmt: skip
    node = {"name": "local", "total": {"cpus": 4}, "reserved": {}, "load": {}, "running": 0, "devices": [free, held]}
    standin.answers["load"] = {"nodes": [node], "counts": {}}
    lines = cli("nodes").out.splitlines()
    assert next(line for line in lines if line.startswith("gpu0")).split() == [
        "gpu0", "h100-80gb", "80", "GiB", "79", "GiB", "ok",
    ]  # fmt: skip
    assert "8 GiB" in lines[-3]
    assert "withheld: drained by its owner" in lines[-3]
    assert lines[-3].rstrip().endswith("train-1")


def test_drain_and_undrain_ask_for_a_device(cli, standin):
    standin.answers["drain"] = standin.answers["undrain"] = {"devices": []}
    assert cli("drain", "gpu0", "--for", "2h").code == 0
    assert cli("undrain", "gpu0").code == 0
    assert standin.asked("drain") == [{"device": "gpu0", "lasting": "2h"}]
    assert standin.asked("undrain") == [{"device": "gpu0"}]


def test_status_tells_the_engine(cli, standin, home_folder):
    engine = {"pid": 7, "version": "0.1.0", "python": "/p", "home": str(home_folder), "doors": 1,
              "started_at": 1.7e9, "counts": {"queued": 2}, "database_bytes": 4096, "schema": 1}  # fmt: skip
    standin.answers["status"] = engine
    ran = cli("status")
    assert ran.code == 0
    assert "running, version 0.1.0, pid 7" in ran.out
    assert cli("status", "--json").json["running"] is True


def test_without_an_engine_status_and_stop_start_none(cli, home_folder):
    ran = cli("status")
    assert (ran.code, ran.out) == (3, "")
    assert cli("status", "--json").json == {"running": False}
    assert cli("stop").code == 0
    assert not home_folder.exists()


def test_stop_asks_the_engine(cli, standin):
    standin.answers["stop"] = {"stopping": True}
    assert cli("stop").code == 0
    assert cli("stop", "--force").code == 0
    assert standin.asked("stop") == [{"force": False}, {"force": True}]


def test_an_unknown_task_is_an_invalid_request(cli, standin):
    standin.answers["get"] = UnknownTask("There is no task x.")
    assert cli("show", "x").code == 2


def test_a_reader_that_leaves_ends_the_verb_quietly(cli, listed, monkeypatch):
    import os
    import sys

    def closed(_):
        raise BrokenPipeError

    kept = os.dup(1)
    monkeypatch.setattr(sys.stdout, "write", closed)
    try:
        assert cli("list").code == 141
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def test_json_of_a_result_can_be_read_back(cli, standin):
    value = {"nested": [{"a": "\u2028\x00é"}], "big": 2**70}
    standin.answers["result"] = value
    assert json.loads(cli("result", "x").out) == value


def test_explain_and_a_series_name_verbs_and_not_tools(cli, standin):
    why = "held back; update_task resume lets it go on"
    standin.answers["explain"] = {"id": "a", "state": "held", "policy": "fifo", "why": why}
    assert "why: held back; `mcp-scheduler resume` lets it go on\n" in cli("explain", "a").out
    standin.answers["get"] = {
        "id": "s", "kind": "series", "state": "held", "size": 1, "counts": {"held": 1}, "submitted_at": 0.0, "why": why
    }  # fmt: skip
    assert "why        held back; `mcp-scheduler resume` lets it go on\n" in cli("show", "s").out


def test_a_stream_without_umlauts_gets_question_marks_and_json_stays_what_it_is(cli, standin, monkeypatch):
    standin.answers["result"] = "Grüße"
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert cli("result", "x", "--raw").code == 0
    assert raw.getvalue() == b"Gr??e\n"
    assert cli("result", "x").code == 0
    assert json.loads(raw.getvalue().splitlines()[1]) == "Grüße"


def test_in_a_narrow_terminal_why_a_task_waits_stays_longer_than_when_it_is_done(cli, standin, terminal):
    terminal(60)
    waiting = task("x-7f3k9q2m", "queued", why="needs 2 cpus; free: 0", eta={"end": 39.4, "end_late": 39.6})
    standin.answers["list"] = {"tasks": [waiting, task("count-slowly-7f3k9q2m", "succeeded", seconds=10.1)]}
    head, line, *_ = (re.sub(r"\x1b\[[0-9;]*m", "", line) for line in cli("list").out.splitlines())
    assert head.split() == ["ID", "STATE", "AGE", "TIME", "NOTE"]
    assert "needs 2 " in line


def test_in_a_narrow_terminal_no_word_of_the_nodes_is_folded(cli, standin, terminal):
    terminal(60)
    node = {"name": "local", "total": {"cpus": 4, "memory": 21 << 30}, "reserved": {"cpus": 1.5, "memory": 0},
            "load": {"cpus": 37.2, "memory_pressure": 5}, "soon": {"cpus": 61}, "running": 2, "weight": 58}  # fmt: skip
    standin.answers["load"] = {"nodes": [node]}
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).split() for line in cli("nodes").out.splitlines()]
    assert lines[0] == ["NODE", "RESOURCE", "RESERVED", "TOTAL", "LOAD", "RUNNING"]
    assert ["memory_pressure", "5", "%"] in lines
