"""Leases through the Python door."""

from __future__ import annotations

import asyncio

import pytest
from python_door import LIMIT

from mcp_scheduler import Scheduler, errors
from mcp_scheduler.lease import LeaseLost

pytestmark = pytest.mark.anyio


async def test_a_lease_is_held_by_one_until_its_block_ends(scheduler: Scheduler) -> None:
    cpus = (await scheduler.load()).nodes[0].total["cpus"]
    fences: list[int] = []

    async def hold() -> None:
        async with scheduler.lease(cpus=cpus, ttl=30.0) as held:
            assert (await scheduler.load()).nodes[0].reserved["cpus"] == cpus
            fences.append(held.fence)

    async with asyncio.timeout(LIMIT):
        await asyncio.gather(hold(), hold(), hold())
    assert fences == sorted(set(fences))
    assert (await scheduler.load()).nodes[0].reserved["cpus"] == 0


async def test_a_lease_is_renewed_as_long_as_its_block_goes_on(scheduler: Scheduler) -> None:
    async with asyncio.timeout(LIMIT), scheduler.lease(cpus=1, ttl=0.6) as held:
        first = await scheduler.get(held.id)
        while (now := await scheduler.get(held.id)).due < first.due + 0.8:  # type: ignore[union-attr,operator]
            assert now.state == "running"
            await asyncio.sleep(0.05)  # it takes longer than the first ttl
    assert (await scheduler.get(held.id)).state == "succeeded"


async def test_a_lease_that_somebody_takes_away_is_told_as_lost(scheduler: Scheduler) -> None:
    with pytest.raises(LeaseLost, match="was lost: has already ended: cancelled"):  # noqa: PT012 - at the block's end
        async with scheduler.lease(cpus=1, ttl=0.3) as held:
            await scheduler.cancel([held.id])
            await asyncio.wait_for(held.lost.wait(), LIMIT)


async def test_a_lease_that_is_not_granted_is_not_wanted_any_more_when_its_caller_leaves(scheduler: Scheduler) -> None:
    cpus = (await scheduler.load()).nodes[0].total["cpus"]
    async with scheduler.lease(cpus=cpus):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), scheduler.lease(cpus=1, options={"name": "impatient"}):
                raise AssertionError("granted, though nothing is free")
    page = await scheduler.list(name="impatient")
    assert [task.state for task in page.tasks] == ["cancelled"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"needs": {}}, "would hold nothing"),
        ({"needs": {"cpus": 1}, "retry": 3}, "`retry` belongs to work that runs"),
        ({"needs": {"cpus": 1}, "env": {"A": "b"}}, "`env` belongs to a command"),
        ({"needs": {"cpus": 100_000}}, "No node is large enough.*Ask for less"),
        ({"needs": {"cpu": 1}}, r"cpu: 1 asked, 0 there.*Did you mean cpus\?"),
        ({"needs": {"gpu": 1}}, r"Did you mean gpus\?"),
        ({"needs": {"printer": 1}}, "Ask for less, or leave printer out"),
    ],
)
async def test_a_lease_that_makes_no_sense_is_refused(
    scheduler: Scheduler, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(errors.InvalidRequest, match=said):
        await scheduler.submit_many([{"lease": True, **fields}])
