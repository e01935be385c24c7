"""What clients of the simulation can ask for, and what can become of a turn of the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Kind, Needs, Retry, Terms
from tests.core.builders import needs, terms

CPUS, LICENSES, MEMORY = 3, 1, 2**33
SHAPES: tuple[Terms, ...] = (
    terms("module.short"),
    terms("module.short", principal="bob"),
    terms("module.other", idempotent=True),
    terms("module.retried", needs=needs(1, memory=MEMORY // 4), retry=Retry(3, 10.0, jitter=0.5)),
    terms("module.timed", timeout=30.0),
    terms("module.timed", timeout=30.0, retry=Retry(2, 5.0, jitter=0.0)),
    terms("module.licensed", needs=needs(1, license=1)),
    terms("module.wide", needs=needs(3), retry=Retry(2, 1.0, on=frozenset({Reason.LOST}))),
    terms("module.free", needs=needs(0, license=1)),
    replace(terms("lease", needs=needs(0, license=1), timeout=25.0), kind=Kind.LEASE),
    replace(terms("lease", needs=needs(1), timeout=25.0), kind=Kind.LEASE),
    replace(terms("tool"), kind=Kind.COMMAND),
    replace(terms("tool", needs=needs(2, memory=MEMORY // 4), timeout=30.0), kind=Kind.COMMAND),
)
FIRST_COMMAND = 11  # of the shapes: they can make way
GIB = 2**30
FAR, NEW, OLD = "far", "new", "old"  # another node, and two classes of GPUs
CPU = needs(1).amounts
ON_GPUS: tuple[Terms, ...] = (
    terms("module.gpu", needs=Needs(CPU, gpus=1), retry=Retry(2, 1.0, jitter=0.0)),
    terms("module.old", needs=Needs(CPU, gpus=1, device=OLD), idempotent=True),
    terms("module.shared", needs=Needs(CPU, gpus=1, gpu_memory=6 * GIB), idempotent=True),
    terms("module.part", needs=Needs(CPU, gpus=1, gpu_memory=14 * GIB), timeout=30.0),
    terms("module.gang", needs=Needs(CPU, gpus=2), retry=Retry(3, 1.0, jitter=0.0)),
    replace(terms("train", needs=Needs(CPU, gpus=1), timeout=30.0), kind=Kind.COMMAND),
    replace(terms("train", needs=Needs(CPU, gpus=2)), kind=Kind.COMMAND),
    replace(terms("lease", needs=Needs((), gpus=1), timeout=25.0), kind=Kind.LEASE),
)  # where there are GPUs
EVERY = (*SHAPES, *ON_GPUS)
PINS = ((LOCAL, NEW), (LOCAL, OLD), (LOCAL, ""), (FAR, ""), (FAR, OLD), (FAR, NEW), ("gone", ""))  # two cannot be
OUTCOMES: tuple[Reason | None, ...] = (
    None, None, None, Reason.ERROR, Reason.CRASHED, Reason.LOST, Reason.TIMEOUT, Reason.OUT_OF_MEMORY, Reason.REJECTED,
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What a submission asks for. `after` and `shape` are drawn numbers: they pick among what there is."""

    shape: int = 0
    after: tuple[int, ...] = ()
    priority: int = 0
    delay: float = 0.0
    hold: bool = False
    key: int = 0
    reads: str = ""  # things, a letter each
    writes: str = ""
    every: float = 0.0
    catch_up: str = "one"
    deadline: float = 0.0
    undo: bool = False  # has a compensation
    goes_on: bool = False  # with what the first of those in `after` has made, even if that fails
    copies: int = 1  # so many at once; 0: a second one when the first is late
    pin: tuple[str, ...] = ()  # where a plan wants it
    pin_for: float = 0.0
    cache: bool = False
    inputs: str = ""


@dataclass(frozen=True)
class Fate:
    """What becomes of a turn: the disk refuses the commit, or the engine dies before it, or after it and so many
    effects. `hits` are drawn numbers: what becomes of each living call while no engine looks."""

    kind: str = "ok"  # ok, disk, before, after
    effects: int = 0
    hits: tuple[int, ...] = ()
    jump: float = 0.0  # seconds for which no engine runs; the clock may have been set back meanwhile


OK = Fate()
