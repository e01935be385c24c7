"""Whether a deadline can be met: what is known of the tasks before counts, and its bound."""

from dataclasses import replace
from math import inf, log
from random import Random

import pytest

from mcp_scheduler.core.admission import admission, advice
from mcp_scheduler.core.agenda import ONE_BY_ONE, PIECES, Agenda
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.events import PolicyChosen, Submitted
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Extras, Kind
from mcp_scheduler.core.times import CHANCE, SURE, Time, lognormal
from mcp_scheduler.policies.catalogue import BUILT_IN
from tests.core.builders import Stage, needs, terms


class Known:
    """Forecasts: everything takes 10 s, 14 s at most, and is late after 20 s."""

    def expected(self, _task, _device_class="", /):
        return Expected(10.0, 14.0, 20.0)

    def learn(self, *_arguments, **_options):
        pass


def with_a_deadline(stage, seconds, cpus=1, **more):
    new = stage.new("urgent", terms("module.urgent", needs=needs(cpus)), **more)
    task = replace(new.task, deadline=stage.now + seconds)
    stage.turn(Submitted([replace(new, task=task)]))
    return stage.task("urgent")


@pytest.mark.parametrize(("seconds", "is_met"), [(80.0, True), (40.0, False)])
def test_the_work_of_known_length_that_waits_before_it_is_counted(seconds, is_met):
    stage = Stage(cpus=1)
    stage.cluster.forecasts = Known()
    for name in ("runs", "first", "second"):
        stage.submit(name)
    found = admission(stage.cluster, with_a_deadline(stage, seconds), stage.now)
    assert found.takes == 14.0
    assert 30.0 <= found.before <= 56.0, "one runs and two wait, of 10 to 14 s each"
    assert found.is_met is is_met


def test_alone_it_is_done_within_its_bound_in_nine_cases_of_ten():
    stage = Stage(cpus=1)
    stage.cluster.forecasts = Known()
    stage.submit("runs")
    stage.end("runs")
    task = with_a_deadline(stage, 10.5)
    stage.cluster.tasks["urgent"].status.state = State.QUEUED  # as it was before it started
    stage.cluster.slots.clear()
    found = admission(stage.cluster, task, stage.now)
    assert (found.before, found.done_by - stage.now) == (0.0, pytest.approx(14.0))
    assert not found.is_met  # the median is 10, six in ten end within 10.7
    task.deadline = stage.now + 10.8
    assert admission(stage.cluster, task, stage.now).is_met


@pytest.mark.parametrize(("median", "upper"), [(1.0, 1.0), (10.0, 14.0), (3.0, 20.0)])
def test_a_sum_of_many_is_known_better_than_its_terms(median, upper):
    one = lognormal(Expected(median, upper))
    assert one.within(SURE) == pytest.approx(upper)
    sums = [one.of(count).within(SURE) / one.of(count).mean for count in (1, 4, 100)]
    assert sums == sorted(sums, reverse=True)
    assert sums[-1] < 1.4
    assert one.of(100).within(CHANCE) <= one.of(100).within(SURE) <= 100 * upper + 1e-9


def test_a_sum_has_the_quantiles_that_draws_of_its_terms_have():
    draw = Random(1)
    sigma = log(1.4) / 1.281552
    times = [lognormal(Expected(median, 1.4 * median)) for median in (5.0, 10.0, 40.0)]
    whole = Time(sum(time.mean for time in times), sum(time.variance for time in times))
    sums = sorted(sum(median * draw.lognormvariate(0, sigma) for median in (5.0, 10.0, 40.0)) for _ in range(20_000))
    for chance in (CHANCE, SURE):
        assert sums[int(chance * len(sums))] == pytest.approx(whole.within(chance), rel=0.015)


def test_a_bound_that_nobody_knows_makes_no_number_of_hundreds_of_digits():
    for upper in (1e9, inf):
        time = lognormal(Expected(1.0, upper))
        assert time.mean < 4
        assert time.of(10).within(SURE) < 200


def test_a_wide_task_waits_longer_for_the_same_work_than_a_narrow_one():
    found = {}
    for cpus in (1, 4, 8):
        stage = Stage(cpus=8)
        stage.cluster.forecasts = Known()
        for number in range(12):
            stage.submit(f"t{number}")
        found[cpus] = admission(stage.cluster, with_a_deadline(stage, 1e4, cpus), stage.now).before
    assert found[4] == pytest.approx(1.6 * found[1])  # 8 / (8 - 4 + 1)
    assert found[8] == pytest.approx(2 * found[1])


def test_the_deadline_that_is_advised_can_be_met():
    stage = Stage(cpus=1)
    stage.cluster.forecasts = Known()
    for name in ("runs", "first"):
        stage.submit(name)
    task = with_a_deadline(stage, 25.0)
    found = admission(stage.cluster, task, stage.now)
    assert "cannot be met" in advice(found, task, stage.now)
    task.deadline = found.done_by
    assert admission(stage.cluster, task, stage.now).is_met


