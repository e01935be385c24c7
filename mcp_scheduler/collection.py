"""The collector of garbage, kept still for a while."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Generator[None]:
    """For work that makes very many objects of which none is garbage: looking for some takes a third of the time, and
    in a thread beside the engine's loop each look stops that as well, a tenth of a second at a time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
