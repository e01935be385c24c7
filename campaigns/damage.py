"""Damage to a database: bits that flip, a log that is cut off, junk, another program's file, a newer schema.

A start on it has to end in one of two ways: refused with the reason, and the file left as it is; or the engine works,
and then with everything that was there. It must never start on something else in silence. One kind of damage nobody can
see: a bit that flips within the text of a row, because SQLite keeps no checksums of pages. It is counted.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.events import NewTask
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Kind, Status, Task, Terms
from mcp_scheduler.errors import NewerSchema, StoreDamaged, StoreUnavailable
from mcp_scheduler.store.sqlite import SqliteStore

TASKS = 300
BATCHES = 30
Spoil = Callable[[Path, Random], None]


async def original(folder: Path) -> Path:
    """A database as `kill -9` leaves it, with a part of its tasks in the log alone."""
    path = folder / "scheduler.db"
    store = SqliteStore(path)
    await store.open()
    terms = Terms(Kind.FUNCTION, "module.function", "environment", "agent")
    each = TASKS // BATCHES
    for batch in range(BATCHES):
        numbers = range(batch * each + 1, (batch + 1) * each + 1)
        tasks = [Task(f"t{n}", n, terms, 1.0, Status(State.QUEUED, 1.0), name=f"t{n}") for n in numbers]
        await store.commit(Changes(added=[NewTask(task, b"%d" % task.seq * 100) for task in tasks]))
        if batch == BATCHES // 2:
            await store.checkpoint()
    copy = folder / "as it was"
    copy.mkdir()
    for name in ("scheduler.db", "scheduler.db-wal"):
        shutil.copy(folder / name, copy / name)
    await store.close()
    return copy


def bit_in_the_file(folder: Path, chance: Random) -> None:
    """One bit of the database."""
    _flip(folder / "scheduler.db", chance, 1)


def bits_in_the_file(folder: Path, chance: Random) -> None:
    """A hundred bits of the database."""
    _flip(folder / "scheduler.db", chance, 100)


def bit_in_the_log(folder: Path, chance: Random) -> None:
    """One bit of the log: SQLite's checksums end the log before it."""
    _flip(folder / "scheduler.db-wal", chance, 1)


def cut_file(folder: Path, chance: Random) -> None:
    """The database ends somewhere."""
    _cut(folder / "scheduler.db", chance)


def cut_log(folder: Path, chance: Random) -> None:
    """The log ends somewhere."""
    _cut(folder / "scheduler.db-wal", chance)


def no_file(folder: Path, _: Random) -> None:
    """The log is all there is."""
    (folder / "scheduler.db").unlink()


def empty_file(folder: Path, _: Random) -> None:
    """Nothing in the file."""
    (folder / "scheduler.db").write_bytes(b"")


def junk_page(folder: Path, chance: Random) -> None:
    """A page of noise somewhere."""
    path = folder / "scheduler.db"
    with path.open("r+b") as file:
        file.seek(4096 * chance.randrange(path.stat().st_size // 4096))
        file.write(chance.randbytes(4096))


def zero_page(folder: Path, chance: Random) -> None:
    """A page of zeros somewhere."""
    path = folder / "scheduler.db"
    with path.open("r+b") as file:
        file.seek(4096 * chance.randrange(path.stat().st_size // 4096))
        file.write(bytes(4096))


def junk_file(folder: Path, chance: Random) -> None:
    """No database at all."""
    (folder / "scheduler.db").write_bytes(chance.randbytes(10_000))


def foreign_file(folder: Path, _: Random) -> None:
    """Another program's database."""
    for name in ("scheduler.db", "scheduler.db-wal"):
        (folder / name).unlink()
    database = sqlite3.connect(folder / "scheduler.db")
    database.execute("CREATE TABLE tasks (id TEXT)")
    database.close()


def newer_schema(folder: Path, chance: Random) -> None:
    """As a later version leaves it."""
    database = sqlite3.connect(folder / "scheduler.db")
    database.execute(f"PRAGMA user_version = {chance.randrange(1000, 2000)}")
    database.close()


SPOILS: Sequence[Spoil] = (
    bit_in_the_file, bits_in_the_file, bit_in_the_log, cut_file, cut_log, no_file, empty_file, junk_page, zero_page,
    junk_file, foreign_file, newer_schema,
)  # fmt: skip


def _flip(path: Path, chance: Random, bits: int) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(bits):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def _cut(path: Path, chance: Random) -> None:
    with path.open("r+b") as file:
        file.truncate(chance.randrange(path.stat().st_size))


async def one(copy: Path, folder: Path, spoil: Spoil, chance: Random) -> tuple[str, str]:
    """What came of a start on the damaged file, and, if that must not be, why not."""
    shutil.copytree(copy, folder)
    spoil(folder, chance)
    path = folder / "scheduler.db"
    before = path.read_bytes() if path.exists() else b""
    store = SqliteStore(path)
    try:
        await store.open()
    except (StoreDamaged, NewerSchema) as error:
        after = path.read_bytes() if path.exists() else b""
        told = "" if after == before else f"refused, and the file was changed: {error}"
        return "refused", told
    except StoreUnavailable as error:
        return "refused", f"refused as if that would pass by itself: {error}"
    finally:
        await asyncio.shield(store.close())
    return _compared(path, spoil)


def _compared(path: Path, spoil: Spoil) -> tuple[str, str]:
    database = sqlite3.connect(path)
    rows = database.execute(
        "SELECT id, state, body FROM tasks LEFT JOIN payloads ON payloads.task = tasks.seq ORDER BY seq"
    ).fetchall()
    database.close()
    expected = [(f"t{n}", "queued", b"%d" % n * 100) for n in range(1, TASKS + 1)]
    if rows == expected:
        return "started with everything", ""
    if spoil in (bit_in_the_log, cut_log) and rows == expected[: len(rows)]:
        return "started with what the log holds before the damage", ""
    wrong = sum(row != should for row, should in zip(rows, expected, strict=False))
    if len(rows) == TASKS and spoil in (bit_in_the_file, bits_in_the_file):
        return f"started with {wrong} rows that say something else (SQLite keeps no checksums of them)", ""
    return "started on something else", f"started with {len(rows)} of {TASKS} tasks, {wrong} of them different"


async def damage(folder: Path, times: int, seed: int) -> tuple[dict[str, str], list[str]]:
    """Figures and broken promises of `times` damaged starts."""
    folder.mkdir()  # noqa: ASYNC240 (nothing else runs on this loop)
    copy = await original(folder)
    tally: dict[str, Counter[str]] = {spoil.__name__: Counter() for spoil in SPOILS}
    broken: list[str] = []
    for number in range(times):
        spoil = SPOILS[number % len(SPOILS)]
        place = folder / str(number)
        outcome, wrong = await one(copy, place, spoil, Random(f"{seed} {number}"))
        tally[spoil.__name__][outcome] += 1
        if wrong:
            broken.append(f"{spoil.__name__.replace('_', ' ')} ({number}): {wrong}")
        shutil.rmtree(place)
    figures = {
        f"damage: {name.replace('_', ' ')}": ", ".join(f"{count} {outcome}" for outcome, count in counter.items())
        for name, counter in tally.items()
    }
    return figures, broken
