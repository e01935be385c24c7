"""One transaction: whole, or as if it had not been. And the meaning of SQLite's errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from mcp_scheduler.errors import InvariantBroken, SchedulerError, StoreDamaged, StoreUnavailable

DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
PASSING = frozenset(
    {"SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM"}
)


class LockHeld(Exception):
    """Another program holds the file's lock, and who asked does not wait for it."""


def raw(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


@contextmanager
def transaction(
    connection: Connection, kind: Literal["IMMEDIATE", "EXCLUSIVE"] = "IMMEDIATE", *, patient: bool = True
) -> Generator[None]:
    driver = raw(connection)
    if patient:
        driver.execute(f"BEGIN {kind}")
    else:
        _begin_at_once(driver)
    try:
        yield
        driver.execute("COMMIT")
    except BaseException:
        # A full disk or an I/O error may have made SQLite roll back already: then a ROLLBACK would be an error.
        if driver.in_transaction:
            driver.execute("ROLLBACK")
        raise


def _begin_at_once(driver: sqlite3.Connection) -> None:
    (patience,) = driver.execute("PRAGMA busy_timeout").fetchone()
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith("SQLITE_BUSY"):
            raise LockHeld from error
        raise
    finally:
        driver.execute(f"PRAGMA busy_timeout = {patience}")


def meaning(error: DBAPIError | sqlite3.Error, path: Path) -> SchedulerError:
    """What a driver's error means to a caller of the store."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    name: str = getattr(cause, "sqlite_errorname", "") or type(cause).__name__
    family = "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE is an SQLITE_IOERR
    if family in DAMAGED:
        return StoreDamaged(f"The database file {path} is damaged: {cause}.", path=str(path))
    if family in PASSING:
        return StoreUnavailable(f"The database {path} cannot be used right now: {cause} ({name}).", path=str(path))
    return InvariantBroken(f"The database {path} refused a statement: {cause} ({name}).")
