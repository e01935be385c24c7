"""Which files `inputs` means, under which names, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcp_scheduler import errors
from mcp_scheduler.service.gathering import Rules, gather


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "work"
    for name in ("a.csv", "b.csv", "data/x.bin", "data/deep/y.bin"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(name)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "z.txt").write_text("z")
    return base


def rules(base: Path, *, anywhere: bool = False, most: int = 100) -> Rules:
    home = base / "home"
    return Rules((str(base),), anywhere, str(home), str(home / "tasks"), most)


def names(base: Path, *wanted: str, **given: bool) -> list[str]:
    return [name for name, _ in gather(wanted, str(base), rules(base, **given))]


def test_files_folders_and_patterns_keep_their_paths_below_the_working_folder(base: Path) -> None:
    assert names(base, "a.csv") == ["a.csv"]
    assert names(base, "*.csv", "a.csv") == ["a.csv", "b.csv"]
    assert names(base, "data") == ["data/deep/y.bin", "data/x.bin"]
    assert names(base, str(base / "data" / "**" / "*.bin")) == ["data/deep/y.bin", "data/x.bin"]


def test_what_lies_elsewhere_is_called_by_its_own_name(base: Path) -> None:
    assert names(base, "../outside/z.txt", anywhere=True) == ["z.txt"]
    assert names(base, str(base.parent / "outside"), anywhere=True) == ["outside/z.txt"]


def test_a_file_outside_of_what_is_allowed_is_refused_links_to_it_too(base: Path) -> None:
    with pytest.raises(errors.NotAllowed, match=r"outside of .* adds its folder to \[inputs\] allow"):
        names(base, "../outside/z.txt")
    (base / "link.txt").symlink_to(base.parent / "outside" / "z.txt")
    with pytest.raises(errors.NotAllowed, match="outside"):
        names(base, "link.txt")


def test_the_home_of_the_scheduler_is_no_input_but_folders_of_tasks_are(base: Path) -> None:
    (base / "home" / "tasks" / "t-1").mkdir(parents=True)
    (base / "home" / "tasks" / "t-1" / "model").write_text("m")
    assert names(base, "home/tasks") == ["home/tasks/t-1/model"]
    (base / "home" / "http.token").write_text("secret")
    with pytest.raises(errors.NotAllowed, match="belongs to the scheduler"):
        names(base, ".", anywhere=True)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (("no.csv",), "There is no input .*no.csv. Inputs are read when a task is submitted"),
        (("no*.csv",), "No file matches"),
        (("",), "has no name"),
        (("a.csv", "other/a.csv"), "There is no input"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_do(base: Path, wanted: tuple[str, ...], words: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=words):
        names(base, *wanted)


def test_two_files_of_one_name_and_too_many_files_are_refused(base: Path) -> None:
    (base.parent / "outside" / "a.csv").write_text("other")
    with pytest.raises(errors.InvalidRequest, match=r"Two inputs would be called a\.csv"):
        names(base, "a.csv", "../outside/a.csv", anywhere=True)
    with pytest.raises(errors.TooLarge, match="more than 1 files"):
        gather(["*.csv"], str(base), rules(base, most=1))


def test_links_to_folders_within_a_folder_are_refused_so_that_no_circle_is_walked(base: Path) -> None:
    os.symlink(base / "data", base / "data" / "again")
    with pytest.raises(errors.InvalidRequest, match="is a link to a folder"):
        names(base, "data")
