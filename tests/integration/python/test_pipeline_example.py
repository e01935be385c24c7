"""The example of data, model and hybrid parallelism runs as it says, on devices that the settings declare."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

EXAMPLE = Path(__file__).parents[3] / "examples" / "pipeline.py"
DEVICE = """
[[pool.devices]]
id = "made-up-{0}"
label = "made-up"
variable = "MADE_UP_DEVICES"
value = "{0}"
"""
SAID = """\
data: [['the', 'cat', 'sat'], ['a', 'dog', 'ran', 'far'], ['the', 'end']]
model: [{'text': 'the cat sat', 'label': 'calm'}]
hybrid: {'calm': 1, 'lively': 2}
one fails: ['calm', 'lively', None, 'lively']
"""


def test_the_example_of_a_pipeline_does_what_it_says() -> None:
    with TemporaryDirectory(prefix="pipe-") as home:
        Path(home, "config.toml").write_text(DEVICE.format(0) + DEVICE.format(1))
        ran = subprocess.run(
            [sys.executable, EXAMPLE], env={**os.environ, "MCP_SCHEDULER_HOME": home}, cwd=home, timeout=60,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (ran.stdout, ran.stderr, ran.returncode) == (SAID, "", 0)
