"""Bearing witness of an attempt, outside of the scheduler, in files beside this module.

- `alive/<task>` is locked for as long as an attempt of the task lives: the kernel gives the lock back with the last
  process that holds it, so a second attempt that finds it taken has caught two alive at once. Copies that were asked
  for have `most` of these locks, `alive/<task>.0` and so on: one copy too many finds none.
- `runs/<token> <task> <attempt>` is made with O_EXCL when the attempt begins, `ends/...` when it is through.
- `gpus/<uuid>` is locked by whoever is shown that GPU, for as long as he lives: the next one to be shown it before that
  has caught a GPU that was promised twice.
- `violations` collects, a line each, what must never happen.

Copied into the folder of a campaign, and run there by the workers: standard library only.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@contextmanager
def witnessed(token: str, task: str, attempt: int, most: int = 1) -> Iterator[int]:
    """Bear witness of this attempt, of which `most` may live at once; yields the descriptor of its lock."""
    lock = _lock(task, attempt, most)
    os.pwrite(lock, f"{task}.{attempt} (pid {os.getpid()})".encode(), 0)
    name = f"{token} {task} {attempt}"
    _make("runs", name)
    try:
        with ExitStack() as gpus:
            for uuid in filter(None, os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")):
                gpus.enter_context(_gpu(uuid, f"{task}.{attempt}"))
            yield lock
            _make("ends", name)
    finally:
        os.close(lock)


def _lock(task: str, attempt: int, most: int) -> int:
    holders: list[str] = []
    for name in (task,) if most == 1 else [f"{task}.{number}" for number in range(most)]:
        lock = os.open(FOLDER / "alive" / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holders.append(os.pread(lock, 100, 0).decode())
            os.close(lock)
        else:
            return lock
    _violation(f"{most + 1} attempts alive: {task}.{attempt} (pid {os.getpid()}) began beside {', '.join(holders)}")
    return os.open(FOLDER / "alive" / f"{task}.beyond", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _gpu(uuid: str, attempt: str) -> Iterator[None]:
    lock = os.open(FOLDER / "gpus" / uuid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _violation(f"a GPU promised twice: {attempt} was shown {uuid} beside {os.pread(lock, 100, 0).decode()}")
    os.pwrite(lock, attempt.encode(), 0)
    try:
        yield
    finally:
        os.close(lock)


def _make(folder: str, name: str) -> None:
    try:
        file = os.open(FOLDER / folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        _violation(f"one attempt ran twice: {folder}/{name}")
        return
    os.write(file, f"{os.getpid()} {time.clock_gettime(time.CLOCK_BOOTTIME)}".encode())
    os.close(file)


def _violation(text: str) -> None:
    file = os.open(FOLDER / "violations", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, text.encode() + b"\n")
    os.close(file)
