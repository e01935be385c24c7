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

MANY: Final = 1_000  # at a start: fewer unused terms are not worth a look at all tasks
SOME: Final = 100  # while tasks are forgotten, and one more for each
SHARE: Final = 50  # of the tasks: so many are looked at for each of the terms that may be unused

_INSERT = insert(terms).on_conflict_do_nothing(index_elements=[terms.c.digest])
_FIND = select(terms.c.id).where(terms.c.digest == bindparam("digest"))
SELECT_TERMS: Final = select(terms.c.id, terms.c.body).where(
    terms.c.id.in_(select(func.json_each(bindparam("ids")).table_valued("value").c.value))
)
_SWEEP = delete(terms).where(terms.c.id.not_in(select(tasks.c.terms)))
_SWEEP_THESE = _SWEEP.where(
    terms.c.id.in_(select(func.json_each(bindparam("these")).table_valued("value").c.value)),
    # The newest row stays, or its number would be given to other terms while readers still know it as these.
    terms.c.id < select(func.max(terms.c.id)).scalar_subquery(),
)
_SPAN: Final = select(select(func.max(tasks.c.seq)).scalar_subquery() - select(func.min(tasks.c.seq)).scalar_subquery())


class TermsBook:
    """Known terms by row and rows by terms, as long as somebody uses them.

    The writer's thread and the event loop share it; each entry is set whole and never changed. Only the writer says
    which row terms have, since only it knows whether the row is still there.
    """

    def __init__(self) -> None:
        self.by_row: MutableMapping[int, Terms] = WeakValueDictionary()
        self._rows: MutableMapping[Terms, int] = WeakKeyDictionary()
        self._let_go: set[int] = set()  # rows that tasks had which are forgotten

    def row(self, connection: Connection, wanted: Terms) -> int:
        """The row of these terms, inserted if need be: part of the transaction under way."""
        known = self._rows.get(wanted)
        if known is not None:
            return known
        body = terms_text(wanted)
        digest = hashlib.sha256(body.encode()).digest()
        connection.execute(_INSERT, {"digest": digest, "body": body})
        return int(connection.execute(_FIND, {"digest": digest}).scalar_one())

    def learn(self, pairs: Iterable[tuple[int, Terms]]) -> dict[int, Terms]:
        """Called after a commit: before it, the rows may vanish again. The terms by row, as everybody has them."""
        found = self.share(pairs)
        for row, known in found.items():
            self._rows[known] = row
        return found

    def share(self, pairs: Iterable[tuple[int, Terms]]) -> dict[int, Terms]:
        """For who has read terms: the same by row, as everybody has them."""
        return {row: self.by_row.setdefault(row, wanted) for row, wanted in pairs}

    def read(self, connection: Connection) -> dict[int, Terms]:
        """Reads all of them, by row; they stay known as long as the caller keeps them."""
        rows = connection.execute(select(terms.c.id, terms.c.body)).all()
        return self.learn((row, terms_from(body)) for row, body in rows)

    def known(self, rows: Iterable[int]) -> dict[int, Terms]:
        """Those of these rows that are known. They stay so as long as the caller keeps them: the last task with terms
        may be pruned while others are still being read."""
        found = ((row, self.by_row.get(row)) for row in set(rows))
        return {row: one for row, one in found if one is not None}

    def let_go(self, connection: Connection, rows: Iterable[int]) -> None:
        """Tasks with these terms are being forgotten. Deletes terms that no task has any more, once there may be as
        many as is worth a look at all tasks; part of the transaction under way."""
        self._let_go.update(rows)
        span = connection.execute(_SPAN).scalar_one() or 0
        if len(self._let_go) >= SOME + span // SHARE:
            known = set(self._rows.values())  # these may be given to a new task without another look at the database
            connection.execute(_SWEEP_THESE, {"these": json.dumps(sorted(self._let_go - known))})
            self._let_go.clear()


def sweep(connection: Connection) -> None:
    """At a start: deletes the terms no task has any more, once there are many."""
    count = connection.execute(select(func.count()).select_from(terms)).scalar_one()
    if count > MANY:
        connection.execute(_SWEEP)
