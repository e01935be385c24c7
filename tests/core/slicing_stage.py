"""A node on which commands and functions take turns."""

from dataclasses import replace

from mcp_scheduler.core.changes import Continue, Pause
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.task import Kind
from mcp_scheduler.policies.order import TIME_SLICE
from tests.core.builders import Stage, needs, terms

GIB = 2**30


def command(cpus=1, **options):
    return replace(terms("tool", needs=needs(cpus, **options.pop("amounts", {})), **options), kind=Kind.COMMAND)


class Slicing(Stage):
    """A node where turns last ten seconds."""

    def __init__(self, cpus=1, **amounts):
        super().__init__(cpus, policy=TIME_SLICE, **amounts)

    @property
    def paused(self):
        return [effect.attempt.task for effect in self.effects(Pause)]

    @property
    def continued(self):
        return [effect.attempt.task for effect in self.effects(Continue)]

    @property
    def still(self):
        return sorted(attempt.task for attempt in self.cluster.slices.told)

    @property
    def free(self):
        return self.cluster.rooms[LOCAL].free

    def next_turn(self):
        """Go to the next moment at which the core itself wants to look."""
        due = self.cluster.next_due()
        assert due is not None
        return self.wait(max(0.0, due - self.now))


def sharing(cpus, names):
    """Commands of a CPU each, of which the first have made way for the others."""
    stage = Slicing(cpus)
    for name in names:
        stage.submit(name, command())
    stage.wait(10)
    assert stage.running == list(names)
    return stage
