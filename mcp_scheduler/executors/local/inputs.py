"""The files that tasks were given, kept by content for as long as a task has them.

`content/ab/<sha256>` holds each content once, however many tasks and sets of files have it; `trees/<sha256>` is the
list of a set of files; `tasks/<id>` a link that names a task's set; `attempts/<attempt>` the copy that an attempt sees
while it runs. A set goes with the last task that names it, a content with the last set. Counts live in memory and are
made anew from the links at every start, where whatever a crash has left behind is swept out.

All work is done by one thread, in the order of asking: nothing here holds the engine up, and no two submissions meet.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.errors import InvalidRequest, TooLarge, Unavailable
from mcp_scheduler.executors.local.content import Contents
from mcp_scheduler.ports import Tree
from mcp_scheduler.sdk.durable import sync_folder, write_durably
from mcp_scheduler.sdk.inputs import attempt_place, manifest_place
from mcp_scheduler.settings import Inputs as Limits

log = logging.getLogger("mcp_scheduler.inputs")

_BATCH: Final = 500  # tasks that the store is asked about at once
T = TypeVar("T")


class LocalInputs:
    """Implements `ports.Inputs`. One engine at a time uses its folder."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._contents = Contents(folder, limits.store_bytes)
        self._holders: Counter[str] = Counter()  # tree → tasks that have it, and submissions under way
        self._thread = ThreadPoolExecutor(1, "inputs")
        self._tasks: set[str] = set()  # that have inputs
        self._is_made = False

    async def take(self, files: Sequence[tuple[str, str]], taken: list[str]) -> Tree:
        """Keep these files (their path for the task, where they are) as they are now. The set is noted in `taken`, and
        stays until that is let go of, and no task has it. Errors: `InvalidRequest`, `TooLarge`, `Unavailable`."""
        return await self._do(self._take, files, taken)

    def let_go(self, taken: list[str]) -> None:
        """A submission is over. It may have been taken back while its files were read: whatever `take` still notes, it
        has noted before this is done."""
        self._later(self._let_go, taken)

    async def hold(self, trees: Mapping[str, str]) -> None:
        """These tasks have these sets: on the disk when it returns. Errors: `Unavailable`."""
        await self._do(self._hold, trees)

    def release(self, tasks: Iterable[str]) -> None:
        """These tasks are not there, or not any more."""
        self._later(self._release, tuple(tasks))

    def committed(self, changes: Changes) -> None:
        """Nobody sees the copy of an attempt that has ended."""
        ended = [str(event.attempt) for event in changes.ended if event.attempt.task in self._tasks]
        if ended:
            self._later(self._remove_copies, ended)

    async def sweep(self, are_there: Callable[[list[str]], Awaitable[Collection[str]]], alive: Collection[str]) -> None:
        """At the start, before anything is submitted: count what is there, and remove what no task has, what no running
        attempt sees, and what was left half done. `are_there` answers which of these tasks exist."""
        if not self._folder.exists():
            return
        held = await self._do(self._held)
        names = list(held)
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            known = set(await are_there(batch))
            for name in batch:
                if name not in known:
                    del held[name]
        await self._do(self._settle, held, frozenset(alive))

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)

    async def _do(self, work: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*given))

    def _later(self, work: Callable[[T], None], given: T) -> None:
        """What nobody waits for. What goes wrong leaves files behind, which the next start sweeps out."""
        self._thread.submit(work, given).add_done_callback(_tell)

    # -- in the thread

    def _take(self, files: Sequence[tuple[str, str]], taken: list[str]) -> Tree:
        self._make()
        new: list[str] = []
        try:
            kept = [(path, self._contents.keep(place, self._limits.task_bytes, new)) for path, place in files]
            size = sum(one.bytes for _, one in kept)
            if size > self._limits.task_bytes:
                raise TooLarge(
                    f"The inputs have {size:,} bytes; {self._limits.task_bytes:,} are accepted.",
                    hint="Name fewer files, pass paths of large ones as arguments, or raise [inputs] task_bytes.",
                )
            text = json.dumps([[path, *one] for path, one in kept], separators=(",", ":")).encode()
            tree = sha256(text).hexdigest()
            if not self._holders[tree]:
                self._contents.sync(new)
                write_durably(Path(manifest_place(str(self._folder), tree)), text)
                self._contents.count(one.name for _, one in kept)
        except OSError as error:
            self._contents.forget_unused(new)
            raise Unavailable(
                f"The inputs cannot be kept: {error}.", hint="Free some space in the scheduler's home, then try again."
            ) from error
        except (InvalidRequest, Unavailable):
            self._contents.forget_unused(new)
            raise
        self._holders[tree] += 1
        taken.append(tree)
        return Tree(tree, len(kept), size)

    def _make(self) -> None:
        if self._is_made:
            return
        for folder in (self._folder, *(self._folder / name for name in ("content", "trees", "tasks", "attempts"))):
            if not folder.exists():
                folder.mkdir(mode=0o700, parents=True)
                sync_folder(folder.parent)
        self._is_made = True

    def _hold(self, trees: Mapping[str, str]) -> None:
        tasks = self._folder / "tasks"
        try:
            for task, tree in trees.items():
                os.symlink(tree, tasks / task)
                self._holders[tree] += 1
                self._tasks.add(task)
            sync_folder(tasks)
        except OSError as error:
            self._release(trees)
            raise Unavailable(
                f"The inputs cannot be kept: {error}.", hint="Free some space in the scheduler's home, then try again."
            ) from error

    def _release(self, tasks: Iterable[str]) -> None:
        for task in tasks:
            link = self._folder / "tasks" / task
            try:
                tree = os.readlink(link)
                link.unlink()
            except OSError:
                continue  # most tasks have no inputs
            self._tasks.discard(task)
            self._drop(tree)

    def _let_go(self, taken: list[str]) -> None:
        for tree in taken:
            self._drop(tree)
        taken.clear()

    def _drop(self, tree: str) -> None:
        """One holder less. The list goes before what is in it: a crash in between leaves contents to be swept."""
        self._holders[tree] -= 1
        if self._holders[tree] > 0:
            return
        del self._holders[tree]
        place = Path(manifest_place(str(self._folder), tree))
        names = [entry[1] for entry in json.loads(place.read_bytes())]
        place.unlink()
        self._contents.discount(names)

    def _remove_copies(self, attempts: Iterable[str]) -> None:
        for attempt in attempts:
            _remove_tree(attempt_place(str(self._folder), attempt))

    def _held(self) -> dict[str, str]:
        self._make()
        return {entry.name: os.readlink(entry.path) for entry in os.scandir(self._folder / "tasks")}

    def _settle(self, held: Mapping[str, str], alive: Collection[str]) -> None:
        for entry in list(os.scandir(self._folder / "tasks")):
            if entry.name not in held:
                os.unlink(entry.path)
        for entry in list(os.scandir(self._folder / "attempts")):
            if entry.name not in alive:
                _remove_tree(entry.path)
        self._holders, self._tasks = Counter(held.values()), set(held)
        for entry in list(os.scandir(self._folder / "trees")):
            if self._holders[entry.name]:
                self._contents.count(line[1] for line in json.loads(Path(entry.path).read_bytes()))
            else:
                os.unlink(entry.path)
        self._contents.sweep()


def _remove_tree(place: str) -> None:
    """Its owner may have taken the right to write from folders in it."""
    try:
        shutil.rmtree(place)
    except FileNotFoundError:
        return
    except PermissionError:
        os.chmod(place, 0o700)
        for folder, folders, _ in os.walk(place):
            for name in folders:
                if not os.path.islink(f"{folder}/{name}"):
                    os.chmod(f"{folder}/{name}", 0o700)
        shutil.rmtree(place)


def _tell(work: Future[None]) -> None:
    if (error := work.exception()) is not None:
        log.warning("Files of inputs were left behind: %s", error)
