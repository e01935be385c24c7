"""What is kept in memory of ended tasks is bounded, by their number and by what they returned."""

from mcp_scheduler.core.events import Outcome
from mcp_scheduler.service.last_runs import BYTES, KEPT, LastRun, LastRuns


def run(size=0):
    return LastRun(1.0, 2.0, Outcome(result=b"x" * size))


def test_the_latest_are_kept_and_the_oldest_are_given_up():
    runs = LastRuns()
    for number in range(KEPT + 2):
        runs.keep(str(number), run())
    assert [runs.of(str(number)) is not None for number in (0, 1, 2, KEPT + 1)] == [False, False, True, True]


def test_large_results_are_given_up_before_they_fill_the_memory():
    runs, size = LastRuns(), 64 * 1024
    room = BYTES // size
    for number in range(room + 1):
        runs.keep(str(number), run(size))
    assert runs.of("0") is None
    assert all(runs.of(str(number)) is not None for number in range(1, room + 1))


def test_a_task_that_runs_again_counts_once():
    runs, size = LastRuns(), 64 * 1024
    runs.keep("first", run())
    for _ in range(2 * BYTES // size):
        runs.keep("again", run(size))
    assert runs.of("first") is not None
    assert runs.of("again").size == size
