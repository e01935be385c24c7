from mcp_scheduler.core.events import Submitted
from tests.core.builders import Stage, needs, terms


def test_any_number_of_shapes_that_wait_for_one_resource_hides_nothing_that_can_run():
    stage = Stage(cpus=4, license=1)
    waiting = [stage.new(f"w{number}", terms(f"m.f{number}", needs=needs(1, license=1))) for number in range(1500)]
    stage.turn(Submitted(waiting))
    stage.submit("free", terms("m.free"))
    assert stage.running == ["w0", "free"]
