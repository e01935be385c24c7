from mcp_scheduler.core.ready import Ready
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Status, Task
from mcp_scheduler.policies.order import PRIORITY
from tests.core.builders import needs, terms

ONE, OTHER = terms("module.one"), terms("module.other", needs=needs(2))


class Line:
    """A `Ready` and the tasks that a test puts into it."""

    def __init__(self):
        self.ready = Ready(PRIORITY)
        self.parked = []
        self.tasks = {}

    def push(self, name, asked=ONE, priority=0, at=0.0, *, first=False):
        task = self.tasks.get(name)
        if task is None:
            task = Task(name, len(self.tasks), asked, at, Status(State.QUEUED, at, priority=priority))
            self.tasks[name] = task
        self.ready.push(task, priority, at, first=first)

    def remove(self, name):
        self.ready.remove(self.tasks[name])

    def take(self):
        self.ready.best()
        return self.ready.take().id

    def park(self):
        self.ready.best()
        self.ready.park(self.parked, whole_crowd=True)

    def unpark(self):
        self.ready.unpark(self.parked)
        self.parked.clear()

    def drain(self):
        names = []
        while self.ready.best() is not None:
            names.append(self.take())
        assert len(self.ready) == 0
        return names


def line(*names):
    made = Line()
    for at, name in enumerate(names):
        made.push(name, at=float(at))
    return made


def test_equal_tasks_go_in_the_order_of_their_arrival():
    assert line("a", "b", "c").drain() == ["a", "b", "c"]


def test_queues_of_different_terms_are_merged_by_rank():
    made = Line()
    for at, (name, asked) in enumerate([("a", ONE), ("b", OTHER), ("c", ONE), ("d", OTHER)]):
        made.push(name, asked, at=float(at))
    assert made.drain() == ["a", "b", "c", "d"]


def test_ties_go_by_arrival():
    made = Line()
    made.push("a", OTHER)
    made.push("b", ONE)
    made.push("c", OTHER)
    assert made.drain() == ["a", "b", "c"]


def test_priority_goes_first():
    made = line("a", "b")
    made.push("urgent", priority=1, at=2.0)
    assert made.drain() == ["urgent", "a", "b"]


def test_a_removed_task_is_gone_from_the_head_the_middle_and_the_end():
    made = line("a", "b", "c", "d", "e")
    for name in ("a", "c", "e"):
        made.remove(name)
    assert len(made.ready) == 2
    assert made.drain() == ["b", "d"]


def test_a_task_that_left_and_came_back_has_one_place_and_it_is_the_later_one():
    made = line("a", "b", "c")
    for at in (3.0, 4.0):
        made.remove("a")
        made.push("a", at=at)
    assert len(made.ready) == 3
    assert made.drain() == ["b", "c", "a"]


def test_a_queue_that_was_emptied_by_removal_can_be_filled_again():
    made = line("a")
    made.remove("a")
    made.push("b", at=5.0)
    assert made.drain() == ["b"]
    made.push("c", at=6.0)
    assert made.drain() == ["c"]


def test_what_comes_back_unbegun_goes_before_its_kind_in_the_order_of_arrival():
    made = line("a", "b", "c", "d")
    assert [made.take() for _ in range(3)] == ["a", "b", "c"]
    for name in ("c", "a", "b"):  # in any order
        made.push(name, at=9.0, first=True)
    assert made.drain() == ["a", "b", "c", "d"]


def test_what_comes_back_does_not_hold_up_its_queue_against_others():
    """It keeps the rank of those behind it: with a rank of now, the whole queue would wait behind the other one."""
    made = line("a", "b")
    made.push("x", OTHER, at=5.0)
    made.take()
    made.push("a", at=9.0, first=True)
    assert made.drain() == ["a", "b", "x"]


def test_a_queue_that_emptied_after_a_return_is_not_forgotten_twice():
    made = line("a", "b")
    made.take()
    made.push("a", at=9.0, first=True)
    assert made.drain() == ["a", "b"]  # the heap may still hold entries of this queue
    made.push("c", at=10.0)
    made.push("x", OTHER, at=11.0)
    made.ready.best()
    made.push("d", at=12.0)
    made.remove("d")
    assert made.drain() == ["c", "x"]


def test_another_priority_gives_the_place_that_the_waiting_has_earned():
    made = line("a", "b")
    for name, at in (("c", 2.0), ("d", 3.0)):
        made.push(name, priority=5, at=at)
    made.remove("b")
    made.push("b", priority=5, at=1.0)  # it has waited longer than c and d
    assert made.drain() == ["b", "c", "d", "a"]


def test_a_priority_that_is_changed_back_and_forth_leaves_one_entry():
    made = line("a", "b", "c")
    for new in (5, 0, 5, 0):
        made.remove("b")
        made.push("b", priority=new, at=1.0)
    assert len(made.ready) == 3
    assert made.drain() == ["a", "b", "c"]


def test_a_parked_head_is_passed_over_until_the_round_is_over():
    made = line("a", "b")
    made.push("x", OTHER, at=5.0)
    made.park()
    assert made.ready.best().id == "x"
    made.unpark()
    assert made.drain() == ["a", "b", "x"]


def test_all_queues_of_the_same_needs_are_passed_over_at_once():
    made = Line()
    for number in range(50):
        made.push(f"one{number}", terms(f"module.f{number}"), at=float(number))
    made.push("x", OTHER, at=99.0)
    made.park()
    assert made.ready.best().id == "x"
    made.unpark()
    assert made.drain() == [*(f"one{number}" for number in range(50)), "x"]


def test_nothing_is_kept_of_queues_that_are_empty():
    made = line("a", "b")
    made.push("x", OTHER, at=5.0)
    made.drain()
    assert not made.ready._root.members


def test_the_least_cpus_never_exceed_what_somebody_waits_for():
    made = Line()
    made.push("big", OTHER)
    assert made.ready.least_cpus == 2000
    made.push("small", ONE)
    assert made.ready.least_cpus == 1000
    made.drain()
    made.push("big", OTHER)
    assert made.ready.least_cpus == 2000
