"""Which files `inputs` means: names, patterns and folders become pairs of a path for the task and a place on disk."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from mcp_scheduler import errors

_MAGIC: Final = frozenset("*?[")


class Rules(NamedTuple):
    """What may be read for a client. Real paths: below `roots`, or everywhere if `anywhere`; in no case in `closed`,
    the scheduler's own home, but for the folders of tasks in it (`tasks`). At most `most` files."""

    roots: tuple[str, ...]
    anywhere: bool
    closed: str
    tasks: str
    most: int


def gather(wanted: Sequence[str], base: str, rules: Rules) -> list[tuple[str, str]]:
    """The files, in the order of their paths. Those below `base` keep their path from there; of others a file has its
    name, and a folder's files their path from that folder's parent. Errors: `InvalidRequest`, `NotAllowed`, `TooLarge`.
    """
    found: dict[str, str] = {}
    base = os.path.realpath(base)
    for text in wanted:
        for path in _matches(text, base):
            for place in _files(path):
                _add(found, _name_of(place, path, base), _checked(place, rules), rules.most)
    return sorted(found.items())


def _matches(text: str, base: str) -> list[str]:
    if not text or "\0" in text:
        raise errors.InvalidRequest("An input has no name.", hint='Give paths, as in ["data.csv", "models/*.bin"].')
    path = os.path.normpath(os.path.join(base, os.path.expanduser(text)))
    if os.path.lexists(path):
        return [path]
    if _MAGIC.isdisjoint(text):
        raise errors.InvalidRequest(
            f"There is no input {path}.",
            hint="Inputs are read when a task is submitted. What another task makes, hand over by its result.",
        )
    matches = sorted(glob.glob(path, recursive=True))
    if not matches:
        raise errors.InvalidRequest(f"No file matches the input {path}.", hint="Check the pattern: * ? [abc] and **.")
    return matches


def _files(path: str) -> Iterator[str]:
    """The file itself, or all files of a folder."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, files in os.walk(path, onerror=_unreadable):
        folders.sort()
        for name in folders:
            if os.path.islink(f"{folder}/{name}"):
                raise errors.InvalidRequest(
                    f"{folder}/{name} is a link to a folder.", hint="Name the folder itself as an input of its own."
                )
        for name in sorted(files):
            yield f"{folder}/{name}"


def _unreadable(error: OSError) -> None:
    raise errors.InvalidRequest(
        f"The input {error.filename} cannot be read: {os.strerror(error.errno or 0)}.",
        hint="Check who may read it, or leave it out.",
    )


def _name_of(place: str, given: str, base: str) -> str:
    if place.startswith(base.rstrip("/") + "/"):
        return os.path.relpath(place, base)
    return os.path.relpath(place, os.path.dirname(given))


def _checked(place: str, rules: Rules) -> str:
    real = os.path.realpath(place)
    if _is_below(real, rules.closed) and not _is_below(real, rules.tasks):
        raise errors.NotAllowed(
            f"{real} belongs to the scheduler itself.",
            hint="Name the files one by one, or keep the scheduler's home out of the folder.",
        )
    if not rules.anywhere and not any(_is_below(real, root) for root in (*rules.roots, rules.tasks)):
        raise errors.NotAllowed(
            f"This client may not take {real} as an input: it is outside of {', '.join(rules.roots)}.",
            hint="Copy it there; or the person who owns this machine adds its folder to [inputs] allow in config.toml.",
        )
    return real


def _is_below(path: str, folder: str) -> bool:
    return path == folder or Path(path).is_relative_to(folder)


def _add(found: dict[str, str], name: str, place: str, most: int) -> None:
    if found.setdefault(name, place) != place:
        raise errors.InvalidRequest(
            f"Two inputs would be called {name}: {found[name]} and {place}.",
            hint="Name their common folder, or submit from it.",
        )
    if len(found) > most:
        raise errors.TooLarge(
            f"The inputs are more than {most:,} files.", hint="Pack them into one file, or raise [inputs] task_files."
        )
