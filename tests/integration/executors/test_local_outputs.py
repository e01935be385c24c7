"""What calls print and return: attributed to the right attempt, bounded, readable."""

from __future__ import annotations

import os

import pytest

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.executors.local.outputs import CLAIMED, LocalOutputs
from mcp_scheduler.ports import Progress, Pruned

pytestmark = pytest.mark.anyio


@pytest.fixture
def outputs(stage):
    return LocalOutputs(stage.folders)


async def test_each_attempt_has_its_own_output_although_one_worker_printed_it_all(stage, outputs):
    attempts = stage.calls("say", [{"text": f"line {number}", "error": "!" * number} for number in range(50)])

    for number, attempt in enumerate(attempts):
        outcome = await stage.end_of(attempt)
        out = f"line {number}\n".encode()
        assert await outputs.read(attempt, "stdout", offset=0, limit=1000) == (out, 0, len(out), len(out))
        assert await outputs.read(attempt, "stderr", offset=0, limit=1000) == (b"!" * number, 0, number, number)
        assert (outcome.stdout_bytes, outcome.stderr_bytes) == (len(out), number)


async def test_who_prints_nothing_leaves_no_file(stage, outputs):
    attempt = stage.call("echo", value=1)
    outcome = await stage.end_of(attempt)

    assert outcome.stdout_bytes == 0
    assert await outputs.read(attempt, "stdout", offset=0, limit=10) == (b"", 0, 0, 0)
    assert not list(stage.folders.attempts.glob(f"{attempt}.*"))


