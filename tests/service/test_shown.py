"""Views that are shown again, and when they are made anew."""

from mcp_scheduler.core.events import Action
from mcp_scheduler.core.states import Reason
from mcp_scheduler.service.look import Look
from mcp_scheduler.service.shown import AGE
from tests.core.builders import Stage


class Scene:
    """A stage, and the views of its tasks."""

    def __init__(self):
        self.stage = Stage(1)
        self.look = Look(self.stage.cluster, {}, self)

    def now(self):
        return self.stage.now

    def view(self, name):
        return self.look.task(self.stage.task(name))

    def turn(self, decision):
        self.look.committed(decision.changes)


def test_what_waits_for_a_time_is_shown_again_whatever_becomes_of_others():
    scene = Scene()
    scene.turn(scene.stage.submit("later", start_after=scene.stage.now + 60))
    view = scene.view("later")
    scene.turn(scene.stage.submit("other"))
    assert scene.view("later") is view

    scene.stage.now += 2 * AGE
    assert scene.view("later") is not view


def test_what_waits_for_others_is_looked_at_anew_after_each_turn():
    scene = Scene()
    scene.turn(scene.stage.submit("first"))
    scene.turn(scene.stage.submit("second", after="first"))
    waiting = scene.view("second")
    assert scene.view("second") is waiting
    assert waiting.why == "waits for first"

    scene.turn(scene.stage.submit("blocks"))
    scene.turn(scene.stage.end("first"))
    assert "waits for first" not in scene.view("second").why


def test_a_change_of_the_task_itself_is_seen_at_once():
    scene = Scene()
    scene.turn(scene.stage.submit("later", start_after=scene.stage.now + 60))
    assert scene.view("later").priority == 0
    scene.stage.update(Action.SET_PRIORITY, "later", value=5)  # no listener has heard of it yet
    assert scene.view("later").priority == 5


def test_what_has_ended_is_shown_again_until_it_is_run_again():
    scene = Scene()
    scene.turn(scene.stage.submit("one"))
    scene.turn(scene.stage.end("one", Reason.ERROR))
    ended = scene.view("one")
    scene.stage.now += 3600
    scene.turn(scene.stage.submit("two"))
    assert scene.view("one") is ended

    scene.turn(scene.stage.update(Action.RETRY, "one"))
    assert scene.view("one").state != ended.state


def test_what_runs_is_always_looked_at_anew():
    scene = Scene()
    scene.turn(scene.stage.submit("one"))
    assert scene.view("one").state == "running"
    assert scene.view("one") is not scene.view("one")
