"""Loads a minute ahead: a model where it is better than the last value, and the last value where it is not."""

from math import pi, sin
from random import Random

import pytest

from mcp_scheduler.forecast.waves import DRIFTING, HoltWinters, Wave


def test_a_straight_line_goes_on():
    model = HoltWinters(DRIFTING)
    for number in range(200):
        model.add(0.1 * number)
    assert model.ahead(1) == pytest.approx(20.0, abs=1.5)


def test_a_season_is_known_when_it_comes_again():
    wave = Wave(horizon=6, period=24)
    values = [50 + 40 * sin(2 * pi * number / 24) for number in range(24 * 30 + 6)]
    for value in values[: 24 * 30]:
        wave.add(value)
    assert wave.is_modelled
    assert wave.ahead() == pytest.approx(values[24 * 30 + 5], abs=8)


def test_what_jumps_at_random_is_not_modelled_worse_than_by_its_last_value():
    random, value = Random(1), 50.0
    wave = Wave(horizon=12, period=60)
    for _ in range(2000):
        value = min(max(value + random.gauss(0, 2), 0), 100)
        wave.add(value)
    assert wave.error <= 8
    assert 0.0 <= wave.ahead() <= 100.0


def test_a_percentage_stays_one_and_memory_of_it_is_bounded():
    wave = Wave(horizon=12, period=60)
    for number in range(5000):
        wave.add(min(100.0, number / 10))
    assert wave.ahead() == 100.0
    assert len(wave.values) == 720
    assert Wave(3, 60).ahead() == 0.0
