"""What ended tasks leave behind is bounded, whatever their number."""

import gc
from weakref import ref

from mcp_scheduler.core.deadlines import Deadlines
from mcp_scheduler.core.estimates import MOST, Estimates
from mcp_scheduler.core.heads import Group
from mcp_scheduler.core.queues import Queue
from mcp_scheduler.core.task import Task
from tests.core.builders import Stage, needs, terms


def with_deadline(stage, name, at):
    task = stage.new(name).task
    task.deadline = at
    return task


def test_ended_tasks_do_not_stay_until_their_deadlines_pass():
    stage, deadlines = Stage(), Deadlines()
    first = with_deadline(stage, "first", 1.0)
    deadlines.watch(first)
    for number in range(1000):
        task = with_deadline(stage, f"forgotten-{number}", 1e9)
        deadlines.watch(task)
        deadlines.forget(task)
    gc.collect()
    left = [one for one in gc.get_objects() if isinstance(one, Task) and one.id.startswith("forgotten-")]
    assert len(left) < 100
    assert list(deadlines.passed(2.0)) == [first], "who is open is still there"


def test_a_deadline_that_was_put_off_counts_once_when_the_heap_is_made_anew():
    stage, deadlines = Stage(), Deadlines()
    moved = with_deadline(stage, "moved", 5.0)
    deadlines.watch(moved)
    moved.deadline = 9.0
    deadlines.watch(moved)
    for number in range(200):
        task = with_deadline(stage, f"task-{number}", 7.0)
        deadlines.watch(task)
        deadlines.forget(task)
    assert deadlines.next() == 9.0
    assert list(deadlines.passed(10.0)) == [moved]


def test_tasks_that_leave_a_queue_that_stands_still_do_not_stay_in_it():
    stage = Stage(cpus=1)
    stage.submit("runs")
    for number in range(300):
        stage.submit(f"waits-{number}")
        if number % 3:
            stage.cancel(f"waits-{number}")
    queue = stage.task("waits-0").queue
    assert queue.size == 100
    assert len(queue.line) - queue.begin + len(queue.early) < 300
    assert [task.id for _, task in queue.tasks()] == [f"waits-{number}" for number in range(0, 300, 3)]


def test_a_queue_that_is_empty_is_freed_without_the_collector():
    stage = Stage(cpus=4, memory=1000)
    gc.collect()
    gc.disable()
    try:
        for number in range(50):
            asked = terms(f"module.function_{number}", needs=needs(1 + number % 3, memory=number))
            stage.submit(f"runs-{number}", asked)
            stage.end(f"runs-{number}")
        left = [one for one in gc.get_objects() if isinstance(one, Queue | Group)]
    finally:
        gc.enable()
    assert len(left) < 20


def test_estimates_of_targets_without_end_are_bounded_and_the_latest_are_known():
    estimates = Estimates()
    for number in range(MOST + 10):
        estimates.learn(f"command-{number}", 1.0)
    assert estimates.seconds("command-0") is None
    assert estimates.seconds(f"command-{MOST + 9}") == 1.0


def test_equal_terms_are_one_object():
    cluster = Stage().cluster
    first = cluster.intern(terms("module.function", timeout=1.0))
    cluster.intern(terms("module.other"))
    assert cluster.intern(terms("module.function", timeout=1.0)) is first


def test_terms_that_no_task_has_any_more_leave_memory():
    cluster = Stage().cluster
    gone = [ref(cluster.intern(terms("module.function", timeout=float(number)))) for number in range(1, 100)]
    cluster.intern(terms("module.other"))
    gc.collect()
    assert [one() for one in gone] == [None] * 99
