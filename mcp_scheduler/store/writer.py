"""What the writer's thread does, on the one connection that writes. A small commit may run in another thread while that
one has nothing to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, delete
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.errors import InvariantBroken, StoreDamaged, StoreUnavailable
from mcp_scheduler.ports import Boot, Pruned
from mcp_scheduler.store.booting import boot, newest_time, remember_seq
from mcp_scheduler.store.checkpoints import Checkpoints
from mcp_scheduler.store.opening import begin_session, mark_clean, open_database
from mcp_scheduler.store.pruning import prune
from mcp_scheduler.store.schema import forecasts, settings
from mcp_scheduler.store.terms import TermsBook, sweep
from mcp_scheduler.store.transaction import meaning, raw, transaction
from mcp_scheduler.store.writing import moment, write


class Writer:
    def __init__(self, path: Path, book: TermsBook) -> None:
        self._path = path
        self._book = book
        self._open: tuple[Connection, Checkpoints] | None = None
        self._latest = 0.0

    def open(self) -> Boot:
        with self._readable():
            connection, clean = open_database(self._path)
            try:
                begin_session(connection)
                with transaction(connection):
                    sweep(connection)
                found = boot(connection, self._book, clean=clean)
                self._latest = found.latest = newest_time(connection, found)
            except BaseException:
                connection.close()
                raise
            self._open = connection, Checkpoints(connection, self._path)
            return found

    def commit(self, changes: Changes, *, patient: bool = True) -> bool:
        """Writes the changes durably; whether a checkpoint is due. Who is not patient gets `LockHeld` where another
        program holds the file's lock."""
        with self._meaning():
            connection, checkpoints = self._opened()
            before = raw(connection).total_changes
            latest = moment(changes, self._latest)
            with transaction(connection, patient=patient):
                learnt = write(connection, changes, self._book, latest)
            self._book.learn(learnt)
            self._latest = latest
            return checkpoints.committed(raw(connection).total_changes - before, _size(changes))

    def set_setting(self, name: str, value: str) -> None:
        with self._meaning():
            connection, _ = self._opened()
            statement = insert(settings).values(name=name, value=value)
            statement = statement.on_conflict_do_update(index_elements=[settings.c.name], set_={"value": value})
            with transaction(connection):
                connection.execute(statement)

    def keep_forecasts(self, rows: Mapping[str, str | None]) -> None:
        kept = [{"key": key, "body": body} for key, body in rows.items() if body is not None]
        forgotten = [key for key, body in rows.items() if body is None]
        insertion = insert(forecasts)
        insertion = insertion.on_conflict_do_update(
            index_elements=[forecasts.c.key], set_={"body": insertion.excluded.body}
        )
        with self._meaning():
            connection, _ = self._opened()
            with transaction(connection):
                for row in kept:
                    connection.execute(insertion, row)
                for key in forgotten:
                    connection.execute(delete(forecasts).where(forecasts.c.key == key))

    def prune(self, *, ended_before: float, keep: int, limit: int) -> Pruned:
        with self._meaning():
            connection, _ = self._opened()
            with transaction(connection):
                return prune(connection, self._book, ended_before=ended_before, keep=keep, limit=limit)

    def checkpoint_passive(self) -> None:
        if self._open is not None:  # closed in order: closing has checkpointed
            self._open[1].passive()

    def checkpoint_idle(self) -> bool:
        """Whether there is more space to give back."""
        with self._meaning():
            return self._opened()[1].idle()

    def close(self) -> None:
        """Marks the store as closed in order, and closes it. A second time it does nothing."""
        if self._open is None:
            return
        connection, checkpoints = self._open
        self._open = None
        with self._meaning():
            try:
                with transaction(connection):
                    remember_seq(connection)
                    mark_clean(connection, clean=True)
                checkpoints.idle()
            finally:
                connection.close()

    def _opened(self) -> tuple[Connection, Checkpoints]:
        if self._open is None:
            raise StoreUnavailable(f"The database {self._path} is not open.")
        return self._open

    @contextmanager
    def _readable(self) -> Generator[None]:
        """While a file is read for the first time: what cannot be understood there is damage, not a defect of ours."""
        try:
            with self._meaning():
                yield
        except (ValueError, LookupError, TypeError, SQLAlchemyError, InvariantBroken) as error:
            raise StoreDamaged(
                f"The database file {self._path} is damaged: what it holds cannot be understood ({error}).",
                path=str(self._path),
            ) from error
        except OSError as error:  # while a new file was made: the next start makes it anew
            told = f"The database {self._path} cannot be used right now: {error}."
            raise StoreUnavailable(told, path=str(self._path)) from error

    @contextmanager
    def _meaning(self) -> Generator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise meaning(error, self._path) from error
        except UnicodeEncodeError as error:
            raise InvariantBroken(f"A name or key is no text that can be stored: {error}.") from error


def _size(changes: Changes) -> int:
    """Bytes of content: what makes rows long."""
    payloads = sum(len(new.payload) for new in changes.added)
    return payloads + sum(len(ended.outcome.result or b"") for ended in changes.ended)