async def test_a_hundred_megabytes_are_cut_in_the_middle(stage, outputs):
    attempt = stage.call("flood", mebibytes=100)

    outcome = await stage.end_of(attempt, limit=120)

    printed = 100 << 20
    assert outcome.stdout_bytes == printed
    limits = stage.limits
    assert (stage.folders.attempts / f"{attempt}.out").stat().st_size <= limits.head + limits.tail + 64
    head, _, _, total = await outputs.read(attempt, "stdout", offset=0, limit=10240)
    assert total == printed
    assert head == b"".join(b"%01023d\n" % number for number in range(10))
    tail, _, end, _ = await outputs.read(attempt, "stdout", offset=-10240, limit=10240)
    assert tail == b"".join(b"%01023d\n" % number for number in range(printed // 1024 - 10, printed // 1024))
    middle, _, behind, _ = await outputs.read(attempt, "stdout", offset=limits.head - 64, limit=64 + 200)
    dropped = printed - limits.head - limits.tail
    assert b"\n[%d bytes were not kept]\n" % dropped in middle
    assert behind == limits.head + dropped + len(middle) - 64 - len(b"\n[%d bytes were not kept]\n" % dropped)
    assert end == printed


async def test_a_call_that_prints_is_heard_while_it_runs(stage, outputs):
    gate = stage.gate()
    first = stage.call("say", slot="s", text="before")
    running = stage.call("wait", slot="s", **gate.arguments)
    await gate.reached()

    assert await outputs.read(first, "stdout", offset=0, limit=10) == (b"before\n", 0, 7, 7)
    gate.open()
    await stage.end_of(running)


async def test_a_large_result_is_a_file(stage, outputs):
    outcome = await stage.end_of(stage.call("big", size=300_000))

    assert outcome.result is None
    assert outcome.result_size == 300_002
    assert await outputs.result(outcome.result_file) == b'"' + b"x" * 300_000 + b'"'


async def test_a_result_that_is_not_json_is_an_error_that_says_what_to_do(stage):
    outcome = await stage.end_of(stage.call("unspeakable"))

    assert outcome.reason is Reason.ERROR
    assert "folder" in outcome.error


async def test_a_name_that_is_no_result_opens_no_file(stage, outputs):
    with pytest.raises(InvalidRequest):
        await outputs.result("../../etc/passwd")


def returned_long_ago(stage, file):
    place = stage.folders.results / file[:2] / file
    then = place.stat().st_mtime - 2 * CLAIMED
    os.utime(place, (then, then))


async def test_a_result_that_is_pruned_while_a_call_returns_the_same_stays(stage, outputs):
    file = (await stage.end_of(stage.call("big", size=100_000))).result_file
    returned_long_ago(stage, file)
    assert (await stage.end_of(stage.call("big", size=100_000))).result_file == file

    assert await outputs.remove(Pruned((), (file,))) == [file]

    assert len(await outputs.result(file)) == 100_002
    assert await outputs.files() == [file]


async def test_a_result_that_is_returned_again_after_it_was_pruned_is_there(stage, outputs):
    file = (await stage.end_of(stage.call("big", size=100_000))).result_file
    returned_long_ago(stage, file)
    assert await outputs.remove(Pruned((), (file, file))) == []
    assert await outputs.files() == []

    await stage.end_of(stage.call("big", size=100_000))

    assert await outputs.files() == [file]


async def test_a_result_that_was_put_aside_by_one_who_was_killed_is_put_back(stage, outputs):
    file = (await stage.end_of(stage.call("big", size=100_000))).result_file
    place = stage.folders.results / file[:2] / file
    place.rename(place.with_name(f"{file}.aside"))

    assert await outputs.files() == [file]
    assert len(await outputs.result(file)) == 100_002


async def test_pruning_removes_the_files_of_its_tasks_and_no_others(stage, outputs):
    kept, pruned = stage.call("say", text="kept"), stage.call("say", text="pruned")
    large = stage.call("big", size=100_000)
    for attempt in (kept, pruned):
        await stage.end_of(attempt)
    file = (await stage.end_of(large)).result_file
    (stage.folders.tasks / pruned.task).mkdir()
    returned_long_ago(stage, file)

    assert await outputs.remove(Pruned((pruned.task,), (file,))) == []

    assert (await outputs.read(kept, "stdout", offset=0, limit=100)).total == 5
    assert await outputs.read(pruned, "stdout", offset=0, limit=100) == (b"", 0, 0, 0)
    assert not (stage.folders.tasks / pruned.task).exists()
    with pytest.raises(InvalidRequest):
        await outputs.result(file)


async def test_a_large_result_is_listed_until_it_is_discarded_and_drafts_are_not(stage, outputs):
    file = (await stage.end_of(stage.call("big", size=100_000))).result_file
    (stage.folders.results / file[:2] / f"{file}.1.2.draft").touch()
    assert await outputs.files() == [file]
    outputs.discard(file)
    outputs.discard(file)
    assert await outputs.files() == []


async def test_progress_is_told_while_a_call_runs(stage):
    attempt = stage.call("tell_progress")
    await stage.end_of(attempt)

    (progress,) = [event for event in stage.events if isinstance(event, Progress)]
    assert (progress.attempt, progress.fraction, progress.text) == (attempt, 0.5, "half way")


async def test_a_call_knows_its_attempt_and_its_folder(stage):
    attempt = stage.call("attempt_and_folder")
    outcome = await stage.end_of(attempt)

    folder = stage.folders.tasks / attempt.task
    expected = f'["{attempt.task}",1,"{folder}",[],"{attempt}"]'
    assert outcome.result is not None
    assert outcome.result.decode().replace(" ", "") == expected
    assert folder.is_dir()


def test_a_log_reads_the_same_however_it_was_written(tmp_path):
    from mcp_scheduler.executors.local import log

    stream = b"".join(b"%07d\n" % number for number in range(4000))
    for size in (1, 7, 64, 1000, 5000, len(stream)):
        path = tmp_path / f"{size}.log"
        writing = log.Log(path, 256, 512)
        for start in range(0, len(stream), size):
            writing.write(stream[start : start + size])
        writing.close()
        assert log.read(path, 0, 256) == (stream[:256], 256, len(stream))
        assert log.read(path, -512, 512) == (stream[-512:], len(stream), len(stream))
        assert log.read(path, len(stream), 10) == (b"", len(stream), len(stream))


def test_a_log_that_is_continued_stays_one_stream(tmp_path):
    from mcp_scheduler.executors.local import log

    for part in (b"a" * 100, b"b" * 700, b"c" * 300):
        writing = log.Log(tmp_path / "x", 200, 400)
        writing.write(part)
        writing.close()

    assert log.read(tmp_path / "x", 0, 200)[0] == b"a" * 100 + b"b" * 100
    assert log.read(tmp_path / "x", -400, 400) == (b"b" * 100 + b"c" * 300, 1100, 1100)


def test_attempts_of_a_task_with_dots_in_its_folder_name_keep_apart():
    assert AttemptId.parse(str(AttemptId("a.b", 2))) == AttemptId("a.b", 2)
