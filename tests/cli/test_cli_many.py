"""graph and map: what is typed, or written in a file, becomes one request."""

import json

import pytest

GROUP = {"id": "sweep-abc", "kind": "map", "name": "sweep", "principal": "", "submitted_at": 0.0, "size": 4,
         "counts": {"queued": 4}, "state": "running"}  # fmt: skip
DONE = {"complete": True, "done": [], "remaining": 0, "groups": [GROUP | {"state": "failed", "counts": {"failed": 4}}]}


@pytest.fixture
def graphed(cli, standin, tmp_path):
    """Submit a graph of this text with these words; the request as the engine got it."""
    standin.answers["submit_graph"] = {"tasks": [], "group": GROUP}

    def run(text, *words):
        file = tmp_path / "graph.json"
        file.write_text(text)
        ran = cli("graph", file, *words)
        assert (ran.code, ran.out) == (0, "sweep-abc\n"), ran.err
        return standin.asked("submit_graph")[-1]

    return run


@pytest.fixture
def mapped(cli, standin):
    """Submit a map with these words; the request as the engine got it."""
    standin.answers["submit_map"] = {"tasks": [], "group": GROUP}

    def run(*words):
        ran = cli("map", *words)
        assert (ran.code, ran.out) == (0, "sweep-abc\n"), ran.err
        return standin.asked("submit_map")[-1]

    return run


def test_a_graph_is_the_tasks_of_a_file(graphed):
    tasks = {"a": {"function": "m.f"}, "b": {"command": ["true"], "after": ["a"]}}
    assert graphed(json.dumps(tasks)) == {"tasks": tasks}


def test_a_file_may_hold_the_whole_request_and_options_win(graphed):
    tasks = {"a": {"function": "m.f"}}
    request = graphed(
        json.dumps({"tasks": tasks, "name": "theirs", "tags": ["x"]}), "--name", "mine", "--plan", "plan-a"
    )
    assert request == {"tasks": tasks, "name": "mine", "tags": ["x"], "plan": "plan-a"}


@pytest.mark.parametrize(("text", "words"), [("{", "cannot be read"), ("[1]", "is no object")])
def test_a_file_that_is_no_graph_is_refused_with_what_to_write(cli, standin, tmp_path, text, words):
    file = tmp_path / "graph.json"
    file.write_text(text)
    ran = cli("graph", file)
    assert ran.code == 2
    assert words in ran.err
    assert "Write an object of tasks by key" in ran.err
    assert standin.asked("submit_graph") == []


def test_a_group_can_be_waited_for_on_the_spot(cli, standin, tmp_path):
    standin.answers["submit_graph"] = {"tasks": [], "group": GROUP}
    standin.answers["wait"] = DONE
    file = tmp_path / "graph.json"
    file.write_text('{"a": {"function": "m.f"}}')
    ran = cli("graph", file, "--wait")
    assert (ran.code, ran.out) == (1, "sweep-abc\nsweep-abc failed: 4 failed\n")
    ran = cli("graph", file, "--wait", "--json")
    assert ran.json["groups"] == DONE["groups"]


def test_a_map_over_combinations(mapped):
    assert mapped("tools.train", "epochs=5", "--product", "lr=0.1,0.01", "--product", 'opt=["a,b", null]') == {
        "task": {"function": "tools.train", "arguments": {"epochs": 5}},
        "over": {"product": {"lr": [0.1, 0.01], "opt": ["a,b", None]}},
    }


def test_a_map_over_items_of_a_file_with_a_reduce(mapped, tmp_path):
    file = tmp_path / "items.json"
    file.write_text('["x", "y"]')
    request = mapped(
        "tools.count", "--items", f"@{file}", "--argument", "path", "--chunk", "auto", "--reduce", "tools.add:counts",
        "--needs", "cpus=2", "--retry", "3", "--timeout", "5m", "--name", "n", "--tag", "t", "--key", "k",
    )  # fmt: skip
    assert request == {
        "task": {
            "function": "tools.count",
            "arguments": {"path": {"$item": True}},
            "needs": {"cpus": 2},
            "retry": 3,
            "timeout": "5m",
        },
        "over": {"items": ["x", "y"]},
        "chunk": "auto",
        "reduce": {"function": "tools.add", "arguments": {"counts": {"$result": "items"}}},
        "name": "n",
        "tags": ["t"],
        "idempotency_key": "k",
    }


def test_a_map_over_rows_names_the_file_whole(mapped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mapped("m.f", "--rows", "rows.csv", "--chunk", "5")["over"] == {"rows": str(tmp_path / "rows.csv")}


def test_words_of_a_command_stand_for_parts_of_the_item(mapped):
    request = mapped(
        "--zip", "lr=0.1,0.2", "--zip", "seed=1,2", "--", "python", "train.py", "{lr}", "{seed}", "{}", "a{b"
    )
    assert request["task"] == {
        "command": ["python", "train.py", {"$item": "lr"}, {"$item": "seed"}, {"$item": True}, "a{b"]
    }
    assert request["over"] == {"zip": {"lr": [0.1, 0.2], "seed": [1, 2]}}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["m.f"], "There are no items"),
        (["m.f", "--items", "[]", "--rows", "x"], "There are --items, --rows"),
        (["m.f", "--items", "3"], "--items is JSON, but no list"),
        (["m.f", "--items", "[3"], "--items is no JSON"),
        (["m.f", "--product", "lr"], "--product lr: write NAME=VALUE,VALUE"),
        (["m.f", "--product", "lr=1", "--product", "lr=2"], "There is --product lr twice"),
        (["m.f", "--zip", "lr=1", "--zip", "lr=2"], "There is --zip lr twice"),
        (["--items", "[1]"], "A map runs one function or one command"),
        (["m.f", "--items", "[1]", "--", "true"], "A map runs one function or one command"),
        (["--product", "lr=1,2", "--", "train", "--lr={lr}"], "'--lr={lr}' has {lr} inside a word"),
        (["--items", '[{"lr": 1}]', "--", "train", "--lr={lr}"], "'--lr={lr}' has {lr} inside a word"),
        (["--items", "[1]", "--argument", "x", "--", "train"], "A command has no arguments with names"),
    ],
)
def test_what_makes_no_map_is_refused_before_anybody_is_asked(cli, standin, words, complaint):
    ran = cli("map", *words)
    assert ran.code == 2
    assert complaint in ran.err
    assert "hint: " in ran.err
    assert standin.asked("submit_map") == []


def test_a_list_without_items_is_for_the_engine_to_judge(mapped):
    assert mapped("m.f", "--items", "[]")["over"] == {"items": []}


def test_the_group_as_json(cli, standin):
    standin.answers["submit_map"] = {"tasks": [], "group": GROUP}
    assert cli("map", "m.f", "--items", "[1]", "--json").json == {"tasks": [], "group": GROUP}
