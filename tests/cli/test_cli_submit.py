"""submit: what is typed becomes the request that the engine gets."""

import json

import pytest
from owner_standin import task

from mcp_scheduler.errors import BadArguments, ShuttingDown, UnknownFunction


@pytest.fixture
def submitted(cli, standin):
    """Submit with these words; the request as the engine got it."""
    standin.answers["submit"] = {"tasks": [task()]}

    def run(*words):
        ran = cli("submit", *words)
        assert ran.code == 0, ran.err
        return standin.asked("submit")[-1]

    return run


def test_the_id_alone_is_on_standard_output(cli, standin):
    standin.answers["submit"] = {"tasks": [task("train-abc")]}
    ran = cli("submit", "tools.train")
    assert (ran.code, ran.out, ran.err) == (0, "train-abc\n", "")


def test_that_a_deadline_cannot_be_met_is_told_beside_the_id(cli, standin):
    told = task(
        "train-abc", "queued", hint="Its deadline cannot be met: see get_task.", eta={"end": 3.0, "end_late": 4.0}
    )
    standin.answers["submit"] = {"tasks": [told]}
    ran = cli("submit", "tools.train", "--deadline", "1")
    assert (ran.out, ran.err) == ("train-abc\n", "hint: Its deadline cannot be met: see `mcp-scheduler show`.\n")


def test_arguments_are_json_where_they_are_json_and_text_otherwise(submitted):
    request = submitted("tools.train", "n=3", "lr=0.5", "name=x", 'list=[1,"a"]', 'text="3"', "on=true", "eq=a=b", "e=")
    assert request == {
        "function": "tools.train",
        "arguments": {"n": 3, "lr": 0.5, "name": "x", "list": [1, "a"], "text": "3", "on": True, "eq": "a=b", "e": ""},
    }


def test_arguments_can_be_an_object_or_come_from_a_file(submitted, tmp_path):
    file = tmp_path / "arguments.json"
    file.write_text('{"a": 1, "b": 2}')
    assert submitted("tools.train", f"@{file}", '{"b": 3}', "c=4")["arguments"] == {"a": 1, "b": 3, "c": 4}


def test_a_function_without_arguments_gets_an_empty_object(submitted):
    assert submitted("tools.train") == {"function": "tools.train", "arguments": {}}


def test_what_follows_the_dashes_is_a_command_with_all_its_options(submitted):
    request = submitted("--name", "t", "--", "python", "train.py", "--needs", "x", "--", "-5")
    assert request == {"name": "t", "command": ["python", "train.py", "--needs", "x", "--", "-5"]}


def test_every_option_reaches_its_field(submitted, tmp_path):
    request = submitted(
        "t.f", "--needs", "cpus=2,memory=4GiB", "--needs", "licence=1", "--after", "a-1", "--after", "b-2",
        "--priority", "0", "--retry", "3", "--timeout", "90s", "--idle-timeout", "5m", "--start-after", "10",
        "--deadline", "2h", "--name", "n", "--tag", "x", "--tag", "y", "--key", "k", "--reads", "r", "--writes", "w",
        "--on-failure", '{"function": "t.g"}', "--cache", "--hold", "--cwd", tmp_path, "--env", "A=1=2",
    )  # fmt: skip
    assert request == {
        "function": "t.f", "arguments": {}, "needs": {"cpus": 2, "memory": "4GiB", "licence": 1},
        "after": ["a-1", "b-2"], "priority": 0, "retry": 3, "timeout": "90s", "idle_timeout": "5m", "start_after": 10.0,
        "deadline": "2h", "name": "n", "tags": ["x", "y"], "idempotency_key": "k", "reads": ["r"], "writes": ["w"],
        "on_failure": {"function": "t.g"}, "cache": True,
        "hold": True, "cwd": str(tmp_path), "env": {"A": "1=2"},
    }  # fmt: skip


def test_retry_takes_an_object(submitted):
    assert submitted("t.f", "--retry", '{"max_attempts": 5}')["retry"] == {"max_attempts": 5}


def test_the_request_passes_the_engine_s_own_model(submitted):
    from mcp_scheduler.requests import TaskSpec

    TaskSpec.model_validate(submitted("t.f", "a=1", "--needs", "cpus=2", "--retry", "2", "--timeout", "5m", "--hold"))
    TaskSpec.model_validate(submitted("--env", "A=b", "--", "true"))


