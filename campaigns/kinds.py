"""What the clients of a campaign submit: a table, one line a kind of task."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

Fields = dict[str, Any]
MODULE = "work"  # the module of the functions, as the workers import it
MOST_RUNS = 1 + 3 + 5 + 3  # of a task that may be repeated: the bounds on crashes, on losses and of `retry`


@dataclass(frozen=True)
class Kind:
    """A kind of task. `make(token, value, chance)` gives the fields of one; `runs` is how often it may be begun,
    `reasons` are the ways in which it may fail of itself (without being hit), `result(value)` what it returns."""

    name: str
    weight: int
    make: Callable[[str, int, Random], Fields]
    runs: int = 1
    reasons: frozenset[str] = frozenset()
    result: Callable[[int], Any] = lambda value: 2 * value
    cancels: bool = False  # the client cancels it after a while
    reads: bool = False  # the client gives it a file, and takes that away when it was acknowledged


def _function(name: str, *, retry: Any = None, timeout: float | None = None, **arguments: Any) -> Fields:
    fields: Fields = {"function": f"{MODULE}.{name}", "arguments": arguments}
    if retry is not None:
        fields["retry"] = retry
    if timeout is not None:
        fields["timeout"] = timeout
    return fields


def _command(token: str, value: int, seconds: float) -> Fields:
    return {"command": [sys.executable, "errand.py", token, str(value), f"{seconds:.2f}"]}


def _copied(token: str, value: int, seconds: float, most: int) -> Fields:
    return {**_function("copied", token=token, value=value, seconds=seconds, most=most), "replicas": most}


def _only_errors(attempts: int) -> Fields:
    return {"max_attempts": attempts, "delay": 0.2, "on": ["error"]}


def _anything(attempts: int) -> Fields:
    return {"max_attempts": attempts, "delay": 0.2, "on": ["error", "timeout", "lost", "crashed"]}


KINDS: Sequence[Kind] = (
    Kind("quick", 6, lambda token, value, _: _function("quick", token=token, value=value)),
    Kind(
        "short", 4,
        lambda token, value, chance: _function("steady", token=token, value=value, seconds=chance.uniform(0.05, 0.6)),
    ),
    Kind(
        "long", 2,
        lambda token, value, chance: _function("steady", token=token, value=value, seconds=chance.uniform(2, 6)),
    ),
    Kind(
        "repeatable", 3,
        lambda token, value, chance: _function(
            "repeatable", token=token, value=value, seconds=chance.uniform(0.1, 2)
        ),
        runs=MOST_RUNS,
    ),
    Kind(
        "retried", 2,
        lambda token, value, chance: _function(
            "steady", token=token, value=value, seconds=chance.uniform(0.1, 2), retry=_anything(3)
        ),
        runs=MOST_RUNS,
    ),
    Kind(
        "flaky", 3,
        lambda token, value, _: _function("flaky", token=token, value=value, failures=2, retry=_only_errors(3)),
        runs=3,
    ),
    Kind("chatty", 2, lambda token, value, _: _function("chatty", token=token, value=value, lines=20_000)),
    Kind(
        "big", 2, lambda token, value, _: _function("big", token=token, value=value, size=200_000),
        result=lambda value: str(value % 10) * 200_000,
    ),
    Kind(
        "daemonic", 2,
        lambda token, value, chance: _function("daemonic", token=token, value=value, seconds=chance.uniform(0.1, 1.5)),
    ),
    Kind(
        "replicas", 2, lambda token, value, chance: _copied(token, value, chance.uniform(0.05, 0.8), 2),
        runs=2 * MOST_RUNS,
    ),
    Kind(
        "hedge", 3,
        lambda token, value, _: {**_function("sometimes_late", token=token, value=value), "hedge": True},
        runs=2 * MOST_RUNS,
    ),
    Kind(
        "input", 2,
        lambda token, value, _: {
            **_function("reading", token=token, value=value, name=f"{token}.in"), "inputs": [f"{token}.in"],
        },
        reads=True,
    ),
    Kind("command", 4, lambda token, value, chance: _command(token, value, chance.uniform(0, 1))),
    Kind("long command", 1, lambda token, value, chance: _command(token, value, chance.uniform(2, 6))),
    Kind(
        "repeatable command", 2,
        lambda token, value, chance: {**_command(token, value, chance.uniform(0.1, 2)), "retry": _anything(3)},
        runs=MOST_RUNS,
    ),
    Kind(
        "timed", 1, lambda token, _, chance: _function("endless", token=token, timeout=chance.uniform(0.5, 3)),
        reasons=frozenset({"timeout"}), result=lambda _: None,
    ),
    Kind(
        "cancelled", 2, lambda token, _, __: _function("endless", token=token, timeout=20),
        reasons=frozenset({"timeout"}), result=lambda _: None, cancels=True,
    ),
)  # fmt: skip
BY_NAME = {kind.name: kind for kind in KINDS}


def choose(chance: Random) -> Kind:
    """One kind, by weight."""
    return chance.choices(KINDS, [kind.weight for kind in KINDS])[0]
