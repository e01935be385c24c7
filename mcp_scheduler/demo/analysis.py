"""The functions that the demo's agent calls: they read the source files of Python's own standard library."""

from __future__ import annotations

import ast
import os
import sysconfig
import time
from collections import Counter
from pathlib import Path
from typing import Any

from mcp_scheduler import current_task, function

_SKIPPED = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idlelib", "lib2to3"}
_BRANCHES = (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.BoolOp, ast.IfExp, ast.comprehension, ast.ExceptHandler)
_TOP = 5


@function(idempotent=True)
def discover(limit: int = 0) -> list[str]:
    """The source files of the standard library, sorted; `limit` 0 means all of them."""
    found: list[str] = []
    for folder, folders, files in os.walk(sysconfig.get_paths()["stdlib"]):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith("config-")]
        found += [str(Path(folder, name)) for name in files if name.endswith(".py")]
    return sorted(found)[: limit or None]


@function
def measure(path: str, ledger: str = "") -> dict[str, Any]:
    """Lines, functions, the most branched function, imports and missing docstrings of one Python file.

    It is not declared idempotent: the scheduler may run it once only. Each run adds a line to `ledger`.
    """
    if ledger:
        with Path(ledger).open("a", encoding="utf-8") as file:
            file.write(f"{path}\n")
    return measured(path)


def measured(path: str) -> dict[str, Any]:
    """The work itself, also done one file after the other for comparison."""
    source = Path(path).read_bytes()
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return {"path": path, "error": str(error)}
    found = _Findings()
    found.look_at(tree, None)
    public = [node for node in found.branches if not node.name.startswith("_")]
    branched = max(found.branches, key=lambda node: found.branches[node], default=None)
    return {
        "path": path,
        "lines": source.count(b"\n"),
        "functions": len(found.branches),
        "public": len(public),
        "undocumented": sum(ast.get_docstring(node, clean=False) is None for node in public),
        "imports": dict(found.imports),
        "bare_excepts": found.bare_excepts,
        "most_branched": None if branched is None else [branched.name, branched.lineno, found.branches[branched]],
    }


class _Findings:
    """One walk through a module. `branches` counts the ways through each function: one, and one more for each branch
    (McCabe 1976); a nested function counts for itself."""

    def __init__(self) -> None:
        self.branches: dict[ast.FunctionDef | ast.AsyncFunctionDef, int] = {}
        self.imports: Counter[str] = Counter()
        self.bare_excepts = 0

    def look_at(self, node: ast.AST, inside: ast.FunctionDef | ast.AsyncFunctionDef | None) -> None:
        for part in ast.iter_child_nodes(node):
            here = inside
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                self.branches[part] = 1
                here = part
            elif isinstance(part, _BRANCHES) and inside is not None:
                self.branches[inside] += 1
            elif isinstance(part, ast.Import | ast.ImportFrom):
                self.imports.update(name.partition(".")[0] for name in _imported(part))
            if isinstance(part, ast.ExceptHandler) and part.type is None:
                self.bare_excepts += 1
            self.look_at(part, here)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module]
    return []


@function(idempotent=True)
def summarise(files: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up what was measured."""
    good = [file for file in files if "error" not in file]
    imports: Counter[str] = Counter()
    for file in good:
        imports.update(file["imports"])
    branched = sorted(
        ([*file["most_branched"], file["path"]] for file in good if file["most_branched"]),
        key=lambda entry: -entry[2],
    )
    public = sum(file["public"] for file in good)
    return {
        "files": len(good),
        "unreadable": len(files) - len(good),
        "lines": sum(file["lines"] for file in good),
        "functions": sum(file["functions"] for file in good),
        "undocumented": round(100 * sum(file["undocumented"] for file in good) / max(1, public)),
        "bare_excepts": sum(file["bare_excepts"] for file in good),
        "most_branched": branched[:_TOP],
        "most_imported": imports.most_common(_TOP),
    }


@function(idempotent=True)
def report(summary: dict[str, Any], python: str) -> str:
    """The findings as text."""
    lines = [
        f"Python {python}: {summary['files']:,} files, {summary['lines']:,} lines, {summary['functions']:,} functions.",
        (
            f"{summary['undocumented']} % of the public functions have no docstring; "
            f"{summary['bare_excepts']} handlers catch everything."
        ),
        "Most imported: " + ", ".join(f"{name} ({count})" for name, count in summary["most_imported"]) + ".",
        "Most branched functions:",
    ]
    lines += [
        f"  {count:4d} ways through {name}  {Path(path).name}:{line}"
        for name, line, count, path in summary["most_branched"]
    ]
    return "\n".join(lines)


@function(retry={"max_attempts": 3, "delay": 0.2})
def fetch_python_version() -> str:
    """Fails the first time, as a service that is just starting does; the scheduler tries again."""
    task = current_task()
    if task.attempt == 1:
        raise ConnectionError("the service is not up yet (this is the demo's planned failure)")
    return sysconfig.get_python_version()


@function
def wait_for_ever() -> None:
    """What an agent starts by mistake, and cancels."""
    while True:
        time.sleep(0.1)
