"""Inputs on the disk: kept once by content, as long as somebody has them, and swept after a crash."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mcp_scheduler import errors
from mcp_scheduler.executors.local import content
from mcp_scheduler.executors.local.inputs import LocalInputs
from mcp_scheduler.sdk import inputs as layout
from mcp_scheduler.settings import Inputs as Limits

pytestmark = pytest.mark.anyio


@pytest.fixture
async def kept(tmp_path: Path, anyio_backend: str) -> AsyncIterator[LocalInputs]:
    kept = LocalInputs(tmp_path / "inputs", Limits(task_bytes=1000, store_bytes=1500))
    yield kept
    await kept.close()


async def again(kept: LocalInputs, known: set[str], alive: frozenset[str] = frozenset()) -> LocalInputs:
    """What a start after a kill finds: nothing but the files, and the tasks that the store has."""
    fresh = LocalInputs(kept._folder, kept._limits)

    async def are_there(names: list[str]) -> set[str]:
        return known & set(names)

    await fresh.sweep(are_there, alive)
    return fresh


def write(folder: Path, **files: str) -> list[tuple[str, str]]:
    for name, text in files.items():
        (folder / name).write_text(text)
    return [(f"in/{name}", str(folder / name)) for name in files]


def stored(folder: Path) -> list[str]:
    return sorted(
        f"{os.path.basename(where)}/{name}" for where, _, found in os.walk(folder / "inputs") for name in found
    )


async def test_a_later_edit_changes_nothing_and_attempts_do_not_meet(kept: LocalInputs, tmp_path: Path) -> None:
    taken: list[str] = []
    tree = await kept.take(write(tmp_path, a="first", b="same", c="same"), taken)
    assert (tree.files, tree.bytes) == (3, 13)
    await kept.hold({"t": tree.name})
    kept.let_go(taken)
    (tmp_path / "a").write_text("edited")
    one = Path(layout.lay_out(str(tmp_path / "inputs"), tree.name, "t.1"))
    assert (one / "in" / "a").read_text() == "first"
    (one / "in" / "a").write_text("spoilt by the first attempt")
    two = Path(layout.lay_out(str(tmp_path / "inputs"), tree.name, "t.2"))
    assert (two / "in" / "a").read_text() == "first"
    assert len([name for name in stored(tmp_path) if len(name) > 60]) == 3  # two contents and the list


async def test_equal_files_are_one_and_go_with_the_last_task(kept: LocalInputs, tmp_path: Path) -> None:
    files = write(tmp_path, a="x")
    trees: list[str] = []
    for task in ("one", "two"):
        taken: list[str] = []
        tree = await kept.take(files, taken)
        await kept.hold({task: tree.name})
        kept.let_go(taken)
        trees.append(tree.name)
    assert trees[0] == trees[1]
    kept.release(["one", "no such task"])
    await kept.hold({})
    assert len(stored(tmp_path)) == 3  # content, list, link of the other
    kept.release(["two"])
    await kept.hold({})
    assert stored(tmp_path) == []


async def test_a_submission_that_comes_to_nothing_leaves_nothing(kept: LocalInputs, tmp_path: Path) -> None:
    taken: list[str] = []
    await kept.take(write(tmp_path, a="x"), taken)
    kept.let_go(taken)
    await kept.hold({})
    assert stored(tmp_path) == []


async def test_what_a_kill_left_behind_is_swept_and_what_tasks_have_stays(kept: LocalInputs, tmp_path: Path) -> None:
    taken: list[str] = []
    mine = await kept.take(write(tmp_path, a="mine"), taken)
    await kept.hold({"mine": mine.name})
    unheard = await kept.take(write(tmp_path, b="never acknowledged"), taken)
    await kept.hold({"unheard": unheard.name})
    await kept.take(write(tmp_path, c="taken and not held"), taken)
    (tmp_path / "inputs" / "content" / "draft").write_text("half")
    for attempt in ("mine.1", "mine.2"):
        layout.lay_out(str(tmp_path / "inputs"), mine.name, attempt)
    fresh = await again(kept, {"mine"}, frozenset({"mine.2"}))
    folder = tmp_path / "inputs"
    assert os.listdir(folder / "attempts") == ["mine.2"]
    assert os.listdir(folder / "tasks") == ["mine"]
    assert os.listdir(folder / "trees") == [mine.name]
    fresh.release(["mine"])
    await fresh.hold({})
    assert [name for name in stored(tmp_path) if "attempts" not in name and not name.startswith("in/")] == []
    await fresh.close()


async def test_limits_are_told_with_what_to_do_and_leave_nothing(kept: LocalInputs, tmp_path: Path) -> None:
    taken: list[str] = []
    with pytest.raises(errors.TooLarge, match=r"1,000 bytes .* raise \[inputs\] task_bytes"):
        await kept.take(write(tmp_path, a="x" * 1001), taken)
    with pytest.raises(errors.TooLarge, match=r"have 1,200 bytes; 1,000 are accepted"):
        await kept.take(write(tmp_path, a="x" * 600, b="y" * 600), taken)
    await kept.take(write(tmp_path, a="x" * 900), taken)
    with pytest.raises(errors.Unavailable, match=r"more than 1,500 bytes\. .*\[inputs\]"):
        await kept.take(write(tmp_path, b="y" * 900), taken)
    kept.let_go(taken)
    await kept.hold({})
    assert stored(tmp_path) == []


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: None])
async def test_what_cannot_be_read_is_refused(kept: LocalInputs, tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "odd")
    with pytest.raises(errors.InvalidRequest, match=r"no ordinary file|cannot be read: No such file"):
        await kept.take([("odd", str(tmp_path / "odd"))], [])


async def test_a_file_that_goes_on_changing_is_not_kept_torn(
    kept: LocalInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write(tmp_path, a="x")
    real = content.transfer

    def changing(source: int, target: int, heard: Callable[[bytes], None] | None = None) -> int:
        (tmp_path / "a").write_text("longer" + (tmp_path / "a").read_text())
        return real(source, target, heard)

    monkeypatch.setattr(content, "clone", lambda source, target: False)
    monkeypatch.setattr(content, "transfer", changing)
    with pytest.raises(errors.InvalidRequest, match="goes on changing"):
        await kept.take(files, [])
