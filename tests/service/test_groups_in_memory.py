"""Groups in memory: their counts, and how many of them are kept."""

import asyncio
import random
from dataclasses import replace

import pytest

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.events import Group
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.service.groups import KEPT, Groups, Tally
from tests.core.builders import Stage


def group(name="g", **fields):
    return Group(name, "", "map", "ann", 1, 0.0, **fields)


@pytest.mark.parametrize(
    "made",
    [
        group(),
        group(items=6, stages=2),
        group(items=7, chunk=2),
        group(items=7, chunk=2, stages=3),
        group(items=4, chunk=2, folds=1),
    ],
)
def test_whatever_becomes_of_its_members_a_group_counts_as_if_it_counted_anew(made):
    chance, tally, states = random.Random(7), Tally(made), {}
    for _ in range(400):
        name = f"t{len(states)}" if len(states) < 14 else f"t{chance.randrange(14)}"
        states[name] = chance.choice(list(State))
        tally.note(name, states[name])
        places = dict(enumerate(states.values()))
        pieces = {place: (made.items_of(place) or 1) * made.has_result(place) for place in places}
        in_stages = {place: state for place, state in places.items() if place < made.units * made.stages}
        assert tally.states == states
        assert tally.total == sum(pieces.values())
        assert tally.left == sum(pieces[place] for place, state in places.items() if state not in FINAL)
        assert tally.open == sum(state not in FINAL for state in states.values())
        assert set(tally.failed) == {name for name, state in states.items() if state is State.FAILED}
        done = [0] * made.stages
        for place, state in in_stages.items():
            done[place % made.stages] += (made.items_of(place) or 1) * (state is State.SUCCEEDED)
        assert tally.done() == (() if made.stages == 1 else tuple(done))
        assert tally.items_done == done[-1]
        if made.chunk:
            assert dict(tally.chunks_under_way()) == {
                f"t{place}": made.items_of(place)
                for place, state in in_stages.items()
                if state is State.RUNNING and made.has_result(place)
            }


class Store:
    """So many groups of so many members each, all of which wait."""

    def __init__(self, stage, members):
        self.asked = []
        self._tasks = [stage.new(f"{number}").task for number in range(members)]

    async def group(self, name):
        self.asked.append(name)
        return group(name)

    async def members(self, name):
        return [replace(task, id=f"{name}-{task.id}", group=name) for task in self._tasks]


def test_groups_are_kept_by_the_number_of_their_members():
    async def day():
        stage = Stage()
        store = Store(stage, 40)
        groups = Groups(stage.cluster, store, members=100)
        for name in ("a", "b", "a", "b"):
            await groups.get(name)
        assert store.asked == ["a", "b"]
        await groups.get("a")
        await groups.get("c")  # 120 members: b was asked for longest ago
        await groups.get("a")
        await groups.get("b")
        assert store.asked == ["a", "b", "c", "b"]

    asyncio.run(day())


def test_small_groups_are_kept_up_to_a_number():
    async def day():
        stage = Stage()
        store = Store(stage, 1)
        groups = Groups(stage.cluster, store)
        for number in range(KEPT + 1):
            await groups.get(f"g{number}")
        store.asked.clear()
        await groups.get("g1")
        await groups.get("g0")
        assert store.asked == ["g0"]

    asyncio.run(day())


def test_a_group_that_somebody_waits_for_is_kept_up_to_date_whatever_else_is_asked_for():
    async def day():
        stage = Stage()
        groups = Groups(stage.cluster, Store(stage, 40), members=50)
        held = await groups.get("a")
        stage.cluster.apply(Changes())
        stage.submit("a-1", group="a")
        await groups.get("b")
        groups.committed(stage.decision.changes)
        assert held.states["a-1"] is stage.state("a-1")
        assert await groups.get("a") is held

    asyncio.run(day())


def test_what_is_committed_while_a_group_is_being_read_is_not_missed():
    class Slow(Store):
        """A read that is answered late: a commit comes between."""

        async def members(self, name):
            found = await super().members(name)
            stage.submit("a-1", group="a")  # as the next occurrence of a series
            groups.committed(stage.decision.changes)
            return found

    async def day():
        found = await groups.get("a")
        assert found.states["a-1"] is stage.state("a-1")
        stage.submit("a-2", group="a")
        groups.committed(stage.decision.changes)
        assert list(found.states) == ["a-0", "a-1", "a-2"]

    stage = Stage()
    groups = Groups(stage.cluster, Slow(stage, 1))
    asyncio.run(day())
