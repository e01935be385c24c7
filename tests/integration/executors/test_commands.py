"""Commands: what they are given, what becomes of what they say and write, and how their ends are told."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from command_stage import CommandStage
from executor_stage import is_alive, process_gone

from mcp_scheduler.core.events import Returned
from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local import ends
from mcp_scheduler.executors.local.folders import berths
from mcp_scheduler.executors.local.limits import Limits

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stage(root, leak_check, anyio_backend):
    stage = CommandStage(root, Limits(grace=0.5))
    await stage.open()
    yield stage
    await stage.close()


async def test_a_command_that_succeeds_tells_its_exit_code_and_the_end_of_its_output(stage):
    attempt = stage.shell("echo one; echo two")

    outcome = await stage.end_of(attempt)

    assert stage.result(outcome) == {"exit_code": 0, "stdout_tail": "one\ntwo\n"}
    assert outcome.exit_code == 0
    assert (outcome.stdout_bytes, outcome.stderr_bytes) == (8, 0)
    assert outcome.memory_peak > 0
    assert stage.printed(attempt) == b"one\ntwo\n"


async def test_a_command_that_fails_tells_its_exit_code_and_its_last_complaint(stage):
    attempt = stage.shell("echo fine; echo first >&2; printf '\\033[31mworse\\033[0m\\n\\n' >&2; exit 3")

    outcome = await stage.end_of(attempt)

    assert (outcome.reason, outcome.exit_code) == (Reason.ERROR, 3)
    assert outcome.error == "exited with 3: worse"
    assert stage.printed(attempt, "err").startswith(b"first\n")


async def test_a_command_that_complains_on_standard_output_is_quoted_from_there(stage):
    assert (await stage.end_of(stage.shell("echo no such row; exit 1"))).error == "exited with 1: no such row"


async def test_a_signal_that_nobody_asked_for_is_a_crash_with_its_name(stage):
    outcome = await stage.end_of(stage.shell("kill -SEGV $$"))

    assert (outcome.reason, outcome.signal, outcome.exit_code) == (Reason.CRASHED, signal.SIGSEGV, None)
    assert "SIGSEGV" in outcome.error


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["/nowhere/program"], "/nowhere/program cannot be started: there is no such program"),
        ([__file__], "may not be executed"),
        (["/bin/echo", *["x" * 100_000] * 30], "larger than the system takes"),
    ],
)
async def test_a_command_that_cannot_be_started_is_rejected_with_the_cause(stage, argv, words):
    outcome = await stage.end_of(stage.command(argv))

    assert outcome.reason is Reason.REJECTED
    assert words in outcome.error


async def test_a_folder_that_is_gone_is_named(stage, root):
    outcome = await stage.end_of(stage.command(["/bin/true"], cwd=str(root / "gone")))

    assert outcome.reason is Reason.REJECTED
    assert outcome.error == f"The command cannot run in {root}/gone: No such file or directory."


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("#!/bin/sh\r", r"its lines end as on Windows, and so does the name of its interpreter: sed -i 's/\r$//' "),
        ("#!/nowhere/sh -e", "its first line names an interpreter that is not there: /nowhere/sh -e"),
    ],
)
async def test_an_interpreter_that_is_not_there_is_named(stage, root, first, words):
    program = root / "program"
    program.write_bytes(f"{first}\necho hi\n".encode())
    program.chmod(0o700)
    outcome = await stage.end_of(stage.command([str(program)]))

    assert outcome.reason is Reason.REJECTED
    assert words in outcome.error


async def test_a_program_without_an_interpreter_is_rejected(stage, root):
    program = root / "program"
    program.write_text("no first line\n")
    program.chmod(0o700)

    outcome = await stage.end_of(stage.command([str(program)]))

    assert outcome.reason is Reason.REJECTED
    assert "#!" in outcome.error


async def test_a_nul_from_another_tasks_result_is_rejected(stage):
    outcome = await stage.end_of(stage.command(["/bin/echo", "a\0b"]))

    assert outcome.reason is Reason.REJECTED
    assert "NUL" in outcome.error


async def test_results_of_other_tasks_are_arguments_as_text(stage):
    attempt = stage.command(["/bin/echo", 5, 0.5, {"a": [1]}, "text"])

    assert stage.result(await stage.end_of(attempt))["stdout_tail"] == '5 0.5 {"a": [1]} text\n'


async def test_standard_input_is_what_was_given_and_else_empty(stage):
    given = stage.command([sys.executable, "-"], stdin="print('from stdin ä')")
    empty = stage.command(["/bin/cat"])

    assert stage.result(await stage.end_of(given))["stdout_tail"] == "from stdin ä\n"
    assert stage.result(await stage.end_of(empty))["stdout_tail"] == ""


async def test_the_environment_is_the_clients_own_with_the_tasks_words_over_it(stage, root):
    program = "import json, os; print(json.dumps([dict(os.environ), os.getcwd()]))"
    (root / "sub").mkdir()
    attempt = stage.python(program, env={"EXTRA": "ä", "TMPDIR": str(root)}, cwd=str(root / "sub"))

    outcome = await stage.end_of(attempt)

    env, cwd = json.loads(stage.printed(attempt))
    assert outcome.reason is None
    assert cwd == str(root / "sub")
    assert env["EXTRA"] == "ä"
    assert env["PATH"] == os.environ["PATH"]
    assert env["MCP_SCHEDULER_ATTEMPT"] == str(attempt)
    assert env["MCP_SCHEDULER_FOLDER"] == str(root / "tasks" / attempt.task)
    assert "HOME" not in env  # the client's side did not pass it: nothing of the engine's own leaks in


async def test_devices_are_the_only_ones_that_the_command_sees(stage):
    attempt = stage.shell("echo $CUDA_VISIBLE_DEVICES", devices=("GPU-1", "GPU-2"))

    assert stage.result(await stage.end_of(attempt))["stdout_tail"] == "GPU-1,GPU-2\n"


async def test_the_folder_is_there_and_goes_when_nothing_was_put_into_it(stage, root):
    kept = stage.shell("echo 1 > $MCP_SCHEDULER_FOLDER/model")
    unused = stage.shell("test -d $MCP_SCHEDULER_FOLDER")

    assert (await stage.end_of(kept)).reason is None
    assert (await stage.end_of(unused)).reason is None
    assert (root / "tasks" / kept.task / "model").read_text() == "1\n"
    assert not (root / "tasks" / unused.task).exists()


async def test_json_in_the_result_file_is_the_result(stage, root):
    attempt = stage.shell('echo \'{"accuracy": 0.9, "name": "ä"}\' > $MCP_SCHEDULER_RESULT')

    result = stage.result(await stage.end_of(attempt))

    assert result == {"exit_code": 0, "stdout_tail": "", "result": {"accuracy": 0.9, "name": "ä"}}
    assert not list((root / "attempts").glob("*.result"))


async def test_a_large_result_lies_in_a_file_named_by_its_content(stage):
    attempt = stage.python("import json, os; json.dump('x' * 200_000, open(os.environ['MCP_SCHEDULER_RESULT'], 'w'))")

    outcome = await stage.end_of(attempt)

    assert outcome.result is None
    assert stage.result(outcome)["result"] == "x" * 200_000
    assert outcome.result_size > 200_000


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo nonsense > $MCP_SCHEDULER_RESULT", "not JSON"),
        ("echo NaN > $MCP_SCHEDULER_RESULT", "not JSON"),
        ("printf '\\377' > $MCP_SCHEDULER_RESULT", "not JSON"),
        ("mkfifo $MCP_SCHEDULER_RESULT", "no regular file"),
    ],
)
async def test_a_result_that_is_no_json_is_an_error_with_a_hint(stage, script, words):
    outcome = await stage.end_of(stage.shell(script))

    assert (outcome.reason, outcome.exit_code) == (Reason.ERROR, 0)
    assert words in outcome.error
    assert "Write" in outcome.error


async def test_output_is_made_plain_for_models_and_kept_raw_in_its_file(stage):
    attempt = stage.python(
        "import sys; sys.stdout.buffer.write(b'\\x1b[1mbold\\x1b[0m\\x00\\x07\\xff\\n' + b'bar 1%\\rbar 100%\\n')"
    )

    outcome = await stage.end_of(attempt)

    assert stage.result(outcome)["stdout_tail"] == "bold\ufffd\nbar 100%\n"
    assert b"\x1b[1mbold" in stage.printed(attempt)


async def test_a_hundred_megabytes_are_kept_by_their_ends_and_cost_the_shim_nothing(root, leak_check, anyio_backend):
    stage = CommandStage(root, Limits(head=1000, tail=1000))
    await stage.open()
    program = (
        "import os, sys\n"
        "for n in range(100):\n os.write(1, b'%07d ' % n * 131072)\n"
        "print(); print('last line')\n"
        "sys.stderr.write('VmHWM' + open(f'/proc/{os.getppid()}/status').read().split('VmHWM')[1].split('kB')[0])\n"
    )
    attempt = stage.python(program)

    outcome = await stage.end_of(attempt)

    assert outcome.stdout_bytes == 100 * 131072 * 8 + 1 + 10
    assert stage.result(outcome)["stdout_tail"].endswith("0000099 \nlast line\n")
    assert len(stage.printed(attempt)) < 3000
    assert int(stage.printed(attempt, "err").split()[1]) < 40_000  # kB of the shim, at most
    await stage.close()


async def test_lines_of_progress_are_told(stage):
    gate = stage.gate()
    script = f"exec 3<{gate.arguments['gate']}; echo 'progress: 0.25 reading'; read x <&3; echo progress: 80% done"
    attempt = stage.shell(script)

    await stage.until(lambda: stage.progress(attempt))
    assert stage.progress(attempt) == [(0.25, "reading")]
    gate.open()

    assert (await stage.end_of(attempt)).reason is None
    assert set(stage.progress(attempt)) <= {(0.25, "reading"), (0.8, "done")}


async def test_a_bar_of_tqdm_is_progress(stage):
    gate = stage.gate()
    bar = "\\rtrain:  42%|####      | 42/100 [00:01<00:01, 41.00it/s]"
    attempt = stage.shell(f"exec 3<{gate.arguments['gate']}; printf '{bar.replace('%', '%%')}' >&2; read x <&3")

    await stage.until(lambda: stage.progress(attempt))
    gate.open()
    await stage.end_of(attempt)

    assert stage.progress(attempt) == [(0.42, "train: 42/100 [00:01<00:01, 41.00it/s]")]


async def test_a_flood_of_progress_is_told_now_and_then(stage):
    numbers = " ".join(f"0.{number}" for number in range(10, 100))

    attempt = stage.shell(f"for share in {numbers}; do echo progress: $share; done")

    await stage.end_of(attempt)

    assert len(stage.progress(attempt)) < 10


async def test_a_shim_runs_one_command_after_the_other(stage, root):
    program = "import os; print(os.getppid())"
    first = stage.python(program)
    await stage.end_of(first)
    second = stage.python(program)
    await stage.end_of(second)

    assert stage.printed(first) == stage.printed(second)
    assert len(berths(root / "run")) == 1


async def test_commands_beside_each_other_have_a_shim_each(stage, root):
    gates = [stage.gate(), stage.gate()]
    program = "import os, sys; gate = open(sys.argv[1]); open(sys.argv[2], 'w').write(str(os.getppid())); gate.read()"
    attempts = [stage.python(program, gate.arguments["gate"], gate.arguments["began"]) for gate in gates]

    shims = {await gate.reached() for gate in gates}
    for gate in gates:
        gate.open()
    for attempt in attempts:
        assert (await stage.end_of(attempt)).reason is None

    assert len(shims) == 2


async def test_a_shim_that_was_killed_ends_its_command_as_lost_and_leaves_nothing(stage, root):
    gate = stage.gate()
    program = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()}'); time.sleep(600)"
    attempt = stage.python(program, gate.arguments["began"])
    pid = await gate.reached()
    os.kill(_parent(pid), signal.SIGKILL)

    outcome = await stage.end_of(attempt)

    assert outcome.reason is Reason.LOST
    assert not is_alive(pid)
    assert not berths(root / "run")
    assert (await stage.end_of(stage.shell("exit 0"))).reason is None


async def test_an_idle_shim_that_was_killed_is_replaced(stage, root):
    attempt = stage.python("import os; print(os.getppid())")
    await stage.end_of(attempt)
    os.kill(int(stage.printed(attempt)), signal.SIGKILL)
    await process_gone(int(stage.printed(attempt)))

    attempt = stage.shell("exit 0")

    # Where the order met the death of the shim, the command did not begin, and is given back.
    await stage.until(lambda: stage.ends(attempt) or Returned(attempt) in stage.events)
    assert all(end.outcome.reason is None for end in stage.ends(attempt))
    assert (await stage.end_of(stage.shell("exit 0"))).reason is None


async def test_every_record_is_taken_away_when_it_is_settled(stage, root):
    attempt = stage.shell("exit 0")
    await stage.end_of(attempt)
    assert list(ends.records(ends.files(root / "attempts" / "ends"))) == [str(attempt)]

    stage.executor.settle([attempt])
    await stage.close()

    assert not ends.files(root / "attempts" / "ends")


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
