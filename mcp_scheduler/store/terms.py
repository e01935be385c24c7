"""Terms and their rows. Equal terms are stored once, and are one object for all who read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, MutableMapping
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from mcp_scheduler.core.task import Terms
from mcp_scheduler.store.rows import terms_from, terms_text
from mcp_scheduler.store.schema import tasks, terms

MANY: Final = 1_000  # fewer unused terms are not worth a look at all tasks

_INSERT = insert(terms).on_conflict_do_nothing(index_elements=[terms.c.digest])
_FIND = select(terms.c.id).where(terms.c.digest == bindparam("digest"))
SELECT_TERMS: Final = select(terms.c.id, terms.c.body).where(
    terms.c.id.in_(select(func.json_each(bindparam("ids")).table_valued("value").c.value))
)
_SWEEP = delete(terms).where(terms.c.id.not_in(select(tasks.c.terms)))


class TermsBook:
    """Known terms by row and rows by terms, as long as somebody uses them.

    The writer's thread and the event loop share it; each entry is set whole and never changed.
    """

    def __init__(self) -> None:
        self.by_row: MutableMapping[int, Terms] = WeakValueDictionary()
        self._rows: MutableMapping[Terms, int] = WeakKeyDictionary()

    def row(self, connection: Connection, wanted: Terms) -> int:
        """The row of these terms, inserted if need be: part of the transaction under way."""
        known = self._rows.get(wanted)
        if known is not None:
            return known
        body = terms_text(wanted)
        digest = hashlib.sha256(body.encode()).digest()
        connection.execute(_INSERT, {"digest": digest, "body": body})
        return int(connection.execute(_FIND, {"digest": digest}).scalar_one())

    def learn(self, pairs: Iterable[tuple[int, Terms]]) -> None:
        """Called after a commit: before it, the rows may vanish again."""
        for row, wanted in pairs:
            self._rows[self.by_row.setdefault(row, wanted)] = row

    def read(self, connection: Connection) -> list[Terms]:
        """Reads all of them; they stay known as long as the caller keeps the list."""
        rows = connection.execute(select(terms.c.id, terms.c.body)).all()
        found = [(row, terms_from(body)) for row, body in rows]
        self.learn(found)
        return [one for _, one in found]

    def unknown(self, rows: Iterable[int]) -> str | None:
        """The rows that are not known, as SELECT_TERMS wants them; None if there are none."""
        missing = sorted({row for row in rows if row not in self.by_row})
        return json.dumps(missing) if missing else None


def sweep(connection: Connection) -> None:
    """Deletes the terms no task has any more, once there are many."""
    count = connection.execute(select(func.count()).select_from(terms)).scalar_one()
    if count > MANY:
        connection.execute(_SWEEP)
