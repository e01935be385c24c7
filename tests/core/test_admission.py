"""Whether a deadline can be met: what is known of the tasks before counts, and its bound."""

from dataclasses import replace

import pytest

from mcp_scheduler.core.admission import admission
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.events import Submitted
from tests.core.builders import Stage, terms


class Known:
    """Forecasts: everything takes 10 s, 14 s at most, and is late after 20 s."""

    def expected(self, _task, _device_class="", /):
        return Expected(10.0, 14.0, 20.0)

    def learn(self, *_arguments, **_options):
        pass


def with_a_deadline(stage, seconds):
    new = stage.new("urgent", terms("module.urgent"))
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
    assert 30.0 <= found.before <= 56.0, "one runs and two wait, of 10 to 14 s each; its own queue counts with it"
    assert found.is_met is is_met
