"""What the answer to a submission says of a deadline, of periods, and of a lease that has lapsed."""

from dataclasses import replace

import pytest

from mcp_scheduler.core.events import Group, NewTask, Submitted
from mcp_scheduler.core.task import Extras, Kind
from mcp_scheduler.forecast.durations import Durations
from mcp_scheduler.service.groups import Tally
from mcp_scheduler.service.look import Look
from tests.core.builders import Stage, needs, terms

LONG = terms("module.long")  # a minute


class Scene:
    """A stage on which a call is known to take a minute, and how its tasks look."""

    def __init__(self):
        self.stage = Stage(1)
        self.stage.cluster.forecasts = Durations()
        for _ in range(40):
            self.stage.cluster.forecasts.learn(LONG, 0, "", 60.0)
        self.look = Look(self.stage.cluster, {}, self)

    def now(self):
        return self.stage.now

    def submit(self, name, left):
        task = self.stage.new(name, LONG).task
        task.deadline = self.stage.now + left
        self.stage.turn(Submitted([NewTask(task, b"")]))
        return self.look.task(self.stage.task(name))


@pytest.fixture
def scene():
    return Scene()


def test_a_deadline_that_is_missed_though_the_task_starts_at_once_is_told(scene):
    told = scene.submit("a", 20.0)
    assert told.state == "running"
    assert told.hint == (
        "Its deadline in 20 s will probably be missed: it is done in about 60 s, 9 times in 10 in 60 s. Set a later"
        " one, or give it less to do."
    )


def test_of_a_deadline_that_is_met_nothing_is_said(scene):
    assert scene.submit("a", 90.0).hint == ""
    scene.stage.wait(45)
    assert scene.look.task(scene.stage.task("a")).hint == ""


def test_of_one_that_has_passed_it_is_told_that_the_task_goes_on(scene):
    scene.submit("a", 20.0)
    scene.stage.wait(30)
    assert scene.look.task(scene.stage.task("a")).hint == (
        "Its deadline has passed. It goes on, and is done in about 30 s; or cancel it."
    )


def test_a_lease_that_has_lapsed_is_to_be_renewed_not_to_be_made_smaller(scene):
    lease = replace(terms(needs=needs(1), timeout=10.0), kind=Kind.LEASE)
    scene.stage.submit("l", lease)
    assert scene.look.task(scene.stage.task("l")).state == "running"
    scene.stage.wait(11)
    told = scene.look.task(scene.stage.task("l"))
    assert (told.reason, told.hint.split(",")[0]) == ("timeout", "Lease it again")


def test_of_a_series_it_is_told_when_periods_are_not_certain_to_be_kept(scene):
    def series(name, every):
        group = Group(name, "", "series", "ann", 1, scene.now())
        new = scene.stage.new(f"{name}-1", LONG, group=name, extras=Extras(every=every, occurrence=1))
        scene.stage.turn(Submitted([new], group))
        tally = Tally(group)
        tally.note(new.task.id, scene.stage.state(new.task.id))
        return scene.look.series_hint(tally)

    assert series("rare", 600.0) == ""
    assert series("often", 80.0) == (
        "2 recurring tasks load this cluster to 1.60; only up to 0.83 is it certain that each keeps its period. Give"
        " longer periods, or less work to each run."
    )
