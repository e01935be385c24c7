from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mcp_scheduler.core.states import State
from mcp_scheduler.plaintext import one_line, plain_text
from mcp_scheduler.server.replies import BRIEF, brief, compact, detailed, eta, group_brief, lines, span
from mcp_scheduler.views import AttemptView, EtaView, GroupView, TaskView

NOW = 1_800_000_000.0
TEXT = some.text(max_size=2000) | some.sampled_from(["", '"' * 900, "\\" * 900, "\x1b[31m" * 200, "ä😀" * 500])
JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=300),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)
TIME = some.none() | some.floats(min_value=0, max_value=4e9)
TASKS = some.builds(
    TaskView,
    id=some.from_regex(r"[a-z0-9-]{1,40}-[a-z0-9]{8}", fullmatch=True),
    state=some.sampled_from([str(state) for state in State]),
    call=TEXT,
    submitted_at=some.floats(min_value=0, max_value=4e9),
    name=some.text(max_size=200),
    group=some.from_regex(r"[a-z0-9-]{0,48}", fullmatch=True),
    tags=some.lists(some.text(max_size=60), max_size=20).map(tuple),
    attempt=some.integers(0, 100),
    why=TEXT,
    reason=some.none() | some.sampled_from(["error", "out_of_memory"]),
    error=TEXT,
    hint=TEXT,
    progress=some.none() | some.floats(0, 1),
    progress_text=TEXT,
    started_at=TIME,
    ended_at=TIME,
    seconds=TIME,
    due=TIME,
    result=JSON,
    has_result=some.booleans(),
    result_size=some.integers(0, 10**12),
    duplicate=some.booleans(),
    cancel_requested=some.booleans(),
    attempts=some.lists(
        some.builds(AttemptView, some.integers(1, 9), some.just("local"), some.just(NOW), error=TEXT), max_size=3
    ).map(tuple),
)


@settings(deadline=None)
@given(TASKS)
def test_a_brief_status_is_short_whatever_the_task(task: TaskView):
    status = brief(task, NOW)
    assert len(compact(status)) <= BRIEF
    assert status["id"] == task.id
    assert status["state"] == task.state
    assert not any(value is None or value in ("", []) for name, value in status.items() if name != "result")
    assert json.loads(compact(status)) == status


@settings(deadline=None)
@given(TASKS)
def test_every_status_is_one_line_of_text(task: TaskView):
    assert len(lines(brief(task, NOW)).splitlines()) == 1
    first, *rest = lines(detailed(task, NOW)).splitlines()
    assert first.startswith(task.id)
    assert len(rest) == len(task.attempts)


def test_a_small_result_comes_along_and_a_larger_one_is_counted():
    task = TaskView("a-1", "succeeded", "f", NOW, seconds=0.0123, result=[1, 2], has_result=True, result_size=5)
    assert brief(task, NOW) == {"id": "a-1", "state": "succeeded", "ran_s": 0.012, "result": [1, 2]}
    large = TaskView("a-1", "succeeded", "f", NOW, result="x" * 900, has_result=True, result_size=902)
    assert brief(large, NOW) == {"id": "a-1", "state": "succeeded", "result_bytes": 902}
    assert brief(large, NOW, result=2000)["result"] == "x" * 900


def test_a_result_of_null_is_told_from_no_result():
    assert "result_bytes" in brief(TaskView("a-1", "succeeded", "f", NOW, has_result=True, result_size=4), NOW)
    assert "result_bytes" not in brief(TaskView("a-1", "failed", "f", NOW), NOW)


def test_times_are_counted_from_now():
    waiting = TaskView("a-1", "scheduled", "f", NOW - 90, due=NOW + 30)
    assert brief(waiting, NOW) == {"id": "a-1", "state": "scheduled", "waited_s": 90.0, "starts_in_s": 30.0}
    running = TaskView("a-1", "running", "f", NOW - 90, started_at=NOW - 61.25, progress=0.5, progress_text="half")
    assert brief(running, NOW) == {
        "id": "a-1",
        "state": "running",
        "progress": 0.5,
        "progress_text": "half",
        "ran_s": 61.2,
    }


@settings(deadline=None)
@given(TEXT)
def test_plain_text_holds_nothing_that_a_terminal_obeys(text: str):
    plain = plain_text(text)
    assert all(letter.isprintable() or letter in "\n\t" or letter >= "\xa0" for letter in plain)
    assert plain_text(plain) == plain
    plain.encode()


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Bplain", "plain"),
        (" 10%|#\r 50%|###\r100%|#####\ndone\n", "100%|#####\ndone\n"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("nul\x00 bell\x07 back\x08", "nul bell back"),
        ("tab\tstays", "tab\tstays"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("hidden\U000e0041\U000e0042", "hidden"),
        ("family 👨‍👩‍👧 zwj", "family 👨‍👩‍👧 zwj"),
        ("half \ud800", "half "),
    ],
)
def test_escapes_controls_and_tricks_are_stripped(raw: str, plain: str):
    assert plain_text(raw) == plain


def test_one_line_is_one_line():
    assert one_line("a\nb\r\n  c", 100) == "a b c"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"


def test_a_group_lists_its_failures_below():
    failed = TaskView("b-2", "failed", "f", NOW, error="boom", reason="error")
    group = GroupView("g-1", "map", "", "p", NOW, 2, {"failed": 1}, "running", failures=(failed,))
    told = lines(group_brief(group, NOW)).splitlines()
    assert told[0].startswith("g-1 running kind=map size=2")
    assert told[1] == "  failures: b-2 failed reason=error error=boom"


@pytest.mark.parametrize(
    ("early", "late", "text"),
    [
        (0.45, 0.45, "0.45 s"),
        (600, 840, "10–14 m"),
        (0.45, 138, "0.45 s–2.3 m"),
        (20, 200, "20 s–3.3 m"),
        (1000, 100_000, "17 m–28 h"),
    ],
)
def test_two_durations_share_a_unit_unless_they_are_far_apart(early: float, late: float, text: str):
    assert span(early, late) == text


def test_a_bound_that_is_hundreds_of_times_as_far_as_the_likely_end_is_called_hardly_known():
    assert eta(EtaView(0.033, 30_000.0)) == "done in about 0.033 s, which is hardly known yet"
    assert eta(EtaView(600.0, 30_000.0)) == "done in 10 m–8.3 h"
    assert eta(EtaView(0.01, 5.0)) == "done in 0.01–5 s"
