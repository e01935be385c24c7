"""What the ends of attempts teach, and which of many short calls are learnt from."""

from mcp_scheduler.core.learning import Sampler
from mcp_scheduler.core.states import Reason
from mcp_scheduler.forecast.durations import Durations
from mcp_scheduler.forecast.footprints import MemoryFootprints
from tests.core.builders import Stage, terms


def learning_stage():
    stage = Stage(2)
    stage.cluster.forecasts, stage.cluster.footprints = Durations(), MemoryFootprints()
    return stage


def expected(stage, name):
    return stage.cluster.forecasts.expected(stage.task(name))


def test_every_call_of_a_second_is_learnt_from_and_few_of_a_microsecond():
    sampler = Sampler()
    assert all(sampler.takes("slow", 1.0) for _ in range(1000))
    taken = sum(sampler.takes("quick", 1e-4) for _ in range(10_000))
    assert Sampler.FIRST <= taken <= Sampler.FIRST + 10_000 * 1e-4 / Sampler.PRICE + 1


def test_a_rare_long_call_among_short_ones_is_not_taken_more_often_than_they():
    sampler = Sampler()
    longs = [sampler.takes("mixed", 10.0 if number % 100 == 99 else 1e-4) for number in range(10_000)][99::100]
    assert sum(longs) <= len(longs) * 0.5


def test_the_sampler_remembers_a_bounded_number_of_targets():
    sampler = Sampler()
    for number in range(3 * Sampler.MOST):
        sampler.takes(f"module.f{number}", 0.1)
    assert len(sampler._credit) <= Sampler.MOST


def test_a_success_is_learnt_and_a_failure_of_its_own_is_not():
    stage = learning_stage()
    stage.submit("a")
    stage.end("a", Reason.ERROR, seconds=0.001)
    assert expected(stage, "a") is None
    stage.submit("b")
    stage.end("b", seconds=30.0)
    assert abs(expected(stage, "b").median - 30.0) < 1e-9


def test_a_timeout_says_at_least():
    stage = learning_stage()
    stage.submit("a", terms(timeout=60.0))
    stage.end("a", Reason.TIMEOUT, seconds=60.0)
    assert expected(stage, "a").median > 100.0


def test_functions_learn_apart_and_environments_together():
    stage = learning_stage()
    stage.submit("a", terms("module.slow"))
    stage.end("a", seconds=50.0)
    stage.submit("b", terms("module.slow", principal="bob"))
    assert abs(expected(stage, "b").median - 50.0) < 1e-6
