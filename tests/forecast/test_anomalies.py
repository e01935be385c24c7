"""What is unusual is found soon, and what is usual is left alone."""

import sys
from pathlib import Path
from random import Random

import pytest

from mcp_scheduler.forecast.anomalies import IDLE, KEPT, STANDS, Anomalies
from mcp_scheduler.forecast.detectors import Burst, Drift, Excess

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from anomalies import GOAL, campaign


def test_planted_troubles_are_found_within_three_minutes_of_calls_and_few_alarms_are_false():
    tallies = campaign(seeds=1, count=9).values()
    soon = sum(one <= GOAL for tally in tallies for one in tally.found)
    assert soon >= 0.9 * sum(tally.planted for tally in tallies)
    assert sum(tally.false for tally in tallies) <= 0.12 * sum(tally.alarms for tally in tallies)


def took(watch, seconds, now=0.0, name="m.f"):
    watch.took(name, seconds, 2.0, 3.0, now)


def test_a_function_that_has_become_slow_is_told_with_how_slow_it_is():
    watch = Anomalies()
    for _ in range(100):
        took(watch, 2.0)
    assert not list(watch.alerts(0.0))
    for _ in range(6):
        took(watch, 6.0)
    (told,) = watch.alerts(0.0)
    assert told == "m.f has become slow: its last 4 calls took 3.0 times as long as expected."


def test_one_very_slow_call_is_no_change():
    watch = Anomalies()
    for _ in range(20):
        took(watch, 2000.0)
        for _ in range(10):
            took(watch, 2.0)
    assert not list(watch.alerts(0.0))


def test_four_bad_ends_in_a_row_are_a_burst_and_now_and_then_one_is_not():
    watch = Anomalies()
    for number in range(400):
        watch.ended("m.f", 0.0, bad=number % 20 == 19)
    assert not list(watch.alerts(0.0))
    for _ in range(4):
        watch.ended("m.f", 0.0, bad=True)
    (told,) = watch.alerts(0.0)
    assert told.startswith("4 of the last 4 calls of m.f ended badly; usually 5% do.")


def test_a_function_that_usually_fails_is_no_news():
    random = Random(1)
    watch = Burst()
    for _ in range(500):
        watch.add(bad=random.random() < 0.4)
    found = sum(watch.add(bad=random.random() < 0.4) for _ in range(500))
    assert found == 0


def test_an_alert_stands_for_a_while_after_its_last_evidence():
    watch = Anomalies()
    for _ in range(4):
        watch.ended("m.f", 100.0, bad=True)
    assert list(watch.alerts(100.0 + STANDS - 1.0))
    assert not list(watch.alerts(100.0 + STANDS))


def test_a_task_whose_steps_have_stopped_seems_to_be_stuck():
    watch = Anomalies()
    for step in range(5):
        watch.progressed("t1", step / 10, "", 10.0 * step)
    assert not list(watch.alerts(40.0 + 79.0))
    (told,) = watch.alerts(40.0 + 81.0)
    assert told.startswith("t1 seems to be stuck: its last step was 81 s ago, and one usually takes 10.0 s.")
    watch.over("t1")
    assert not list(watch.alerts(40.0 + 81.0))


def test_saying_the_same_again_is_no_step():
    watch = Anomalies()
    for step in range(5):
        watch.progressed("t1", step / 10, "", 10.0 * step)
    for again in range(20):
        watch.progressed("t1", 0.4, "", 50.0 + 10.0 * again)
    assert list(watch.alerts(250.0))


def test_other_programs_that_take_more_of_a_node_for_long_are_a_drift():
    watch = Anomalies()
    for number in range(100):
        watch.others("local", "cpu", 10.0, 5.0 * number)
    for number in range(30):
        watch.others("local", "cpu", 60.0, 500.0 + 5.0 * number)
    (told,) = watch.alerts(650.0)
    assert told == "Other programs take about 58 % of the cpu of local; before it was 10 %."


def test_a_burst_of_load_is_no_drift():
    watch = Drift()
    for _ in range(20):
        assert not any(watch.add(10.0) for _ in range(50))
        assert not any(watch.add(90.0) for _ in range(6))


