"""How many workers stay warm goes by the CPUs that the settings give to tasks, not by those of the machine."""

from mcp_scheduler.engine import limits_of
from mcp_scheduler.settings import Pool


def test_as_many_stay_warm_as_can_be_at_work_at_once():
    assert limits_of(Pool(cpus=64)).idle == 65
    assert limits_of(Pool(cpus=0.5)).idle == 2
