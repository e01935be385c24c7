"""A chunk of a map: one function, called for many items in one call. An item that fails spoils no other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mcp_scheduler.sdk.current import CurrentTask, Yielded
from mcp_scheduler.sdk.durable import write_durably
from mcp_scheduler.sdk.failures import lacks_memory, told
from mcp_scheduler.sdk.plain import BadArguments
from mcp_scheduler.sdk.results import NotJson, encode
from mcp_scheduler.sdk.stops import Stopped

KEPT: Final = ".chunk.json"  # in the task's folder: {"<item>": "<its result as JSON text>"} of an attempt that failed
ERROR: Final = "$error"  # stands in the place of a result: {"$error": "ValueError: ..."}
LONGEST_ERROR: Final = 500  # characters of an item's error among the results
ERRORS: Final = "errors"  # in that file: what has failed in the parts before this one
LITTLE: Final = 0.25  # of the time that a part may take: so much longer is better than another attempt
TOLD: Final = 3  # errors that the chunk's own error tells in full


class Chunk:
    """`items` are the sets of arguments, `first` is the number of the first of them in the whole map. What an earlier
    attempt of the task has done is not done again. {"$error": "..."} is the item of a stage before that failed there:
    it is passed on."""

    def __init__(self, items: list[dict[str, Any]], first: int, folder: str, seconds: float = 0.0) -> None:
        """With `seconds` it makes way for others after about that time, and goes on in the next attempt."""
        self._seconds = seconds
        self._items = items
        self._first = first
        self._file = Path(folder, KEPT)
        self._texts: list[str | None] = [None] * len(items)
        self.errors: dict[int, str] = {}
        kept = self._kept()
        self.errors.update((int(index), text) for index, text in kept.pop(ERRORS, {}).items())
        for index, text in kept.items():
            self._texts[int(index)] = text

    def run(self, call: Callable[[dict[str, Any]], Any], task: CurrentTask) -> None:
        """Call for each item that is left. Raises what ends the whole chunk: a stop, want of memory, and, between two
        items, that others shall have their turn, or that its own time is up."""
        left = [index for index, text in enumerate(self._texts) if text is None and index not in self.errors]
        began = time.perf_counter()
        for done, index in enumerate(left):
            if task.should_yield() or self._makes_way(time.perf_counter() - began, done, len(left)):
                raise Yielded
            arguments = self._items[index]
            if arguments.keys() == {ERROR}:
                self.errors[index] = arguments[ERROR]
                continue
            try:
                self._texts[index] = encode(call(arguments))
            except (Stopped, Yielded):
                raise
            except (BadArguments, NotJson) as problem:
                self.errors[index] = str(problem)
            except BaseException as error:
                if lacks_memory(error):
                    raise
                self.errors[index] = told(error)
            task.progress((index + 1) / len(self._items), f"{index + 1} of {len(self._items)} items")

    def result(self) -> str:
        """The list of all results as JSON text; where an item has none, its error."""
        return f"[{','.join(self._entry(index, text) for index, text in enumerate(self._texts))}]"

    def failure(self) -> str:
        """What went wrong with how many; "" if nothing did."""
        if not self.errors:
            return ""
        shown = [f"item {self._first + index}: {text}" for index, text in list(self.errors.items())[:TOLD]]
        return "\n".join([f"{len(self.errors)} of {len(self._items)} items failed; {shown[0]}", *shown[1:]])

    def _makes_way(self, seconds: float, done: int, count: int) -> bool:
        """Whether the time is up, and what is left would take more than a little longer."""
        return 0 < self._seconds <= seconds and done > 0 and (count - done) * seconds / done > LITTLE * self._seconds

    def keep(self, *, is_part: bool = False) -> None:
        """For the next attempt: what is done, and of a part also what has failed. Errors: OSError; then that one does
        everything again."""
        done: dict[str, Any] = {str(index): text for index, text in enumerate(self._texts) if text is not None}
        if is_part:
            done[ERRORS] = {str(index): text for index, text in self.errors.items()}
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self._file, json.dumps(done).encode())

    def _kept(self) -> dict[str, Any]:
        try:
            return json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}

    def _entry(self, index: int, text: str | None) -> str:
        if text is not None:
            return text
        headline = self.errors.get(index, "It did not come to its end.").partition("\n")[0]
        return json.dumps({ERROR: headline[:LONGEST_ERROR]})
