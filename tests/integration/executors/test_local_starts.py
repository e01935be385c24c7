"""Environments that are broken, or change: told, not tried for ever; and catalogues."""

from __future__ import annotations

import asyncio
import dataclasses
import os

import pytest
from executor_stage import LIMIT, LocalStage

from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.events import Returned
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Kind, Terms
from mcp_scheduler.errors import ExecutorUnavailable

pytestmark = pytest.mark.anyio

TOOLS = "from mcp_scheduler import function\n@function\ndef answer() -> int:\n    return {}\n"


@pytest.fixture
def source(root):
    source = root / "tools.py"
    source.write_text(TOOLS.format(1))
    return source


@pytest.fixture
async def stage(root, source, leak_check, anyio_backend):
    stage = LocalStage(root, source=source)
    await stage.open()
    yield stage
    await stage.close()


def launch(stage, function="tools.answer", **terms):
    attempt = AttemptId(f"own-{len(stage.launches)}", 1)
    stage.launches[attempt] = Attempt(attempt, str(attempt), "local", 0.0)
    kept = Terms(**{"kind": Kind.FUNCTION, "target": function, "environment": "here", "principal": "t", **terms})
    payload = b'{"function":"%b","arguments":{}}' % function.encode()
    stage.executor.launch(Launch(str(attempt), "local", kept, (attempt,)), {attempt: payload})
    return attempt


async def test_an_interpreter_that_is_not_there_rejects_the_call(stage):
    stage.executor.know(dataclasses.replace(stage.environment, python="/nowhere/python"))

    outcome = await stage.end_of(launch(stage))

    assert outcome.reason is Reason.REJECTED
    assert "/nowhere/python" in outcome.error


async def test_a_folder_that_is_not_there_rejects_the_call(stage):
    stage.executor.know(dataclasses.replace(stage.environment, cwd="/nowhere"))

    outcome = await stage.end_of(launch(stage))

    assert outcome.reason is Reason.REJECTED
    assert "/nowhere" in outcome.error


async def test_an_interpreter_that_is_none_rejects_the_call_with_its_last_words(stage, root):
    program = root / "python"
    program.write_text("#!/bin/sh\necho 'this is no python' >&2\nexit 4\n")
    program.chmod(0o755)
    stage.executor.know(dataclasses.replace(stage.environment, python=str(program)))

    outcome = await stage.end_of(launch(stage))

    assert outcome.reason is Reason.REJECTED
    assert "exited with code 4" in outcome.error
    assert "this is no python" in outcome.error


async def test_a_module_that_kills_its_worker_rejects_the_call(stage, source):
    source.write_text("import os\nos._exit(9)\n")

    outcome = await stage.end_of(launch(stage))

    assert outcome.reason is Reason.REJECTED
    assert "exited with code 9" in outcome.error


async def test_a_syntax_error_is_a_problem_of_the_catalogue_and_rejects_calls(stage, source):
    source.write_text("def broken(:\n")

    catalogue = await stage.executor.catalogue("here")
    outcome = await stage.end_of(launch(stage))

    assert catalogue.functions == ()
    (problem,) = catalogue.problems
    assert "tools.py" in problem
    assert "SyntaxError" in problem
    assert outcome.reason is Reason.REJECTED


async def test_an_environment_that_cannot_start_has_a_catalogue_with_the_problem(stage):
    stage.executor.know(dataclasses.replace(stage.environment, python="/nowhere/python"))

    catalogue = await stage.executor.catalogue("here")

    assert "/nowhere/python" in catalogue.problems[0]


async def test_an_environment_that_nobody_made_known_is_refused(stage):
    outcome = await stage.end_of(launch(stage, environment="elsewhere"))
    assert outcome.reason is Reason.REJECTED
    with pytest.raises(ExecutorUnavailable):
        await stage.executor.catalogue("elsewhere")


async def test_what_this_host_cannot_run_is_rejected(stage):
    outcome = await stage.end_of(launch(stage, kind=Kind.CHAT))

    assert outcome.reason is Reason.REJECTED
    assert "chat" in outcome.error


async def test_the_catalogue_describes_the_functions(stage):
    catalogue = await stage.executor.catalogue("here")

    (entry,) = catalogue.functions
    assert entry.name == "tools.answer"
    assert entry.environment == "here"
    assert entry.parameters["type"] == "object"
    assert catalogue.problems == ()


async def test_new_code_is_run_by_a_new_worker(stage, source):
    first = await stage.end_of(launch(stage))
    assert first.result == b"1"
    source.write_text(TOOLS.format("2  # changed"))

    async with asyncio.timeout(LIMIT):  # the code is looked at once a second
        second = first
        while second.result == b"1":
            attempt = launch(stage)
            await stage.until(lambda one=attempt: stage.ends(one) or Returned(one) in stage.events)
            second = stage.ends(attempt)[0].outcome if stage.ends(attempt) else second
            stage.executor.settle([attempt])

    assert second.result == b"2"
    assert second.fingerprint != first.fingerprint


async def test_a_mended_module_is_seen_by_the_next_catalogue(stage, source, monkeypatch):
    monkeypatch.setattr("mcp_scheduler.executors.local.catalogue.FRESH", 0.0)
    source.write_text("def broken(:\n")
    assert (await stage.executor.catalogue("here")).problems

    source.write_text(TOOLS.format(3))

    assert [entry.name for entry in (await stage.executor.catalogue("here")).functions] == ["tools.answer"]


async def test_a_new_function_is_seen_by_the_next_catalogue(stage, source, monkeypatch):
    monkeypatch.setattr("mcp_scheduler.executors.local.catalogue.FRESH", 0.0)
    await stage.executor.catalogue("here")

    source.write_text(TOOLS.format(3) + "@function\ndef more() -> int:\n    return 4\n")

    names = {entry.name for entry in (await stage.executor.catalogue("here")).functions}
    assert names == {"tools.answer", "tools.more"}


async def test_the_variables_of_the_environment_are_all_that_a_worker_gets(stage, source, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_ENGINE", "1")
    source.write_text("import os\n" + TOOLS.format("sorted(os.environ)").replace("-> int", "-> list"))

    outcome = await stage.end_of(launch(stage))

    assert outcome.result is not None
    assert b"SECRET_OF_THE_ENGINE" not in outcome.result
    assert set(os.environ) >= {"SECRET_OF_THE_ENGINE"}
