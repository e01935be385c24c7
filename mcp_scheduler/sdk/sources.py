"""Loads what the user named: files, modules and entry points; finds the declared functions in them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from mcp_scheduler.sdk.describe import Offered, Undescribable, describe
from mcp_scheduler.sdk.failures import told
from mcp_scheduler.sdk.function import MARK, Declaration

GROUP: Final = "mcp_scheduler.functions"


class BadSource(Exception):
    """A source that cannot be loaded, in words for its owner."""


class Loaded:
    """What the sources offer: functions by name, and a line for each thing that went wrong."""

    def __init__(self) -> None:
        self.functions: dict[str, Offered] = {}
        self.problems: list[str] = []
        self._seen: set[int] = set()

    def add(self, source: str) -> None:
        """Load one source; what it raises, `SystemExit` included, becomes a problem and spoils no other source."""
        try:
            module = _from_file(source) if _is_file(source) else importlib.import_module(source)
        except BadSource as problem:
            self.problems.append(f"{source}: {problem}")
        except BaseException as error:  # noqa: BLE001 (a user's module may raise anything)
            self.problems.append(f"{source}: {told(error)}")
        else:
            self._find(module)

    def _find(self, module: ModuleType) -> None:
        for value in list(vars(module).values()):
            declaration: Any = getattr(value, MARK, None)
            if isinstance(declaration, Declaration) and id(value) not in self._seen:
                self._seen.add(id(value))
                self._offer(module.__name__, value, declaration)

    def _offer(self, module: str, call: Any, declaration: Declaration) -> None:
        name = f"{module}.{declaration.name}"
        if name in self.functions:
            self.problems.append(f"{name}: two functions have this name; the first one is offered")
            return
        try:
            self.functions[name] = describe(module, call, declaration)
        except (Undescribable, ValueError, TypeError) as problem:
            self.problems.append(f"{name}: {problem}")


def load(sources: Sequence[str], path: Sequence[str]) -> Loaded:
    """Put `path` on the import path, load `sources` in their order, then this environment's entry points."""
    extra = [os.path.abspath(part) for part in path]
    if any(not _is_file(source) for source in sources):
        extra.append(os.getcwd())
    sys.path[:0] = [part for part in extra if part not in sys.path]
    loaded = Loaded()
    for source in sources:
        loaded.add(source)
    for module in sorted(_entry_points() - set(sources)):
        loaded.add(module)
    return loaded


def _is_file(source: str) -> bool:
    return source.endswith(".py") or os.sep in source


def _from_file(source: str) -> ModuleType:
    file = Path(os.path.abspath(Path(source).expanduser()))
    if not file.is_file():
        raise BadSource(f"there is no file {file}")
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.import_module(file.stem)
    origin = getattr(module, "__file__", None)
    if origin is None or not os.path.samefile(origin, file):
        raise BadSource(f"the module name {file.stem!r} is taken by {origin or 'a built-in module'}; rename the file")
    return module


def _entry_points() -> set[str]:
    """Modules named by the group. A glance at the files first: the library that reads them takes 20 ms to import."""
    if not any(_mentions_group(file) for file in _entry_point_files()):
        return set()
    from importlib.metadata import entry_points  # noqa: PLC0415

    every: Any = entry_points()
    found = every.select(group=GROUP) if hasattr(every, "select") else every.get(GROUP, ())
    return {point.value.partition(":")[0].strip() for point in found}


def _entry_point_files() -> Iterator[str]:
    for folder in sys.path:
        try:
            names = os.listdir(folder)
        except OSError:
            continue  # an archive, or gone: nothing installed lies there
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                yield f"{folder}/{name}/entry_points.txt"


def _mentions_group(file: str) -> bool:
    try:
        with open(file, "rb") as opened:
            return GROUP.encode() in opened.read()
    except OSError:
        return False
