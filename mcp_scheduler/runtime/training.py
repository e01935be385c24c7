"""Now and then a child process looks at the histories with heavier tools, where those are installed. What it finds is a
table of guesses that competes with the others, or that the oldest runs should be forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from mcp_scheduler.forecast.book import Book, Key
from mcp_scheduler.runtime import child

log = logging.getLogger("mcp_scheduler.training")

PACKAGES: Final = ("sklearn", "river")
FEWEST: Final = 60  # runs of a key that is worth it
_MOST: Final = 100  # keys in one go
_LONGEST: Final = 600.0  # seconds
_ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}  # busy pools of threads made a fit of a tenth of a second take twelve


def is_possible() -> bool:
    """Whether any of the packages is installed, without importing it."""
    return any(find_spec(name) is not None for name in PACKAGES)


class Training:
    """Looks each `every` seconds at what has most runs; 0 is never."""

    def __init__(self, book: Book, every: float) -> None:
        self._book = book
        self._every = every

    async def run(self) -> None:
        if not self._every or not is_possible():
            return
        while True:
            await asyncio.sleep(self._every)
            await self.train()

    async def train(self) -> int:
        """One look; how many keys it changed. What goes wrong is told in the log: forecasts go on without it."""
        asked = self._asked()
        if not asked:
            return 0
        found = await child.ask("mcp_scheduler.training", {"series": asked}, _LONGEST, "Training", _ONE_THREAD)
        return 0 if found is None else self._take(found["series"])

    def _asked(self) -> list[dict[str, Any]]:
        """Histories of names and their classes; buckets of sizes have too little to tell."""
        found: list[dict[str, Any]] = []
        for key in list(self._book.known()):
            series = self._book.series(key)
            if series is not None and 0 < len(key) <= 2 and len(series.history) >= FEWEST:  # noqa: PLR2004
                found.append({"key": key, "runs": list(series.history.runs)})
        return found[-_MOST:]

    def _take(self, found: list[Mapping[str, Any]]) -> int:
        changed = 0
        for one in found:
            key: Key = tuple(one["key"])
            series = self._book.series(key)
            if series is None:
                continue  # forgotten meanwhile
            model: Mapping[str, Any] | None = one.get("model")
            keep: int | None = one.get("keep")
            if model is not None:
                series.take_table({int(size): float(value) for size, value in model["table"]}, float(model["error"]))
                log.info("%s: %s is off by %.2f, not %.2f", key, model["name"], model["error"], model["online"])
            elif series.trained:
                series.take_table({}, 0.0)
            if keep is not None:
                self._book.forget(key, keep)
            if model is not None or keep is not None:
                self._book.touched(key)
                changed += 1
        return changed