def test_the_door_says_who_asks_and_what_it_may_run(cli, standin, tmp_path):
    standin.answers["submit"] = {"tasks": [task()]}
    cli("submit", "t.f", "--as", "me", "--functions", tmp_path / "t.py", "--functions", "pkg.mod")
    hello = standin.hellos[-1]
    assert hello["principal"] == "me"
    assert hello["speak"] == "owner"
    assert hello["grant"]["any_command"] is True
    assert hello["environment"]["functions"] == [str(tmp_path / "t.py"), "pkg.mod"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "There is nothing to run."),
        (("--",), "There is nothing to run."),
        (("t.f", "--", "true"), "There is a function and a command."),
        (("t.f", "5"), "'5' is no argument of a function."),
        (("t.f", "{1}"), "the argument is no JSON"),
        (("t.f", '["a"]'), "is no argument"),
        (("t.f", "@nowhere"), "@nowhere cannot be read"),
        (("t.f", "--needs", "cpus"), "'cpus' is no NAME=AMOUNT"),
        (("t.f", "--retry", "often"), "--retry often"),
        (("t.f", "--env", "A"), "--env A"),
        (("t.f", "--priority", "500"), "500 is not in the range -100..100"),
        (("t.f", "--priority", "high"), "'high' is no whole number"),
        (("t.f", "--nice", "5"), "No such option: --nice"),
        (("t.f", "--python", "/nowhere/python"), "There is no interpreter '/nowhere/python'"),
    ],
)
def test_a_wrong_command_line_is_refused_before_any_engine_is_asked(cli, standin, words, message):
    ran = cli("submit", *words)
    assert ran.code == 2
    assert message in ran.err.splitlines()[0]
    assert ran.err.startswith("error: ")
    assert ran.out == ""
    assert standin.calls == []


def test_an_error_of_the_engine_is_two_lines_and_its_exit_code_tells_its_kind(cli, standin):
    standin.answers["submit"] = BadArguments("`n` is a number.", hint="Give n=3.")
    ran = cli("submit", "t.f")
    assert (ran.code, ran.out, ran.err) == (2, "", "error: `n` is a number.\nhint: Give n=3.\n")
    standin.answers["submit"] = ShuttingDown()
    assert cli("submit", "t.f").code == 3


def test_hints_for_agents_become_hints_for_people(cli, standin):
    standin.answers["submit"] = UnknownFunction("There is no function t.f.")
    assert "hint: Call `mcp-scheduler functions` to see what can be called." in cli("submit", "t.f").err


def test_json_gives_the_task(cli, standin):
    standin.answers["submit"] = {"tasks": [task(duplicate=True)]}
    assert cli("submit", "t.f", "--json").json == task(duplicate=True)


def test_a_person_is_told_how_to_go_on(cli, standin, terminal):
    standin.answers["submit"] = {"tasks": [task("a-1", why="others go first")]}
    terminal(80)
    ran = cli("submit", "t.f")
    assert ran.out == "a-1\n"
    assert ran.err == "queued · others go first · mcp-scheduler wait a-1\n"


def test_submit_can_wait_for_the_end(cli, standin):
    standin.answers["submit"] = {"tasks": [task("a-1")]}
    ended = task("a-1", "failed", error="ValueError: no", seconds=1.5)
    standin.answers["wait"] = {"done": [ended], "remaining": 0, "complete": True, "cursor": "1"}
    ran = cli("submit", "t.f", "--wait")
    assert ran.code == 1
    assert ran.out == "a-1\na-1 failed in 1.5 s: ValueError: no\n"
    assert [found["id"] for found in cli("submit", "t.f", "--wait", "--json").json["done"]] == ["a-1"]


def test_arguments_come_from_standard_input(submitted, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"n": 7})))
    assert submitted("t.f", "@-")["arguments"] == {"n": 7}


@pytest.mark.parametrize("word", ["python train.py", "./train.sh", "train.py"])
def test_a_command_without_the_dashes_is_told_where_it_goes(cli, standin, monkeypatch, tmp_path, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    ran = cli("submit", word)
    assert (ran.code, standin.calls) == (2, [])
    assert "submit -- python train.py" in ran.err


def test_a_variable_is_given_or_taken_along(submitted, cli, monkeypatch):
    monkeypatch.setenv("HERE", "ours = 1")
    assert submitted("--env", "HERE", "--env", "A=b=c", "--", "true")["env"] == {"HERE": "ours = 1", "A": "b=c"}
    monkeypatch.delenv("HERE")
    ran = cli("submit", "--env", "HERE", "--", "true")
    assert (ran.code, ran.err) == (
        2, "error: --env HERE: there is no such variable here.\nhint: export HERE, or write HERE=VALUE.\n"
    )  # fmt: skip