class Queues:
    """A stage under `edf` with one CPU, and tasks with deadlines in so many seconds from now."""

    def __init__(self):
        self.stage = Stage(cpus=1, policy=BUILT_IN["edf"])
        self.stage.cluster.forecasts = Known()
        self.stage.submit("runs")

    def add(self, name, seconds):
        new = self.stage.new(name)
        self.stage.turn(Submitted([replace(new, task=replace(new.task, deadline=self.stage.now + seconds))]))
        return admission(self.stage.cluster, self.stage.task(name), self.stage.now)


def test_who_would_make_an_admitted_one_late_is_told_so_and_not_admitted():
    queues = Queues()
    assert queues.add("first", 25.0).is_admitted  # one runs, of 10 s
    found = queues.add("urgent", 22.0)
    assert found.is_met
    assert not found.is_admitted
    assert (found.late.size, found.late.first.id) == (1, "first")
    said = advice(found, queues.stage.task("urgent"), queues.stage.now)
    assert "before first, who will be late then" in said
    assert "more than 25 s from now" in said


def test_who_leaves_the_others_enough_time_is_admitted_before_them():
    queues = Queues()
    assert queues.add("first", 60.0).is_admitted
    assert queues.add("urgent", 22.0).is_admitted


def test_who_could_not_be_in_time_even_alone_holds_nobody_up():
    queues = Queues()
    assert not queues.add("hopeless", 9.0).is_met
    assert queues.add("first", 25.0).is_admitted


def test_who_is_late_already_is_not_protected():
    queues = Queues()
    assert not queues.add("late", 15.0).is_met  # it takes 10 s, and so does what runs
    assert queues.add("urgent", 14.0).late is None


def test_an_order_that_does_not_look_at_deadlines_makes_nobody_late_by_one():
    queues = Queues()
    queues.add("first", 25.0)
    queues.stage.turn(PolicyChosen(BUILT_IN["fifo"]))
    assert queues.add("urgent", 36.0).late is None


def test_of_many_those_in_queues_are_told_by_their_queues():
    queues = Queues()
    for number in range(ONE_BY_ONE + 100):
        found = queues.add(f"t{number}", 40.0 + 12.0 * number)
    assert found.is_admitted
    assert len(Agenda(queues.stage.cluster, queues.stage.task("t7"), queues.stage.now).line) == PIECES
    found = queues.add("urgent", 22.0)
    assert found.is_met
    assert found.before == pytest.approx(10.0, abs=2.0)
    assert queues.add("behind", 100_000.0).before == pytest.approx(10.2 * (ONE_BY_ONE + 102), rel=0.05)


WRITES = Extras(writes=("report",))


def told(stage, seconds):
    """The admission of a task that writes the report, and what is said of it."""
    task = with_a_deadline(stage, seconds, extras=WRITES)
    found = admission(stage.cluster, task, stage.now)
    return found, advice(found, task, stage.now)


@pytest.mark.parametrize(("seconds", "is_met"), [(25.0, True), (15.0, False)])
def test_who_uses_the_same_thing_is_waited_for_though_there_is_room(seconds, is_met):
    stage = Stage(cpus=16)
    stage.cluster.forecasts = Known()
    stage.submit("runs", extras=WRITES)
    found, said = told(stage, seconds)
    assert (found.held.by.task.id, found.held.by.thing) == ("runs", "report")
    assert found.is_met is is_met
    assert ("runs writes 'report'" in said) is not is_met


def test_the_deadline_that_is_advised_behind_another_can_be_met():
    stage = Stage(cpus=16)
    stage.cluster.forecasts = Known()
    stage.submit("runs", extras=WRITES)
    found, _ = told(stage, 15.0)
    stage.task("urgent").deadline = found.done_by + 0.01
    assert admission(stage.cluster, stage.task("urgent"), stage.now).is_met


def test_a_lease_that_holds_a_thing_beyond_the_deadline_is_told():
    stage = Stage(cpus=16)
    stage.submit("holder", replace(terms("lease", needs=needs(0), timeout=60.0), kind=Kind.LEASE), extras=WRITES)
    found, said = told(stage, 30.0)
    assert not found.is_met
    assert "holder writes 'report', and may do so for 60 s more" in said
    stage.task("urgent").deadline = stage.now + 90.0
    assert admission(stage.cluster, stage.task("urgent"), stage.now).is_met, "it lapses before"


def test_where_the_work_before_it_takes_longer_that_is_told_instead():
    stage = Stage(cpus=1)
    stage.cluster.forecasts = Known()
    stage.submit("runs", extras=WRITES)
    for number in range(5):
        stage.submit(f"other-{number}")
    found, said = told(stage, 20.0)
    assert found.held is None
    assert "of work go first" in said
