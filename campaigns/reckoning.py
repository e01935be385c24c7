"""After a cut of the power: starts an engine from what is left, and holds it against what was told before the cut."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio

from campaigns.judge import FINAL, Stored, stored
from mcp_scheduler.engine import Engine
from mcp_scheduler.errors import SchedulerError
from mcp_scheduler.executors.local import ends
from mcp_scheduler.home import EngineLock, Home
from mcp_scheduler.requests import Caller

LIMIT = 5.0  # seconds in which a started engine has to know what became of every attempt
# Too small for any task: what an engine finds is looked at, and nothing new is begun.
TINY = {"pool": {"cpus": 0.001, "gpus": False}}
ANOTHER_BOOT = b"00000000-0000-0000-0000-000000000000"


class Told:
    """What clients had been told, and what had begun, up to a moment."""

    def __init__(self) -> None:
        self.asked: dict[str, dict[str, Any]] = {}
        self.acknowledged: dict[str, str] = {}  # task → token
        self.sizes: dict[str, int] = {}  # group → tasks
        self.ends: dict[str, dict[str, Any]] = {}
        self.cancelled: set[str] = set()
        self.began: dict[tuple[str, int], str] = {}  # (task, attempt) → token

    def hear(self, entry: dict[str, Any]) -> None:
        """An entry of the ledger."""
        match entry["what"]:
            case "asked":
                self.asked[entry["token"]] = entry
            case "acknowledged":
                self.acknowledged |= entry["tasks"]
                self.sizes[entry["id"]] = entry["size"]
            case "saw":
                self.ends[entry["id"]] = entry["end"]
            case "cancelled":
                self.cancelled.add(entry["id"])
            case _:
                return  # told for other reasons


async def after_the_cut(home: Path, told: Told, tally: Counter[str]) -> list[str]:
    """Every broken promise as a sentence. `tally` counts what was looked at."""
    _is_another_boot(home)
    try:
        left = _records(home)
        began = await _start(home)
    except (ValueError, SchedulerError) as error:
        return [f"no engine can be started from what is left: {error}"]
    tasks = stored(home)
    tally["acknowledged"] += len(told.acknowledged)
    tally["ends"] += len(told.ends)
    tally["records"] += len(left)
    tally["runs"] += len(told.began)
    return [
        *began,
        *_lost(told, tasks),
        *_changed_ends(told, tasks),
        *_second_runs(told, tasks),
        *ignored_records(left, tasks),
        *_wrong_results(home, told, tasks, tally),
        *_damage(home),
    ]


def _is_another_boot(home: Path) -> None:
    """The machine was started anew: what names the boot names another one, and nobody lives."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    for path in (home / "run").glob("*"):
        content = path.read_bytes()
        if boot in content:
            path.write_bytes(content.replace(boot, ANOTHER_BOOT))


def _records(home: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The exit records that are left. ValueError: one of them is not whole."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for path in (home / "attempts").glob("*.exit"):
        task, _, number = path.stem.rpartition(".")
        try:
            found[task, int(number)] = json.loads(path.read_bytes())
        except ValueError:
            raise ValueError(f"the exit record {path.name} has {path.stat().st_size} bytes and is not whole") from None
    for attempt, (_, record) in ends.records(ends.files(home / "attempts" / "ends")).items():
        task, _, number = attempt.rpartition(".")
        found[task, int(number)] = record
    return found


async def _start(home: Path) -> list[str]:
    place = Home(str(home))
    lock = EngineLock.take(place)
    assert lock is not None
    engine = await Engine.open(place, lock, **TINY)
    try:
        until = time.monotonic() + LIMIT
        while (await engine.service.load(Caller(principal="judge"))).nodes[0].running:
            if time.monotonic() > until:
                return [f"{LIMIT:.0f} s after the start the engine still believes that something runs"]
            await anyio.sleep(0.002)
        return []
    finally:
        await engine.close()


def _lost(told: Told, tasks: dict[str, Stored]) -> Iterator[str]:
    groups = Counter(task.group for task in tasks.values())
    for name, token in told.acknowledged.items():
        if name not in tasks:
            yield f"{name} was acknowledged and is not there"
        elif tasks[name].token != token:
            yield f"{name} was acknowledged for {token} and is for {tasks[name].token}"
    for name, size in told.sizes.items():
        if name not in told.acknowledged and groups[name] != size:
            yield f"group {name} was acknowledged with {size} tasks and has {groups[name]}"
    for name in told.cancelled & tasks.keys():
        if tasks[name].state not in FINAL:
            yield f"the cancel of {name} was acknowledged, and it is {tasks[name].state}"


def _changed_ends(told: Told, tasks: dict[str, Stored]) -> Iterator[str]:
    for name, end in told.ends.items():
        task = tasks.get(name)
        if task is not None and (task.state, task.reason) != (end["state"], end["reason"]):
            yield f"{name} was seen ended as {end['state']} ({end['reason']}), and is {task.state} ({task.reason})"


def _second_runs(told: Told, tasks: dict[str, Stored]) -> Iterator[str]:
    for (name, number), token in told.began.items():
        task = tasks.get(name)
        if task is None:
            yield f"{name} ran, and is not there"
        elif number not in task.attempts:
            yield f"{name}.{number} ran, and there is no such attempt"
        elif task.attempts[number][1]:
            yield f"{name}.{number} ran, and is believed not to have begun"
        elif task.state not in FINAL and told.asked[token]["runs"] == 1:
            yield f"{name} ran, and is to run again as {task.state}"


def ignored_records(left: dict[tuple[str, int], dict[str, Any]], tasks: dict[str, Stored]) -> Iterator[str]:
    """A record without a reason tells of a success; one that says "lost" gives way to an end that an engine had stored
    before."""
    for (name, number), record in left.items():
        attempt = tasks[name].attempts.get(number) if name in tasks else None
        reason = record.get("reason")
        if attempt is not None and attempt[0] != reason != "lost":
            yield f"the record of {name}.{number} says {reason}, the store {attempt[0]}"


def _wrong_results(home: Path, told: Told, tasks: dict[str, Stored], tally: Counter[str]) -> Iterator[str]:
    for task in tasks.values():
        if task.state != "succeeded":
            continue
        if (should := told.asked[task.token]["result"]) != task.result:
            yield f"{task.id} returned {task.result!r} and should {should!r}"
        if task.file:
            tally["files"] += 1
            place = home / "results" / task.file[:2] / task.file
            if not place.exists() or hashlib.sha256(place.read_bytes()).hexdigest() != task.file:
                yield f"the result file of {task.id} is not there as it was written"


def _damage(home: Path) -> Iterator[str]:
    database = sqlite3.connect(f"file:{home / 'scheduler.db'}?mode=ro", uri=True)
    found = [row[0] for row in database.execute("PRAGMA integrity_check")]
    database.close()
    if found != ["ok"]:
        yield f"the database is damaged: {'; '.join(found)}"
