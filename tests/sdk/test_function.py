from __future__ import annotations

import subprocess
import sys

import pytest

from mcp_scheduler import current_task, function
from mcp_scheduler.requests import NeedsSpec, RetrySpec, TaskSpec
from mcp_scheduler.sdk.function import MARK
from mcp_scheduler.sdk.options import BadOption


def declared(call):
    declaration = getattr(call, MARK)
    return declaration.name, declaration.options


def test_a_declared_function_stays_an_ordinary_function():
    @function
    def double(x: int) -> int:
        return 2 * x

    @function(cpus=2, retry=3)
    def triple(x: int) -> int:
        return 3 * x

    assert double(2) == 4
    assert triple(x=2) == 6
    assert declared(double) == ("double", {})
    assert declared(triple) == ("triple", {"needs": {"cpus": 2}, "retry": 3})


def test_every_option_is_kept_in_the_words_of_a_submission():
    @function(
        name="train-model", needs={"licence": 1}, memory="2GB", gpus=1, gpu_memory="8GiB", device="a100",
        retry={"max_attempts": 4, "delay": "5s", "on": {"error"}}, timeout="1h30m", idle_timeout=60, idempotent=True,
        priority=-5, tags=("ml", "night"), on_failure={"function": "m.undo"}, reads=["index"], writes=("model",),
    )  # fmt: skip
    def train() -> None: ...

    name, options = declared(train)
    assert name == "train-model"
    TaskSpec.model_validate({"function": "m.train", **{k: v for k, v in options.items() if k != "idempotent"}})
    assert NeedsSpec.model_validate(options["needs"]).gpu_memory == 8 << 30
    assert RetrySpec.model_validate(options["retry"]).delay == 5
    assert options["idempotent"] is True


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"timeout": -1}, "timeout must be seconds"),
        ({"timeout": "soon"}, "timeout must be seconds"),
        ({"retry": 0}, "retry must be a whole number from 1"),
        ({"retry": True}, "retry must be a whole number"),
        ({"retry": {"attempts": 3}}, "retry has no field 'attempts'; its fields are max_attempts"),
        ({"retry": {"on": ["sadness"]}}, "retry.on must be a list out of error"),
        ({"memory": "much"}, "needs.memory must be"),
        ({"cpus": 1, "needs": {"cpus": 2}}, "cpus is given twice"),
        ({"needs": 3}, "needs must be a dict"),
        ({"needs": {"licence": "one"}}, "needs.licence must be a number"),
        ({"gpus": 1.5}, "needs.gpus must be a whole number"),
        ({"tags": "night"}, "tags must be"),
        ({"name": "two words"}, "name must be"),
        ({"idempotent": 1}, "idempotent must be True or False"),
        ({"writes": "model"}, "writes must be 1 to 100 names of things"),
        ({"reads": [" "]}, "reads must be 1 to 100 names of things"),
        ({"on_failure": {"arguments": {}}}, "on_failure must be the name of a function, or a task with"),
        ({"on_failure": 3}, "on_failure must be the name of a function"),
    ],
)
def test_a_mistake_is_named_where_it_is_written(options, complaint):
    def work() -> None: ...

    with pytest.raises(BadOption, match=complaint) as raised:
        function(**options)(work)
    assert "work" in str(raised.value)


def test_only_functions_can_be_declared():
    with pytest.raises(TypeError, match="for functions"):
        function(type("Thing", (), {}))


def test_current_task_outside_of_any_task_is_a_stand_in(tmp_path):
    script = "from mcp_scheduler import current_task\nt = current_task()\nt.progress(0.5, 'half')\n"
    script += "print(repr(t.id), t.attempt, t.cancelled, t.folder.is_dir())\nt.folder.rmdir()"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["''", "1", "False", "True"]


def test_a_program_that_a_task_started_knows_its_task(tmp_path):
    script = "from mcp_scheduler import current_task\nt = current_task()\nt.progress(0.25, 'quarter')\n"
    script += "print(t.id, t.attempt, t.folder)"
    env = {"MCP_SCHEDULER_ATTEMPT": "train-abc.2", "MCP_SCHEDULER_FOLDER": str(tmp_path / "f"), "PYTHONPATH": "."}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    assert found.stdout.splitlines() == ["progress: 0.25 quarter", f"train-abc 2 {tmp_path}/f"]


def test_progress_beyond_its_bounds_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        current_task().progress(1.5)


def test_the_package_loads_nothing_heavy():
    script = (
        "import sys, mcp_scheduler\nfrom mcp_scheduler import function, current_task\n"
        "heavy = {'pydantic', 'mcp', 'sqlalchemy', 'asyncio', 'typing', 're', 'pathlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\nassert mcp_scheduler.__version__\n"
        "try: mcp_scheduler.nonsense\nexcept AttributeError as e: print(e)"
    )
    found = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True)
    assert "nonsense" in found.stdout