def test_a_gpu_that_is_reserved_and_does_nothing_is_told_once_it_has_done_so_for_long():
    watch = Anomalies()
    watch.saw("local", [("GPU-0", "gpu0", "t1", 0), ("GPU-1", "gpu1", "t2", 90)], 0.0)
    assert not list(watch.alerts(IDLE - 1.0))
    assert list(watch.alerts(IDLE)) == ["gpu0 is reserved by t1, and has done nothing for 10 minutes."]
    watch.saw("local", [("GPU-0", "gpu0", "t1", 50)], IDLE)
    watch.saw("local", [("GPU-0", "gpu0", "t1", 0)], IDLE + 1.0)
    assert not list(watch.alerts(IDLE + 10.0))


@pytest.mark.parametrize("percent", [None, 3])
def test_a_gpu_of_which_nobody_knows_or_that_works_is_not_idle(percent):
    watch = Anomalies()
    watch.saw("local", [("GPU-0", "gpu0", "t1", percent)], 0.0)
    assert not list(watch.alerts(10 * IDLE))


def test_what_is_remembered_is_bounded():
    watch = Anomalies()
    for number in range(KEPT + 10):
        took(watch, 1.0, name=f"m.f{number}")
        watch.ended(f"m.f{number}", 0.0, bad=True)
        watch.progressed(f"t{number}", 0.5, "", 0.0)
    assert [len(part) for part in (watch._slow, watch._bad, watch._steps)] == [KEPT] * 3


def test_the_unit_of_an_excess_is_not_widened_by_the_change_itself():
    watch = Excess()
    for _ in range(50):
        watch.add(0.0, 0.0, 0.4)
    unit = watch.unit
    watch.add(1.0, 0.0, 4.0)
    watch.add(1.0, 0.0, 4.0)
    assert watch.unit == pytest.approx(unit, rel=0.6)


def lives_on(watch, now):
    """What the next engine knows of it."""
    following = Anomalies()
    for key in list(watch.touched):
        row = watch.row(key)
        if row is not None:
            following.take_up(key, row, now)
    return following


def test_what_usually_fails_is_no_news_after_a_restart():
    random, watch = Random(2), Anomalies()
    for _ in range(1500):
        watch.ended("m.f", 0.0, bad=random.random() < 0.5)
    following = lives_on(watch, 10_000.0)
    for _ in range(500):
        following.ended("m.f", 10_000.0, bad=random.random() < 0.5)
    assert not list(following.alerts(10_000.0))


def test_an_alert_stands_after_a_restart_for_as_long_as_it_would_have():
    watch = Anomalies()
    for _ in range(4):
        watch.ended("m.f", 100.0, bad=True)
    (told,) = watch.alerts(100.0)
    following = lives_on(watch, 150.0)
    assert list(following.alerts(150.0)) == [told]
    assert not list(following.alerts(100.0 + STANDS))
    assert ("alert", "errors", "m.f") in following.touched, "its row is to go"
    assert following.row(("alert", "errors", "m.f")) is None
    late = lives_on(watch, 100.0 + STANDS)
    assert (list(late.alerts(100.0 + STANDS)), late.touched) == ([], {("alert", "errors", "m.f")})


def test_a_row_of_a_clock_that_was_wrong_stands_no_longer_than_others():
    watch = Anomalies()
    watch.take_up(("alert", "errors", "m.f"), [1e9, "told"], 100.0)
    assert list(watch.alerts(100.0)) == ["told"]
    assert not list(watch.alerts(100.0 + STANDS))


def test_of_functions_that_are_forgotten_no_row_stays():
    watch = Anomalies()
    for number in range(KEPT + 1):
        for _ in range(3):
            watch.ended(f"m.f{number}", 0.0, bad=True)
    assert ("usual", "m.f0") in watch.touched
    assert watch.row(("usual", "m.f0")) is None
    assert watch.row(("usual", "m.f1")) == [pytest.approx(0.078, abs=0.01)]


def test_the_newest_alert_is_told_first_whatever_the_order_in_which_they_were_taken_up():
    watch = Anomalies()
    for name, at in (("b", 20.0), ("c", 30.0), ("a", 10.0)):
        watch.take_up(("alert", "errors", name), [at, name], 100.0)
    assert list(watch.alerts(100.0)) == ["c", "b", "a"]
