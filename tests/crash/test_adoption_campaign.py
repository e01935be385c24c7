"""The adoption campaign in small: the engine is killed, and nothing else is to be seen of it."""

from __future__ import annotations

from random import Random

from campaigns import adoption
from campaigns.house import opened


def test_what_runs_when_the_engine_is_killed_ends_as_if_it_had_not_been(monkeypatch):
    monkeypatch.setattr(adoption, "UNDER_WAY", 5)
    monkeypatch.setattr(adoption, "ASKED", 10)
    monkeypatch.setattr(adoption, "ON_GPUS", 4)
    monkeypatch.setattr(adoption, "SECONDS", (0.5, 2.0))
    with opened({**adoption.SETTINGS, "MCP_SCHEDULER_POOL__CPUS": "8"}) as house:
        verdict = adoption.Adoption(house, 2, Random(6)).run()
        assert not verdict.violations
        assert verdict.figures["under way at a kill, least"] >= 5
        assert list((house.folder / "gpus").iterdir())
