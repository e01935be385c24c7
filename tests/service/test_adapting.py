"""The engine's recent past is replayed on the real decision, and the order that it calls for is followed."""

import random

import pytest

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import NodeChanged
from mcp_scheduler.core.node import Node
from mcp_scheduler.core.task import Needs
from mcp_scheduler.policies.adaptive import Adaptive
from mcp_scheduler.policies.catalogue import Policies
from mcp_scheduler.policies.order import FIFO
from mcp_scheduler.requests import ChoosePolicy
from mcp_scheduler.service.adapting import Adapting, begin_anew, followed
from mcp_scheduler.service.choosing import Choosing
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.store.memory import MemoryStore


class StandIn:
    """The loop: takes what is asked for."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.chosen = []

    async def ask(self, event):
        self.chosen.append(event.policy)
        self.cluster.use(event.policy)


async def opened():
    store = MemoryStore()
    await store.open()
    return store


async def adapting(policy, seconds, store=None):
    store = store or await opened()
    cluster = Cluster(policy)
    cluster.set_node(NodeChanged(Node("local", (("cpus", 1000),))).node)
    loop = StandIn(cluster)
    made = Adapting(cluster, loop, Policies(), store)
    draw = random.Random(1)
    at = 1000.0
    for number in range(300):
        at += draw.expovariate(1 / 6.0)
        run = seconds(draw)
        made.history.append(Job(f"j{number}", at, run, Needs(), requested=run))
    return made, loop


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
async def test_short_tasks_behind_long_ones_call_for_another_order():
    made, loop = await adapting(Adaptive(FIFO), lambda draw: 100.0 if draw.random() < 0.05 else 0.5)
    await made.compare()
    assert made._cluster.policy.inner.name in ("balanced", "shortest")
    assert "300 ended tasks were replayed" in made._cluster.policy.why
    assert loop.chosen[0].terms  # it explains itself


@pytest.mark.anyio
async def test_where_all_are_alike_nothing_changes():
    made, _ = await adapting(Adaptive(FIFO), lambda _: 3.0)
    await made.compare()
    assert made._cluster.policy.inner is FIFO
    assert "no other policy was better" in made._cluster.policy.why


@pytest.mark.anyio
async def test_another_policy_is_left_alone():
    made, loop = await adapting(FIFO, lambda _: 3.0)
    await made.compare()
    assert not loop.chosen


@pytest.mark.anyio
async def test_what_it_follows_and_why_is_known_to_the_next_engine():
    store = await opened()
    assert await followed(store, Policies()) is None
    made, _ = await adapting(Adaptive(FIFO), lambda draw: 100.0 if draw.random() < 0.05 else 0.5, store)
    await made.compare()
    found = await followed(store, Policies())
    assert found is not None
    assert found.inner.name == made._cluster.policy.inner.name != "fifo"
    assert made._cluster.policy.why in found.why
    await begin_anew(store)
    assert await followed(store, Policies()) is None


@pytest.mark.anyio
async def test_a_policy_that_is_not_there_any_more_is_not_followed():
    store = await opened()
    await store.set_setting("adaptive", '{"policy": "of-a-plug-in", "why": "because"}')
    assert await followed(store, Policies()) is None


class Chooser(Choosing):
    """The part of the service that chooses, on boot."""

    def __init__(self, cluster, store):
        self._cluster, self._store, self._policies = cluster, store, Policies()


@pytest.mark.anyio
async def test_a_new_engine_goes_on_with_it_whoever_chose_adaptive():
    for chosen, policy in (("adaptive", FIFO), ("", Adaptive(FIFO))):
        store, cluster = await opened(), Cluster(policy)
        await store.set_setting("policy", chosen)
        await store.set_setting("adaptive", '{"policy": "shortest", "why": "it was better"}')
        await Chooser(cluster, store).load_policy()
        assert cluster.policy.inner.name == "shortest"
        assert "it was better" in cluster.policy.why


@pytest.mark.anyio
async def test_a_choice_that_is_not_there_any_more_is_told_by_whoever_asks_for_the_policy():
    store = await opened()
    await store.set_setting("policy", "newest")
    made = Chooser(Cluster(FIFO), store)
    await made.load_policy()
    told = await made.policy(None, ChoosePolicy())
    assert (told.name, told.chosen_by) == ("fifo", "the settings")
    assert told.note.startswith("newest was chosen. There is no policy 'newest'. Choose one of ")
    await store.set_setting("policy", "edf")
    told = await made.policy(None, ChoosePolicy())
    assert (told.chosen_by, told.note) == ("its owner", "")
