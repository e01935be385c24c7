"""When tasks will start and end, as far as that follows from what is known."""

import pytest

from mcp_scheduler.core.events import Action, Submitted
from mcp_scheduler.core.task import Extras
from mcp_scheduler.forecast.durations import Durations
from mcp_scheduler.service.outlook import Outlook
from tests.core.builders import Stage, needs, terms

LONG = terms("module.long")  # a minute
SHORT = terms("module.short")  # ten seconds


class Scene:
    """A stage whose functions take exactly what they always took."""

    def __init__(self, cpus=2):
        self.stage = Stage(cpus)
        forecasts = self.stage.cluster.forecasts = Durations()
        for kind, seconds in ((LONG, 60.0), (SHORT, 10.0)):
            for _ in range(40):
                forecasts.learn(kind, 0, "", seconds)
                self.stage.cluster.estimates.learn(kind.target, seconds)
        self.outlook = Outlook(self.stage.cluster, self)

    def now(self):
        return self.stage.now

    def eta(self, name):
        return self.outlook.of(self.stage.task(name))


def about(seconds):
    return pytest.approx(seconds, rel=0.05, abs=0.5)


def test_nothing_is_promised_of_what_nobody_has_seen():
    scene = Scene()
    scene.stage.cluster.forecasts = Durations()
    scene.stage.submit("a", LONG)
    assert scene.eta("a") is None


def test_what_runs_ends_when_its_time_is_over_and_an_outlived_estimate_doubles():
    scene = Scene()
    scene.stage.submit("a", LONG)
    scene.stage.wait(20)
    assert (scene.eta("a").end, scene.eta("a").start) == (about(40), None)
    scene.stage.wait(50)
    assert scene.eta("a").end == about(50)  # 120 - 70


def test_the_next_in_line_starts_when_the_first_place_is_free():
    scene = Scene()
    scene.stage.submit("long", LONG)
    scene.stage.submit("short", SHORT)
    scene.stage.submit("next", SHORT)
    assert (scene.eta("next").start, scene.eta("next").end) == (about(10), about(20))


def test_a_task_in_the_middle_of_a_queue_waits_for_the_work_before_it():
    scene = Scene()
    scene.stage.turn(*(Submitted([scene.stage.new(f"t{number}", SHORT)]) for number in range(2)))
    for number in range(2, 62):
        scene.stage.now += 0.001
        scene.stage.submit(f"t{number}", SHORT)
    assert scene.eta("t32").start == pytest.approx(160, rel=0.1)  # 30 before it, 10 s each, two at a time
    assert scene.eta("t61").start == pytest.approx(305, rel=0.1)
    assert scene.eta("t61").end_late >= scene.eta("t61").end


def test_a_dependant_starts_when_the_last_of_its_dependencies_ends():
    scene = Scene()
    scene.stage.submit("a", LONG)
    scene.stage.submit("b", SHORT, after="a")
    scene.stage.submit("c", SHORT, after="a b")
    assert (scene.eta("c").start, scene.eta("c").end) == (about(70), about(80))


def test_a_scheduled_task_starts_at_its_time_and_a_held_one_at_nobody_knows():
    scene = Scene()
    scene.stage.submit("later", SHORT, start_after=scene.stage.now + 100)
    scene.stage.submit("held", SHORT, hold=True)
    assert scene.eta("later").end == about(110)
    assert scene.eta("held") is None
    scene.stage.update(Action.RESUME, "held")
    assert scene.eta("held").end == about(10)


def test_a_long_chain_is_not_followed_to_its_end():
    scene = Scene()
    scene.stage.submit("t0", SHORT)
    for number in range(1, 500):
        scene.stage.submit(f"t{number}", SHORT, after=f"t{number - 1}")
    assert scene.eta("t499") is None
    assert scene.eta("t100").end == pytest.approx(1010, rel=0.05)


def test_a_wide_task_waits_until_the_whole_node_is_free():
    scene = Scene()
    wide = terms("module.short", needs=needs(2))
    scene.stage.submit("long", LONG)
    scene.stage.submit("wide", wide)
    assert scene.eta("wide").start == about(60)


def test_a_task_that_waits_for_a_shared_thing_has_no_time_of_its_own():
    scene = Scene()
    scene.stage.submit("writer", LONG, extras=Extras(writes=("index",)))
    scene.stage.submit("other", SHORT, extras=Extras(writes=("index",)))
    assert scene.eta("other") is None


def test_what_was_taken_from_its_queue_a_moment_ago_starts_now():
    """Between a decision and its commit readers still see the task as queued."""
    scene = Scene(cpus=1)
    scene.stage.submit("long", LONG)
    scene.stage.submit("next", SHORT)
    scene.stage.task("next").queue = None
    assert scene.eta("next").start == 0.0


def test_a_compensation_has_no_time_as_long_as_nothing_has_failed():
    scene = Scene()
    scene.stage.turn(
        Submitted([
            scene.stage.new("work", LONG, extras=Extras(undo="undo")),
            scene.stage.new("undo", SHORT, extras=Extras(undoes="work", saga="work")),
        ])
    )  # fmt: skip
    assert scene.eta("work") is not None
    assert scene.eta("undo") is None


def test_those_who_ask_in_one_moment_share_one_picture_and_later_ones_get_another(monkeypatch):
    scene = Scene()
    drawn = []
    draw = scene.outlook._draw
    monkeypatch.setattr(scene.outlook, "_draw", lambda now: drawn.append(now) or draw(now))
    for number in range(4):
        scene.stage.submit(f"t{number}", SHORT)
    for _ in range(10):
        scene.stage.now += 0.001
        assert scene.eta("t3").start == about(10)
    assert len(drawn) == 1
    scene.stage.now += 0.02
    assert scene.eta("t3").start == about(10)
    assert len(drawn) == 2
