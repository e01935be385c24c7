"""The campaign in small: its judge must find nothing, and must find something where something is wrong."""

from __future__ import annotations

import os
import shutil

import pytest

from campaigns.crash import SETTINGS, Plan, campaign
from campaigns.house import opened
from campaigns.judge import Verdict, conclude, judge
from campaigns.ledger import Ledger

pytestmark = pytest.mark.anyio


async def test_a_small_campaign_finds_every_promise_kept_and_its_judge_is_not_blind():
    with opened(SETTINGS) as house:
        verdict = await campaign(Plan(kills=4, seed=11, clients=2, pause=0.5), house)
        assert not verdict.violations
        assert verdict.figures["attempts begun"] > 10
        _lie(house)
        broken = judge(house, Ledger(house.folder / "ledger")).figures
    assert broken["acknowledged and lost"] == 1
    assert broken["second terminal outcomes"] == 1
    assert broken["two attempts alive at once"] == 1
    assert broken["run again without leave"] >= 1


def _lie(house):
    """Change the evidence: one broken promise of each kind."""
    ledger = Ledger(house.folder / "ledger")
    ledger.write("acknowledged", client="liar", id="not-there", size=1, tasks={"not-there": "x"})
    seen = next(ledger.read("saw"))
    ledger.write("saw", id=seen["id"], end={**seen["end"], "attempt": 99})
    ledger.close()
    (house.folder / "violations").write_text("two attempts alive: by order of the test\n")
    run = next(path for path in (house.folder / "runs").iterdir() if path.name.count("quick"))
    token, task, number = run.name.split(" ")
    shutil.copy(run, os.path.join(run.parent, f"{token} {task} {int(number) + 50}"))


def test_a_campaign_ends_badly_where_a_promise_was_broken(capsys):
    assert conclude(Verdict({"blows": 3})) == 0
    assert "every promise kept" in capsys.readouterr().out
    assert conclude(Verdict({"blows": 3}, ["lost one"] * 60)) == 1
    told = capsys.readouterr().out.splitlines()
    assert (told.count("BROKEN: lost one"), told[-1]) == (50, "60 broken")
