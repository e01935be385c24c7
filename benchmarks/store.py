"""What the store costs: tasks in, tasks through, one commit, and a start; beside raw sqlite3 in the same run.

    python -m benchmarks.store [--tasks N] [--folder FOLDER]

The raw figures are the floor: plain `executemany` and UPDATEs on narrow tables of the same keys, same durability.
The folder should lie on the disk whose fsync is of interest.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.events import Ended, NewTask, Outcome
from mcp_scheduler.core.ids import AttemptId, make_id
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Kind, Status, Task, Terms
from mcp_scheduler.store.sqlite import SqliteStore

BATCH = 256
PAYLOAD = b'{"call":{"function":"analysis.count_lines","arguments":{"path":"/usr/lib/python3/os.py"}},"name":"count"}'
RESULT = b'{"lines":1129}'
TERMS = Terms(Kind.FUNCTION, "analysis.count_lines", "3f2a9c", "claude")


def parts(items: Sequence, size: int) -> Iterator[Sequence]:
    return (items[start : start + size] for start in range(0, len(items), size))


def new_tasks(count: int, first: int) -> list[NewTask]:
    return [
        NewTask(
            Task(
                make_id("count", (seq * 2654435761 % 2**64).to_bytes(8, "big")),
                seq,
                TERMS,
                1.0,
                Status(State.QUEUED, 1.0),
                name="count",
            ),
            PAYLOAD,
        )
        for seq in range(first, first + count)
    ]


def start(tasks: Sequence[NewTask]) -> Changes:
    slot = f"{tasks[0].task.id}.1"
    return Changes(
        started=[Attempt(AttemptId(new.task.id, 1), slot, "local", 2.0) for new in tasks],
        statuses={new.task.id: Status(State.RUNNING, 2.0, 1) for new in tasks},
    )


def end(tasks: Sequence[NewTask]) -> Changes:
    return Changes(
        ended=[
            Ended(AttemptId(new.task.id, 1), 3.0, Outcome(result=RESULT, seconds=0.01, fingerprint="ab12"))
            for new in tasks
        ],
        statuses={new.task.id: Status(State.SUCCEEDED, 3.0, 1) for new in tasks},
    )


async def timed(store: SqliteStore, batches: Sequence[Changes]) -> list[float]:
    spent: list[float] = []
    for changes in batches:
        before = perf_counter()
        await store.commit(changes)
        spent.append(perf_counter() - before)
    return spent


def each(spent: Sequence[float], count: int) -> str:
    """Microseconds a task: of all, of the median batch, and of the best (as on a machine with nothing else to do)."""
    middle, best = statistics.median(spent) * len(spent), min(spent[:-1] or spent) * len(spent)
    mean, middle, best = (seconds / count * 1e6 for seconds in (sum(spent), middle, best))
    return f"{mean:8.2f} us a task (median batch {middle:.2f}, best {best:.2f})"


def latency(spent: Sequence[float]) -> str:
    ordered = sorted(spent)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return f"p50 {p50 * 1e3:.3f} ms  p99 {p99 * 1e3:.3f} ms  {len(spent) / sum(spent):,.0f}/s"


def raw(folder: Path, count: int) -> dict[str, str]:
    driver = sqlite3.connect(folder / "raw.db", isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0"):
        driver.execute(f"PRAGMA {pragma}").fetchall()
    driver.execute("CREATE TABLE t (id TEXT PRIMARY KEY, state TEXT, at REAL, payload BLOB, result BLOB)")
    rows = [(new.task.id, "queued", 1.0, PAYLOAD, None) for new in new_tasks(count, 1)]

    def run(sql: str, batches: Iterator[Sequence]) -> list[float]:
        spent: list[float] = []
        for batch in batches:
            before = perf_counter()
            driver.execute("BEGIN IMMEDIATE")
            driver.executemany(sql, batch)
            driver.execute("COMMIT")
            spent.append(perf_counter() - before)
        return spent

    insert = "INSERT INTO t VALUES (?, ?, ?, ?, ?)"
    update = "UPDATE t SET state = ?, at = ?, result = ? WHERE id = ? AND state = ?"
    claims = [("running", 2.0, None, row[0], "queued") for row in rows]
    ends = [("succeeded", 3.0, RESULT, row[0], "running") for row in rows]
    found = {"added, batches of 256": each(run(insert, parts(rows, BATCH)), count)}
    both = [sum(pair) for pair in zip(run(update, parts(claims, BATCH)), run(update, parts(ends, BATCH)), strict=True)]
    found["started + ended, batches of 256"] = each(both, count)
    driver.execute("DELETE FROM t")
    found["added, one transaction"] = each(run(insert, parts(rows, count)), count)
    driver.execute("DELETE FROM t")
    found["one task a commit"] = latency(run(insert, parts(rows[:1000], 1)))
    driver.close()
    return found


async def measured(folder: Path, count: int) -> dict[str, str]:
    store = SqliteStore(folder / "tasks.db")
    await store.open()
    found: dict[str, str] = {}
    tasks = new_tasks(count, 1)
    found["added, batches of 256"] = each(
        await timed(store, [Changes(added=list(batch)) for batch in parts(tasks, BATCH)]), count
    )
    starts = await timed(store, [start(batch) for batch in parts(tasks, BATCH)])
    ends = await timed(store, [end(batch) for batch in parts(tasks, BATCH)])
    found["started + ended, batches of 256"] = each([a + b for a, b in zip(starts, ends, strict=True)], count)
    more = new_tasks(count, count + 1)
    found["added, one transaction"] = each(await timed(store, [Changes(added=more)]), count)
    single = [Changes(added=[new]) for new in new_tasks(1000, 2 * count + 1)]
    found["one task a commit"] = latency(await timed(store, single))
    reads = [new.task.id for new in more[:BATCH]]
    found["read of 256 payloads"] = latency(await repeated(50, lambda: store.payloads(reads)))
    found["read of one task"] = latency(await repeated(500, lambda: store.tasks(reads[:1])))
    found.update(await beside_a_busy_thread(store, 2 * count + 1001))
    found["WAL at the end"] = f"{(folder / 'tasks.db-wal').stat().st_size / 2**20:8.1f} MiB"
    await store.close()
    return found


async def repeated(times: int, call: Callable) -> list[float]:
    spent: list[float] = []
    for _ in range(times):
        before = perf_counter()
        await call()
        spent.append(perf_counter() - before)
    return spent


async def beside_a_busy_thread(store: SqliteStore, first: int) -> dict[str, str]:
    """The same while another thread wants the interpreter all the time, as a busy event loop does."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            pass

    tasks = new_tasks(10 * BATCH, first)
    busy = threading.Thread(target=spin)
    busy.start()
    try:
        spent = await timed(store, [Changes(added=list(batch)) for batch in parts(tasks, BATCH)])
        names = [new.task.id for new in tasks[:BATCH]]
        reads = await repeated(5, lambda: store.payloads(names))
    finally:
        stop.set()
        busy.join()
    return {"added 256, busy interpreter": latency(spent), "256 payloads, busy interpreter": latency(reads)}


