"""plan: what is asked, and what is shown."""

import json

import pytest

PLAN = {
    "outcomes": [
        {"policy": "fifo", "tasks": 2, "without_end": 1, "makespan": 90.0, "mean_end": 50.0, "longest_wait": 10.0,
         "utilisation": {"cpus": 0.5}, "cut": True},
    ],
    "tasks": [
        {"id": "a", "start": -5.0, "end": 10.0, "node": "local"},
        {"id": "b", "start": 10.0, "end": 90.0, "node": "local", "after": ["a"], "assumed": True},
        {"id": "c", "why": "held until a person resumes it"},
    ],
    "total": 9,
    "next_offset": 3,
    "notes": ["Of 1 the time is assumed: nothing like them has ended yet."],
}  # fmt: skip


def test_a_plan_is_two_tables_and_what_to_know(cli, standin):
    standin.answers["plan"] = PLAN
    ran = cli("plan", "--policy", "fifo", "--limit", "3")
    assert standin.asked("plan") == [{"limit": 3, "offset": 0, "policies": ["fifo"]}]
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[1] == ["fifo", "2", "1", "1m30s", "50.0", "s", "10.0", "s", "50", "%", "cut"]
    assert rows[4] == ["a", "running", "10.0", "s", "local"]
    assert rows[5] == ["b", "10.0", "s", "1m30s", "local", "a", "assumed"]
    assert rows[6] == ["c", "held", "until", "a", "person", "resumes", "it"]
    assert "3 of 9; `--offset 3` goes on." in ran.err
    assert cli("plan", "--json").json == PLAN


def test_a_front_is_a_table_of_its_own(cli, standin, tmp_path):
    where = {"local fast": ["a"], "local slow": ["b", "c"]}
    points = [
        {"by": "nsga2", "makespan": 90.0, "energy": 1234.4, "utilisation": 0.5, "plan": "plan-a", "where": where},
        {"by": "fifo", "makespan": 100.0, "energy": 7.2e6, "utilisation": 0.45},
    ]
    standin.answers["plan"] = {**PLAN, "front": points, "by": "pymoo"}
    file = tmp_path / "tasks.json"
    file.write_text('{"a": {"command": "true"}}')
    ran = cli("plan", file, "--objective", "makespan", "--objective", "energy", "--seconds", "4")
    assert standin.asked("plan")[0].items() >= {"objectives": ["makespan", "energy"], "seconds": 4.0}.items()
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[4] == [
        "nsga2",
        "1m30s",
        "1,234",
        "J",
        "50",
        "%",
        "plan-a",
        "1",
        "on",
        "local",
        "fast,",
        "2",
        "on",
        "local",
        "slow",
    ]
    assert rows[5] == ["fifo", "1m40s", "2.00", "kWh", "45", "%"]


@pytest.mark.parametrize("wrap", [False, True])
def test_tasks_come_from_a_file_as_for_a_graph(cli, standin, tmp_path, wrap):
    standin.answers["plan"] = PLAN
    tasks = {"tasks": {"command": "true"}} if not wrap else {"a": {"command": "true"}}
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps({"tasks": tasks} if wrap else tasks))
    assert cli("plan", file).code == 0
    assert standin.asked("plan")[0]["tasks"] == tasks


def test_a_file_that_is_no_object_is_refused_with_what_would_be_right(cli, tmp_path):
    file = tmp_path / "tasks.json"
    file.write_text("[1]")
    ran = cli("plan", file)
    assert ran.code == 2
    assert "is no object" in ran.err
    assert "tasks by key" in ran.err
    assert "cannot be read" in cli("plan", tmp_path / "none.json").err
