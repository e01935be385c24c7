"""What is advised about tasks that were rolled back: none that would be refused."""

from mcp_scheduler.core.events import Group, Submitted
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Extras
from mcp_scheduler.service.desk import skipped_hint
from mcp_scheduler.service.groups import Tally
from mcp_scheduler.service.look import Look
from tests.core.builders import Stage


class Scene:
    """A graph of three, of which the second fails, where the first has a compensation."""

    def __init__(self, undone=None):
        self.stage = stage = Stage()
        new = [
            stage.new("a", group="g", extras=Extras(undo="a-undo")),
            stage.new("b", after="a", group="g"),
            stage.new("c", after="b", group="g"),
            stage.new("d", after="c", group="g"),
            stage.new("a-undo", extras=Extras(undoes="a", saga="g")),
        ]
        self.group = Group("g", "", "graph", "ann", 4, stage.now)
        stage.turn(Submitted(new, self.group))
        stage.end("a")
        stage.end("b", Reason.ERROR)
        stage.end("a-undo", undone)
        self.look = Look(stage.cluster, {}, self)

    def now(self):
        return self.stage.now

    def hint(self, name):
        return self.look.task(self.stage.task(name)).hint

    def group_hint(self):
        tally = Tally(self.group)
        for name in "abcd":
            tally.note(name, self.stage.state(name))
        return skipped_hint(tally, [self.look.task(self.stage.task("b"))])


def test_what_was_rolled_back_is_to_be_submitted_anew():
    scene = Scene()
    assert "submit it anew" in scene.hint("b")
    assert "submit them anew" in scene.hint("c")
    assert "is not run again by update_task retry" in scene.group_hint()


def test_a_rollback_that_failed_leads_to_the_compensation():
    scene = Scene(Reason.ERROR)
    assert "-undo; mend its cause" in scene.hint("b")
    assert "update_task retry" in scene.hint("a-undo")


def test_a_compensation_that_had_nothing_to_undo_needs_nothing():
    scene = Scene()
    owner = scene.stage.new("x", extras=Extras(undo="x-undo"))
    scene.stage.turn(Submitted([owner, scene.stage.new("x-undo", extras=Extras(undoes="x", saga="x"))]))
    scene.stage.end("x")
    assert scene.stage.state("x-undo") is State.SKIPPED
    assert scene.hint("x-undo") == ""
