"""The torture in small: nothing survives, and the witness sees what is there."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest

from campaigns.house import opened
from campaigns.torture import SETTINGS, Torture, Witness

pytestmark = pytest.mark.anyio


async def test_what_does_not_want_to_end_is_ended_whole_and_its_neighbours_are_not_disturbed():
    with opened(SETTINGS) as house:
        torture = Torture(house, 1, Random(3))
        verdict = await torture.run()
        assert not verdict.violations
        assert {victim.end["state"] for victim in torture.victims} == {"cancelled", "failed"}


def test_its_witness_is_not_blind(tmp_path):
    (tmp_path / "victim.py").write_text("import sys; print('up', flush=True); sys.stdin.read()")
    command = [sys.executable, str(tmp_path / "victim.py"), "deaf", "deaf-0", "up"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        assert Witness().look({"deaf-0", "deaf-1"}) == {"deaf-0": 1}
        process.stdin.close()
    assert not Witness().look({"deaf-0"})
