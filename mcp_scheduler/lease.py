"""A lease in the hands of a Python program: granted, renewed while the program lives, released at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from mcp_scheduler.errors import SchedulerError, Unavailable

if TYPE_CHECKING:
    from mcp_scheduler import views

BEATS: Final = 3  # renewals in the time after which a lease lapses: two may be late
Renew = Callable[[float], Awaitable["views.Changed"]]


class LeaseLost(SchedulerError):
    """The lease ended before it was released: others may have had what it held in the meantime."""

    code = "lease_lost"
    hint = (
        "Undo or check what was done since, or pass a longer ttl: it has to cover the longest time without a renewal."
    )


class Lease:
    """What a program holds. `fence` is larger than that of every earlier grant: hand it to whoever guards the thing,
    so that a late word of an earlier holder is refused. A child that gets `variables` on top of its environment sees
    the leased devices and no others. `lost` is set when the lease has ended before it was released."""

    def __init__(self, view: views.TaskView) -> None:
        self.id = view.id
        assert view.fence is not None  # it is held
        self.fence = view.fence
        self.variables: Mapping[str, str] = dict(view.variables or {})
        self.lost = asyncio.Event()
        self.why_lost = ""

    def __repr__(self) -> str:
        return f"Lease({self.id!r}, fence={self.fence})"

    def lose(self, why: str) -> None:
        """It is not held any more."""
        self.why_lost = why
        self.lost.set()


@asynccontextmanager
async def kept(view: views.TaskView, ttl: float, renew: Renew) -> AsyncGenerator[Lease]:
    """The lease of `view`, which is granted, renewed by `renew(ttl)` until the block ends. `LeaseLost` at its end if it
    was lost before, unless the block itself has raised."""
    lease = Lease(view)
    renewing = asyncio.create_task(_renew(lease, ttl, renew), name=f"renew {lease.id}")
    try:
        yield lease
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
    if lease.lost.is_set():
        raise LeaseLost(f"{lease.id} was lost: {lease.why_lost}.")


async def _renew(lease: Lease, ttl: float, renew: Renew) -> None:
    """An engine that cannot be reached is asked again: the next one may come in time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + ttl
    while True:
        await asyncio.sleep(ttl / BEATS)
        asked_at = loop.time()
        try:
            changed = await renew(ttl)
        except Unavailable as error:
            if loop.time() >= until:
                lease.lose(f"the engine could not be reached for {ttl:g} s: {error.message}")
                return
            continue
        if not changed.count:
            lease.lose(changed.unchanged.get(lease.id, "it has ended"))
            return
        until = asked_at + ttl