async def booted(folder: Path, count: int) -> dict[str, str]:
    store = SqliteStore(folder / "boot.db")
    await store.open()
    for batch in parts(new_tasks(count, 1), 10_000):
        await store.commit(Changes(added=list(batch)))
    await store.close()
    before = perf_counter()
    boot = await store.open()
    spent = perf_counter() - before
    assert len(boot.tasks) == count
    del boot
    await store.close()
    tracemalloc.start()
    boot = await store.open()
    size = tracemalloc.get_traced_memory()[0] / len(boot.tasks)
    tracemalloc.stop()
    before = perf_counter()
    await store.counts()
    counted = perf_counter() - before
    await store.close()
    return {
        f"start with {count:,} unfinished": f"{spent:8.2f} s ({spent / count * 1e6:.1f} us, {size:.0f} bytes a task)",
        f"count of {count:,} by state": f"{counted * 1e3:8.1f} ms",
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tasks", type=int, default=10_000)
    arguments.add_argument("--boot", type=int, default=200_000, help="unfinished tasks to start with")
    arguments.add_argument("--folder", type=Path, default=None)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        floor = raw(folder, chosen.tasks)
        ours = asyncio.run(measured(folder, chosen.tasks))
        ours.update(asyncio.run(booted(folder, chosen.boot)))
    print(f"SQLite {sqlite3.sqlite_version}, {chosen.tasks:,} tasks, synchronous=FULL")
    for what, figure in ours.items():
        print(f"{what:34} {figure}")
        if what in floor:
            print(f"{'  raw sqlite3':34} {floor[what]}")


if __name__ == "__main__":
    main()
