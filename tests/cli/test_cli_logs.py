"""logs: everything a task printed, each stream to its own, and following it to its end."""

import itertools

import pytest
from owner_standin import task


class Printed:
    """What attempts have printed so far, given out as the engine does: by offset, a page at a time."""

    def __init__(self, page=10):
        self.page = page
        self.streams = {}
        self.attempt = 1

    def add(self, stream, text, attempt=1):
        self.streams[attempt, stream] = self.streams.get((attempt, stream), "") + text

    def read(self, asked):
        attempt = asked.get("attempt", self.attempt)
        text = self.streams.get((attempt, asked["what"]), "")
        limit = min(self.page, asked["limit"])
        offset = max(0, len(text) - asked["limit"]) if asked.get("tail") else asked["offset"]
        piece = text[offset : offset + limit]
        end = offset + len(piece)
        page = {"id": asked["id"], "what": asked["what"], "attempt": attempt, "offset": offset, "total": len(text)}
        return page | {"text": piece} | ({"next_offset": end} if end < len(text) else {})


@pytest.fixture
def printed(standin):
    found = Printed()
    standin.answers["read"] = found.read
    return found


def states(standin, *steps):
    """What `get` answers, one step after the other: a task, after what the step did."""
    turns = itertools.chain(steps, itertools.repeat(steps[-1]))

    def answer(_):
        step = next(turns)
        return step() if callable(step) else step

    standin.answers["get"] = answer


def test_each_stream_goes_to_its_own_whole(cli, printed):
    printed.add("stdout", "one\ntwo\nthree\nfour\n")
    printed.add("stderr", "a warning that is longer than one page\n")
    ran = cli("logs", "a")
    assert (ran.code, ran.out, ran.err) == (0, "one\ntwo\nthree\nfour\n", "a warning that is longer than one page\n")


def test_one_stream_can_be_asked_for(cli, printed):
    printed.add("stdout", "out\n")
    printed.add("stderr", "err\n")
    ran = cli("logs", "a", "--only", "stderr")
    assert (ran.out, ran.err) == ("", "err\n")


def test_tail_begins_near_the_end(cli, printed):
    printed.page = 100
    printed.add("stdout", "0123456789\n")
    assert cli("logs", "a", "--tail", "4").out == "789\n"


def test_following_prints_what_comes_until_the_task_has_ended(cli, printed, standin):
    def more():
        printed.add("stdout", "later\n")
        return task("a", "running", attempt=1)

    def last():
        printed.add("stdout", "the end\n")
        return task("a", "succeeded", attempt=1)

    printed.add("stdout", "first\n")
    states(standin, task("a", "queued"), task("a", "running", attempt=1), more, last)
    ran = cli("logs", "-f", "a")
    assert (ran.code, ran.out) == (0, "first\nlater\nthe end\n")


def test_following_goes_on_with_the_next_attempt_and_tells_a_failure(cli, printed, standin):
    def again():
        printed.add("stdout", "left over\n")
        printed.add("stdout", "second try\n", attempt=2)
        return task("a", "running", attempt=2)

    printed.add("stdout", "first try\n")
    states(standin, task("a", "running", attempt=1), again, task("a", "failed", attempt=2, error="ValueError: no"))
    ran = cli("logs", "-f", "a")
    assert (ran.code, ran.out) == (1, "first try\nleft over\nsecond try\n")
    assert ran.err == "--- attempt 2 ---\n--- failed: ValueError: no ---\n"


def test_json_holds_both_streams_whole(cli, printed):
    printed.add("stdout", "0123456789abc")
    printed.add("stderr", "x")
    assert cli("logs", "a", "--json").json == {"id": "a", "attempt": 1, "stdout": "0123456789abc", "stderr": "x"}


def test_grep_and_attempt_are_passed_on(cli, printed, standin):
    printed.add("stdout", "x", attempt=3)
    cli("logs", "a", "--grep", "x+", "--attempt", "3", "--only", "stdout")
    assert standin.asked("read") == [
        {"id": "a", "what": "stdout", "limit": 65536, "offset": 0, "attempt": 3, "grep": "x+"}
    ]


def test_following_says_what_a_task_waits_for_once_and_not_of_one_that_begins_at_once(cli, printed, standin):
    printed.add("stdout", "out\n")
    queued = task("a", "queued", why="needs 1 cpu; free now: 0 cpus")
    later = task("a", "queued", why="needs 1 cpu; free now: 0.5 cpus")
    held = task("a", "held", why="held back; update_task resume lets it go on")
    states(standin, queued, queued, queued, later, held, task("a", "succeeded", attempt=1))
    ran = cli("logs", "-f", "a")
    assert ran.out == "out\n"
    assert ran.err == (
        "--- queued: needs 1 cpu; free now: 0 cpus ---\n--- held: held back; `mcp-scheduler resume` lets it go on ---\n"
    )
    states(standin, queued, queued, task("a", "succeeded", attempt=1))
    assert cli("logs", "-f", "a").err == ""


def test_how_a_cancelled_task_ended_is_said_once(cli, printed, standin):
    states(standin, task("a", "cancelled", attempt=1, reason="cancelled", error="The command was cancelled."))
    assert cli("logs", "-f", "a").err == "--- cancelled: The command was cancelled. ---\n"
