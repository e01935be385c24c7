import json

import pytest

from mcp_scheduler.sdk.chunk import Chunk
from mcp_scheduler.sdk.current import CurrentTask, Yielded
from mcp_scheduler.sdk.stops import Stopped

ITEMS = [{"n": number} for number in range(4)]


class Calls:
    """A function that does to each item what the test says, and remembers what it was called with."""

    def __init__(self, **fates):
        self.fates = {int(name[1:]): fate for name, fate in fates.items()}
        self.seen = []

    def __call__(self, arguments):
        self.seen.append(arguments["n"])
        fate = self.fates.get(arguments["n"], arguments["n"] * 10)
        if isinstance(fate, BaseException):
            raise fate
        return fate


def task(told=None):
    return CurrentTask("t", 1, "", report=lambda *progress: told is not None and told.append(progress))


def run(tmp_path, calls, told=None):
    chunk = Chunk(ITEMS, 100, str(tmp_path / "t"))
    chunk.run(calls, task(told))
    return chunk


def test_all_results_are_one_list(tmp_path):
    chunk = run(tmp_path, Calls())
    assert (json.loads(chunk.result()), chunk.failure()) == ([0, 10, 20, 30], "")


def test_an_item_that_fails_spoils_no_other_and_is_told_by_its_number_in_the_map(tmp_path):
    chunk = run(tmp_path, Calls(n1=ValueError("odd"), n2=object(), n3=SystemExit(3)))
    results = json.loads(chunk.result())
    assert (results[0], results[1]) == (0, {"$error": "ValueError: odd"})
    assert results[2]["$error"].startswith("The result is not JSON")
    assert chunk.failure().startswith("3 of 4 items failed; item 101: ValueError: odd")


def test_the_next_attempt_does_what_is_left(tmp_path):
    run(tmp_path, Calls(n1=ValueError("odd"))).keep()
    again = Calls()
    chunk = run(tmp_path, again)
    assert again.seen == [1]
    assert (json.loads(chunk.result()), chunk.failure()) == ([0, 10, 20, 30], "")


@pytest.mark.parametrize("end", [Stopped(), MemoryError("no room")])
def test_a_stop_and_want_of_memory_end_the_chunk_and_keep_what_is_done(tmp_path, end):
    chunk = Chunk(ITEMS, 0, str(tmp_path / "t"))
    with pytest.raises(type(end)):
        chunk.run(Calls(n2=end), task())
    assert json.loads(chunk.result())[2:] == [{"$error": "It did not come to its end."}] * 2
    chunk.keep()
    again = Calls()
    run(tmp_path, again)
    assert again.seen == [2, 3]


def test_it_tells_how_far_it_is(tmp_path):
    told = []
    run(tmp_path, Calls(), told)
    assert told[-1] == (1.0, "4 of 4 items")


def test_an_item_that_failed_in_a_stage_before_is_passed_on_and_not_called(tmp_path):
    calls = Calls()
    chunk = Chunk([{"n": 0}, {"$error": "ValueError: before"}, {"n": 2}], 7, str(tmp_path / "t"))
    chunk.run(calls, task())
    assert calls.seen == [0, 2]
    assert json.loads(chunk.result()) == [0, {"$error": "ValueError: before"}, 20]
    assert chunk.failure() == "1 of 3 items failed; item 8: ValueError: before"


def hands(tmp_path, calls, seconds, count=4):
    """A chunk in parts, each by a new attempt, until it is done."""
    parts = []
    while True:
        chunk = Chunk([{"n": number} for number in range(count)], 0, str(tmp_path / "t"), seconds)
        try:
            chunk.run(calls, task())
        except Yielded:
            chunk.keep(is_part=True)
            parts.append(len(calls.seen))
        else:
            return chunk, [*parts, len(calls.seen)]


def slowly(monkeypatch, seconds):
    """Each look at the clock is so much later than the last one."""
    clock = iter(range(100_000))
    monkeypatch.setattr("mcp_scheduler.sdk.chunk.time.perf_counter", lambda: next(clock) * seconds)


def test_a_chunk_makes_way_when_its_time_is_up_and_goes_on_where_it_was(tmp_path, monkeypatch):
    slowly(monkeypatch, 1.0)
    chunk, parts = hands(tmp_path, calls := Calls(), 1.5)
    assert calls.seen == [0, 1, 2, 3], "no item is done twice"
    assert parts == [1, 2, 3, 4]
    assert json.loads(chunk.result()) == [0, 10, 20, 30]


def test_a_chunk_that_is_almost_done_makes_no_way(tmp_path, monkeypatch):
    slowly(monkeypatch, 1.0)
    _, parts = hands(tmp_path, Calls(), 9.0, count=10)
    assert parts == [10]


def test_what_failed_in_an_earlier_part_is_told_at_the_end_and_left_to_a_retry(tmp_path, monkeypatch):
    slowly(monkeypatch, 1.0)
    chunk, _ = hands(tmp_path, calls := Calls(n0=ValueError("no")), 1.5)
    assert calls.seen == [0, 1, 2, 3]
    assert chunk.failure().startswith("1 of 4 items failed; item 0: ValueError: no")
    chunk.keep()
    again = Chunk(ITEMS, 0, str(tmp_path / "t"), 1.5)
    again.run(calls := Calls(), task())
    assert (calls.seen, json.loads(again.result())) == ([0], [0, 10, 20, 30])
