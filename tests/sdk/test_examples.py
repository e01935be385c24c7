from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent.parent / "examples" / "tools.py"


@pytest.fixture
def engine(bench):
    engine = bench.start(str(TOOLS))
    catalogue = engine.expect("catalogue")
    assert catalogue["problems"] == []
    assert all(entry["summary"] for entry in catalogue["functions"])
    return engine


def test_words_and_columns_are_counted(bench, engine):
    text = bench.write("t.txt", "the cat, the dog.")
    table = bench.write("t.csv", "a,b\n1,2\n3,x\n")
    found = engine.result("a-1.1", "tools.count_words", path=text, most=1)
    assert found == {"words": 4, "different": 3, "most_frequent": {"the": 2}}
    assert engine.result("a-2.1", "tools.summarize_csv", path=table, column="a")["mean"] == 2
    assert "it has a, b" in engine.failure("a-3.1", "tools.summarize_csv", path=table, column="z")["error"]


def test_a_folder_is_hashed_with_progress(bench, engine):
    (bench.folder / "d").mkdir()
    bench.write("d/x", "x")
    found = engine.result("a-1.1", "tools.hash_folder", folder=str(bench.folder / "d"))
    assert found == {"x": hashlib.sha256(b"x").hexdigest()}
    assert engine.expect("progress") == ["a-1.1", 1.0, "x"]


def test_primes_go_on_from_their_checkpoint(bench, engine):
    assert engine.result("p-1.1", "tools.count_primes", below=1000) == 168
    folder = bench.folder / "tasks" / "p-2"
    folder.mkdir()
    (folder / "checkpoint.json").write_text(json.dumps([998, 168]))
    assert engine.result("p-2.2", "tools.count_primes", below=1000) == 168


def test_open_ports_are_told_from_closed_ones(engine):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert engine.result("a-1.1", "tools.check_ports", host="127.0.0.1", ports=[port]) == {str(port): True}
    assert engine.result("a-2.1", "tools.check_ports", host="127.0.0.1", ports=[port]) == {str(port): False}
