"""cancel, hold, resume, retry, priority."""

import pytest
from owner_standin import task


@pytest.mark.parametrize(
    ("words", "method", "asked"),
    [
        (("cancel", "a", "b"), "cancel", {"ids": ["a", "b"]}),
        (("cancel", "--tag", "t"), "cancel", {"tag": "t"}),
        (("hold", "a"), "update", {"ids": ["a"], "action": "hold"}),
        (("resume", "a"), "update", {"ids": ["a"], "action": "resume"}),
        (("retry", "a", "b"), "update", {"ids": ["a", "b"], "action": "retry"}),
        (("priority", "7", "a"), "update", {"ids": ["a"], "action": "set_priority", "value": 7}),
        (("priority", "--", "-7", "a"), "update", {"ids": ["a"], "action": "set_priority", "value": -7}),
    ],
)
def test_each_verb_asks_for_its_change(cli, standin, words, method, asked):
    standin.answers[method] = {"changed": [task("a", "cancelled")], "count": 1}
    ran = cli(*words)
    assert (ran.code, ran.out, ran.err) == (0, "a cancelled\n", "")
    assert standin.calls == [(method, asked)]


def test_a_running_task_is_told_to_end(cli, standin):
    standin.answers["cancel"] = {"changed": [task("a", "running", cancel_requested=True)], "count": 1}
    assert cli("cancel", "a").out == "a cancel requested\n"


def test_what_stays_as_it_was_says_why(cli, standin):
    standin.answers["cancel"] = {"changed": [task("a", "cancelled")], "count": 1, "unchanged": {"b": "has ended"}}
    ran = cli("cancel", "a", "b")
    assert (ran.code, ran.err) == (0, "b unchanged: has ended\n")
    standin.answers["cancel"] = {"count": 0, "unchanged": {"b": "has ended"}}
    assert cli("cancel", "b").code == 2


def test_many_changes_are_counted(cli, standin):
    standin.answers["cancel"] = {"changed": [task("a", "cancelled")], "count": 500}
    assert cli("cancel", "--tag", "t").err == "500 tasks cancelled; the first 1 are shown.\n"


def test_json_is_the_engine_s_answer(cli, standin):
    standin.answers["update"] = {"changed": [task("a", "held")], "count": 1}
    assert cli("hold", "a", "--json").json == standin.answers["update"]


def test_what_is_skipped_at_once_again_says_why(cli, standin):
    skipped = task("c", "skipped", error="Its dependency a did not succeed (cancelled).")
    standin.answers["update"] = {"changed": [skipped], "count": 1}
    assert cli("retry", "c").out == "c skipped: Its dependency a did not succeed (cancelled).\n"
