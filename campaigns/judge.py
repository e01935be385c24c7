"""The judge: holds the outside ledger and the witnesses of the functions against what the scheduler has on disk.

It reads the database when no engine runs any more, and only then.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaigns.house import House
from campaigns.ledger import Ledger

FINAL = ("succeeded", "failed", "cancelled", "skipped")
BY_FORCE = frozenset({"crashed", "lost", "poisoned"})  # how a task may end that was hit

_SHOWN = 50  # broken promises, each a line


@dataclass
class Stored:
    """A task as the database has it."""

    id: str
    token: str
    group: str
    state: str
    reason: str | None
    error: str
    after: list[str]
    result: Any
    file: str  # of a large result, "" for none
    attempts: dict[int, tuple[str | None, bool]] = field(default_factory=dict)  # number → reason, returned


@dataclass
class Verdict:
    """The figures, and every broken promise as a sentence."""

    figures: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


def judge(house: House, ledger: Ledger) -> Verdict:
    """Everything that can be said after the last engine has gone."""
    tasks = stored(house.home)
    runs = _runs(house)
    asked = {entry["token"]: entry for entry in ledger.read("asked")}
    verdict = Verdict()
    rules = {
        "acknowledged and lost": _lost(ledger, tasks),
        "second terminal outcomes": _second_outcomes(ledger, tasks),
        "two attempts alive at once": _witnessed_violations(house),
        "run again without leave": _run_again(asked, tasks, runs),
        "never ended": (f"{task.id} is {task.state}" for task in tasks.values() if task.state not in FINAL),
        "wrong results or unfair ends": _wrong_ends(asked, tasks, house),
        "submitted once, there twice": _twins(tasks),
        "defects in the engine's log": defects(house.home),
        "other broken promises": (entry["text"] for entry in ledger.read("violation")),
    }
    for name, found in rules.items():
        sentences = list(found)
        verdict.figures[name] = len(sentences)
        verdict.violations += [f"{name}: {sentence}" for sentence in sentences]
    _count(verdict, tasks, runs)
    return verdict


def _count(verdict: Verdict, tasks: dict[str, Stored], runs: dict[tuple[str, int], str]) -> None:
    states = Counter(task.state for task in tasks.values())
    reasons = Counter(task.reason for task in tasks.values() if task.state == "failed")
    told = [f"{count} {name}" for name, count in (*states.items(), *((f"({key})", n) for key, n in reasons.items()))]
    verdict.figures["tasks on disk"] = f"{len(tasks)}: {', '.join(told)}"
    verdict.figures["attempts begun"] = len(runs)
    verdict.figures["attempts given back unbegun"] = sum(
        returned for task in tasks.values() for _, returned in task.attempts.values()
    )


def _lost(ledger: Ledger, tasks: dict[str, Stored]) -> Iterator[str]:
    sizes = Counter(task.group for task in tasks.values())
    for entry in ledger.read("acknowledged"):
        for name, token in entry["tasks"].items():
            if name not in tasks:
                yield f"{name} was acknowledged to {entry['client']} and is not there"
            elif tasks[name].token != token:
                yield f"{name} was acknowledged for {token} and is {tasks[name].token}"
        if entry["size"] != 1 and sizes[entry["id"]] != entry["size"]:
            yield f"group {entry['id']} was acknowledged with {entry['size']} tasks and has {sizes[entry['id']]}"


def _second_outcomes(ledger: Ledger, tasks: dict[str, Stored]) -> Iterator[str]:
    first: dict[str, Any] = {}
    for entry in ledger.read("saw"):
        end = first.setdefault(entry["id"], entry["end"])
        if end != entry["end"]:
            yield f"{entry['id']} was seen ended as {end}, later as {entry['end']}"
    for name, end in first.items():
        task = tasks.get(name)
        if task is not None and (task.state, task.reason) != (end["state"], end["reason"]):
            yield f"{name} was seen ended as {end}, and is {task.state} ({task.reason}) on disk"


def _witnessed_violations(house: House) -> list[str]:
    path = house.folder / "violations"
    return path.read_text().splitlines() if path.exists() else []


def _run_again(asked: dict[str, Any], tasks: dict[str, Stored], runs: dict[tuple[str, int], str]) -> Iterator[str]:
    per_token: defaultdict[str, list[str]] = defaultdict(list)
    for (name, number), token in runs.items():
        per_token[token].append(f"{name}.{number}")
        task = tasks.get(name)
        if task is None:
            yield f"{name} ran for {token} and is not there"
        elif number not in task.attempts:
            yield f"{name}.{number} ran, and the scheduler knows no such attempt"
        elif task.attempts[number][1]:
            yield f"{name}.{number} ran, though the scheduler believes that it never began"
    for token, names in per_token.items():
        if token not in asked:
            yield f"{token} ran, and nobody asked for it"
        elif len(names) > asked[token]["runs"]:
            yield f"{token} ({asked[token]['kind']}) ran {len(names)} times: {', '.join(sorted(names))}"


def _wrong_ends(asked: dict[str, Any], tasks: dict[str, Stored], house: House) -> Iterator[str]:
    through = {path.name.split(" ")[1] for path in (house.folder / "ends").iterdir()}
    for task in tasks.values():
        wish = asked.get(task.token)
        if wish is None:
            yield f"{task.id} ({task.token}) is there, and nobody asked for it"
        elif task.state == "succeeded":
            if task.id not in through:
                yield f"{task.id} succeeded, and no attempt of it got through"
            if task.result != wish["result"]:
                yield f"{task.id} ({wish['kind']}) returned {task.result!r} and should {wish['result']!r}"
        elif task.state == "skipped":
            if not any(tasks[name].state != "succeeded" for name in task.after):
                yield f"{task.id} was skipped, and everything before it succeeded"
        elif task.state == "failed" and task.reason not in BY_FORCE.union(wish["reasons"]):
            yield f"{task.id} ({wish['kind']}) failed as {task.reason}: {task.error}"
        elif task.state == "cancelled" and wish["kind"] != "cancelled":
            yield f"{task.id} ({wish['kind']}) was cancelled, and nobody asked for that"


def _twins(tasks: dict[str, Stored]) -> Iterator[str]:
    tokens: defaultdict[str, list[str]] = defaultdict(list)
    for task in tasks.values():
        tokens[task.token].append(task.id)
    for token, names in tokens.items():
        if len(names) > 1:
            yield f"{token} is there as {', '.join(names)}"


def defects(home: Path) -> Iterator[str]:
    """Nothing that a blow does is a defect of the engine: a traceback in its log always is."""
    lines = "\n".join(path.read_text(errors="replace") for path in sorted(home.glob("engine.log*"))).splitlines()
    inside = ""
    for number, line in enumerate(lines):
        if line.startswith("Traceback "):
            inside = lines[number - 1]
        elif inside and not line.startswith(" "):
            yield f"{inside}: {line}"
            inside = ""


# -- what lies on disk


def _runs(house: House) -> dict[tuple[str, int], str]:
    """(task, attempt) → token, of every attempt that began."""
    found: dict[tuple[str, int], str] = {}
    for path in (house.folder / "runs").iterdir():
        token, name, number = path.name.split(" ")
        found[name, int(number)] = token
    return found


def stored(home: Path) -> dict[str, Stored]:
    """Every task as the database of this home has it, by id. No engine may run there."""
    with sqlite3.connect(f"file:{home / 'scheduler.db'}?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT seq, id, group_id, state, reason, error, after, result, result_size, result_file, body FROM tasks"
            " LEFT JOIN payloads ON payloads.task = tasks.seq ORDER BY seq"
        ).fetchall()
        attempts = database.execute("SELECT task, number, reason, returned FROM attempts").fetchall()
    database.close()
    by_row: dict[int, Stored] = {}
    for seq, name, group, state, reason, error, after, result, size, file, body in rows:
        before = json.loads(after) if after else []
        value = _value(size, file, result)
        by_row[seq] = Stored(name, _token(body), group, state, reason, error, before, value, file)
    for seq, number, reason, returned in attempts:
        by_row[seq].attempts[number] = (reason, bool(returned))
    return {task.id: task for task in by_row.values()}


def _token(body: bytes | None) -> str:
    call = json.loads(body) if body else {}
    if "command" in call:
        return str(call["command"][2])
    return str(call.get("arguments", {}).get("token", ""))


def _value(size: int, file: str, result: bytes | None) -> Any:
    """What a task returned; of a command, what it wrote as its result."""
    if file:
        return {"bytes": size}
    value = json.loads(result) if result is not None else None
    return value.get("result") if isinstance(value, dict) else value


def table(figures: Iterable[tuple[str, Any]]) -> str:
    """Figures for a reader."""
    rows = [(name, str(value)) for name, value in figures]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def conclude(verdict: Verdict) -> int:
    """Print how a campaign has ended; answers with the exit code of its program: 0 when every promise was kept."""
    print(table(verdict.figures.items()))
    for violation in verdict.violations[:_SHOWN]:
        print(f"BROKEN: {violation}")
    print("every promise kept" if not verdict.violations else f"{len(verdict.violations)} broken")
    return 1 if verdict.violations else 0
