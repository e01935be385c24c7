from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bench import Bench
from worker_functions import SOURCE


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def engine(bench):
    engine = bench.start(bench.write("fns.py", SOURCE))
    assert engine.expect("hello")["worker"] == "w1"
    return engine
