"""simulate: policies side by side, without an engine."""

import json

import pytest

from mcp_scheduler.cli.app import main

TRACE = {
    "format": "mcp-scheduler-trace/1",
    "nodes": [{"name": "n", "cpus": 2}],
    "jobs": [{"id": f"j{number}", "submit": number, "run": 10 + number, "needs": {"cpus": 2}} for number in range(6)],
}


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(TRACE), encoding="utf-8")
    return path


def test_policies_stand_side_by_side(trace, capsys):
    assert main(["simulate", str(trace), "--policy", "fifo,priority", "--estimates", "exact"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].split() == ["fifo", "priority"]
    assert any(line.startswith("wait, longest") for line in shown.out.splitlines())
    assert "6 jobs, on cpus 2; estimates exact, seed 1" in shown.err


def test_json_has_every_figure_of_every_run_and_nothing_else(trace, capsys):
    assert main(["simulate", str(trace), "--policy", "fifo", "--json", "--windows", "2x2", "--nodes", "cpus=4"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["jobs"], found["capacity"]) == (2, 4, {"cpus": 4.0})
    [policy] = found["policies"]
    assert [run["jobs"] for run in policy["runs"]] == [2, 2]
    assert policy["figures"]["jobs"] == 4


def test_turns_last_as_long_as_is_asked_for(tmp_path, capsys):
    """Three commands for one cpu: the last begins after two turns, and with turns longer than each after both."""
    jobs = [{"id": f"j{number}", "run": 100, "command": "work", "needs": {"cpus": 1}} for number in range(3)]
    path = tmp_path / "long.json"
    path.write_text(json.dumps({**TRACE, "nodes": [{"name": "n", "cpus": 1}], "jobs": jobs}), encoding="utf-8")
    waits = {}
    for words in ((), ("--quantum", "30"), ("--quantum", "200")):
        assert main(["simulate", str(path), "--policy", "time_slice", "--estimates", "exact", "--json", *words]) == 0
        found = json.loads(capsys.readouterr().out)
        waits[found["quantum"]] = found["policies"][0]["figures"]["wait_max"]
    assert waits == {10.0: pytest.approx(20, abs=1), 30.0: pytest.approx(60, abs=1), 200.0: pytest.approx(200, abs=1)}


def test_reports_are_written_by_the_ends_of_their_names(trace, tmp_path, capsys):
    files = [tmp_path / f"r.{kind}" for kind in ("html", "md", "json", "svg")]
    arguments = [word for file in files for word in ("--report", str(file))]
    assert main(["simulate", str(trace), "--policy", "fifo", "--jobs", "3", *arguments]) == 0
    assert "<svg" in files[0].read_text()
    assert files[1].read_text().count("| jobs | 3 |") == 1
    assert json.loads(files[2].read_text())["jobs"] == 3
    assert (tmp_path / "r-waiting.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--policy", "best"], "There is no policy 'best'."),
        (["--report", "x.png"], "cannot be written as '.png'"),
        (["--estimates", "good"], "'good' is no kind of estimate"),
        (["--windows", "ten"], "'ten' names no windows"),
        (["--start", "9"], "no job after the first 9"),
        (["--nodes", "many"], "'many' in 'many' is no name=amount"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(trace, capsys, words, told):
    assert main(["simulate", str(trace), *words]) == 2
    shown = capsys.readouterr()
    assert (shown.out, told in shown.err, "hint:" in shown.err) == ("", True, True)


def test_a_file_that_is_not_there_is_told(tmp_path, capsys):
    for name in ("none.swf", "none"):
        assert main(["simulate", str(tmp_path / name)]) == 2
        assert f"There is no file {tmp_path / name}." in capsys.readouterr().err
