"""wait: exit codes, lines in a pipe, the table on a terminal, and a Ctrl-C that leaves the tasks alone."""

import itertools
import re

import pytest
from owner_standin import task

from mcp_scheduler.errors import UnknownTask


def report(*done, waiting=(), groups=(), cursor="c"):
    remaining = len(waiting) + sum(group["state"] == "running" for group in groups)
    answer = {"done": list(done), "waiting": list(waiting), "groups": list(groups), "remaining": remaining}
    return answer | {"complete": bool(done) or not remaining, "cursor": cursor}


@pytest.fixture
def reports(standin):
    """What the engine answers to one question after the other; the last answer stays."""

    def say(*answers):
        turns = itertools.chain(answers, itertools.repeat(answers[-1]))
        standin.answers["wait"] = lambda _: next(turns)

    return say


def test_it_ends_with_0_when_all_succeeded(cli, reports, standin):
    reports(
        report(task("a", "succeeded", seconds=2.0, result={"x": 1}), waiting=[task("b")], cursor="c1"),
        report(task("b", "succeeded", seconds=0.25), cursor="c2"),
    )
    ran = cli("wait", "a", "b")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == 'a succeeded in 2.0 s: {"x": 1}\nb succeeded in 250 ms\n'
    assert [asked.get("cursor") for asked in standin.asked("wait")] == [None, "c1"]


@pytest.mark.parametrize("state", ["failed", "cancelled", "skipped"])
def test_it_ends_with_1_when_one_did_not_succeed(cli, reports, state):
    reports(report(task("a", "succeeded"), task("b", state)))
    assert cli("wait", "a", "b").code == 1


def test_it_ends_with_124_when_time_is_up(cli, reports):
    reports(report(waiting=[task("a", "running")]))
    ran = cli("wait", "a", "--timeout", "10ms")
    assert (ran.code, ran.out) == (124, "")
    assert "Time is up" in ran.err


def test_a_timeout_of_nothing_looks_once(cli, reports, standin):
    reports(report(waiting=[task("a", "running")]))
    assert cli("wait", "a", "--timeout", "0").code == 124
    assert [asked["timeout"] for asked in standin.asked("wait")] == [0]


def test_a_timeout_that_is_none_is_refused(cli, standin):
    ran = cli("wait", "a", "--timeout", "soon")
    assert ran.code == 2
    assert "'soon' is no duration" in ran.err
    assert standin.calls == []


def test_any_ends_with_the_first_that_ended(cli, reports):
    reports(report(waiting=[task("a"), task("b")]), report(task("b", "failed", error="no"), waiting=[task("a")]))
    ran = cli("wait", "--any", "a", "b")
    assert (ran.code, ran.out) == (1, "b failed: no\n")


def test_an_unknown_task_is_an_error_and_not_a_failure(cli, standin):
    standin.answers["wait"] = UnknownTask("There is no task nope.")
    ran = cli("wait", "nope")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: There is no task nope.\nhint: Call `mcp-scheduler list`")


def test_of_a_group_only_what_went_wrong_has_a_line_and_the_group_has_one(cli, reports):
    group = {"id": "g", "state": "running", "size": 3, "counts": {"running": 3}}
    ended = group | {"state": "failed", "counts": {"succeeded": 2, "failed": 1}}
    reports(
        report(waiting=[task("m3", "running")], groups=[group]),
        report(task("m1", "succeeded"), task("m2", "failed", error="bad"), task("m3", "succeeded"), groups=[ended]),
    )
    ran = cli("wait", "g")
    assert ran.code == 1
    assert ran.out == "m2 failed: bad\ng failed: 2 succeeded, 1 failed\n"


def test_a_task_told_twice_has_one_line(cli, reports):
    first = task("a", "succeeded")
    reports(report(first, waiting=[task("b")]), report(first, task("b", "succeeded")))
    assert cli("wait", "a", "b").out == "a succeeded\nb succeeded\n"


def test_ctrl_c_stops_waiting_and_nothing_else(cli, standin, monkeypatch):
    from mcp_scheduler.owner import OwnerClient

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(OwnerClient, "call", interrupted)
    ran = cli("wait", "a", "b")
    assert (ran.code, ran.out) == (130, "")
    assert ran.err == "Stopped waiting; the tasks go on. Wait again: mcp-scheduler wait a b\n"
    assert standin.calls == []


def test_json_is_one_object_at_the_end(cli, reports):
    reports(report(task("a", "succeeded"), waiting=[task("b")]), report(task("b", "failed")))
    ran = cli("wait", "a", "b", "--json")
    assert ran.code == 1
    assert ran.json["complete"] is True
    assert [found["id"] for found in ran.json["done"]] == ["a", "b"]
    reports(report(waiting=[task("a")]))
    ran = cli("wait", "a", "--json", "--timeout", "0")
    assert ran.code == 124
    assert ran.json == {"complete": False, "done": [], "groups": [], "waiting": [task("a")], "remaining": 1}


def test_a_terminal_shows_what_is_still_to_come(cli, reports, terminal):
    from mcp_scheduler.cli.text import duration

    running = task("a", "running", progress=0.5, progress_text="epoch 3", started_at=1_700_000_000.0)
    reports(report(waiting=[running, task("b", why="others go first")]), report(task("a", "succeeded", seconds=1)))
    terminal(100)
    ran = cli("wait", "a", "b")
    assert ran.code == 0
    assert "━━━━━━━━╌╌╌╌╌╌╌╌  50 %" in ran.out
    assert "others go first" in ran.out
    assert "2 tasks to come" in ran.out
    assert f"a succeeded in {duration(1)}" in ran.out


def test_in_a_narrow_terminal_the_bar_is_shorter_and_the_id_stays_whole(cli, reports, terminal):
    running = task("count-slowly-7f3k9q2m", "running", progress=0.5, started_at=1_700_000_000.0)
    reports(report(waiting=[running]), report(task("count-slowly-7f3k9q2m", "succeeded", seconds=1)))
    terminal(60)
    assert "━━━━╌╌╌╌  50 %" in (out := cli("wait", "count-slowly-7f3k9q2m").out)
    assert re.search(r"^\W*count-slowly-7f3k9q2m +running", out, re.MULTILINE)


def test_ends_that_come_page_by_page_are_all_told_and_count(cli, reports, standin):
    reports(report(task("a", "succeeded"), cursor="c1"), report(task("b", "failed", error="bad"), cursor="c2"))
    ran = cli("wait", "a", "b")
    assert (ran.code, ran.out) == (1, "a succeeded\nb failed: bad\n")
    group = {"id": "g", "state": "failed", "size": 3, "counts": {"succeeded": 2, "failed": 1}}
    reports(
        report(task("m1", "succeeded"), task("m2", "succeeded"), groups=[group]),
        report(task("m3", "failed", error="bad"), groups=[group]),
        report(groups=[group]),
    )
    ran = cli("wait", "g")
    assert (ran.code, ran.out) == (1, "m3 failed: bad\ng failed: 2 succeeded, 1 failed\n")
