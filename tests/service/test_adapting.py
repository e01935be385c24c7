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
from mcp_scheduler.service.adapting import Adapting
from mcp_scheduler.simulation.jobs import Job


class StandIn:
    """The loop: takes what is asked for."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.chosen = []

    async def ask(self, event):
        self.chosen.append(event.policy)
        self.cluster.use(event.policy)


def adapting(policy, seconds):
    cluster = Cluster(policy)
    cluster.set_node(NodeChanged(Node("local", (("cpus", 1000),))).node)
    loop = StandIn(cluster)
    made = Adapting(cluster, loop, Policies())
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
    made, loop = adapting(Adaptive(FIFO), lambda draw: 100.0 if draw.random() < 0.05 else 0.5)
    await made.compare()
    assert made._cluster.policy.inner.name in ("balanced", "shortest")
    assert "300 ended tasks were replayed" in made._cluster.policy.why
    assert loop.chosen[0].terms  # it explains itself


@pytest.mark.anyio
async def test_where_all_are_alike_nothing_changes():
    made, _ = adapting(Adaptive(FIFO), lambda _: 3.0)
    await made.compare()
    assert made._cluster.policy.inner is FIFO
    assert "no other policy was better" in made._cluster.policy.why


@pytest.mark.anyio
async def test_another_policy_is_left_alone():
    made, loop = adapting(FIFO, lambda _: 3.0)
    await made.compare()
    assert not loop.chosen
