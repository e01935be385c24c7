"""Checks of the program itself: its interpreter, its libraries, SQLite."""

from __future__ import annotations

import platform
import sqlite3
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from mcp_scheduler._version import __version__
from mcp_scheduler.cli.checks.finding import Finding

_OLDEST: Final = (3, 11)
_PACKAGES: Final = (
    "mcp", "anyio", "pydantic", "pydantic-settings", "sqlalchemy", "aiosqlite", "psutil", "typer", "rich", "jmespath",
    "jsonschema", "nvidia-ml-py",
)  # fmt: skip
_SHOWN: Final = ("mcp", "pydantic", "sqlalchemy")
_SYSTEMS: Final = ("Linux",)


def check_python() -> Finding:
    """The interpreter that runs the engine and this command."""
    text = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < _OLDEST:
        return Finding("FAIL", "python", text, "Install mcp-scheduler with Python 3.11 or newer.")
    if platform.system() not in _SYSTEMS:
        return Finding("WARN", "python", f"{text}, on {platform.system()}", "Only Linux is tested; expect gaps.")
    return Finding("OK", "python", text)


def check_packages() -> Finding:
    """What the engine imports, with versions."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        todo = f"Reinstall: {sys.executable} -m pip install --force-reinstall mcp-scheduler"
        return Finding("FAIL", "packages", f"missing: {', '.join(missing)}", todo)
    shown = ", ".join(f"{name} {found[name]}" for name in _SHOWN)
    return Finding("OK", "packages", f"mcp-scheduler {__version__}, {shown}; all {len(found)} are there")


def check_sqlite(linked: tuple[int, int, int] | None = None) -> Finding:
    """The SQLite that the engine's interpreter is linked with (`linked` overrides it)."""
    number = linked or sqlite3.sqlite_version_info
    text = ".".join(str(part) for part in number)
    if not has_wal_reset_defect(number):
        return Finding("OK", "sqlite", text)
    return Finding(
        "OK",
        "sqlite",
        f"{text}, which has the WAL-reset defect (fixed in 3.51.3): harmless while the engine alone opens its file",
        "Never open scheduler.db with another program while an engine runs; copy it after `mcp-scheduler stop`.",
    )


def has_wal_reset_defect(number: tuple[int, ...]) -> bool:
    """sqlite.org/wal.html#walresetbug: 3.7.0 to 3.51.2; the fix also went into 3.44.6 and 3.50.7."""
    patched = any(number[:2] == line[:2] and number >= line for line in ((3, 44, 6), (3, 50, 7)))
    return (3, 7, 0) <= number < (3, 51, 3) and not patched
