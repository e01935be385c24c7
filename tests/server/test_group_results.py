"""What wait_for_tasks says of a group that has succeeded: its results, or how to read them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from service_double import ServiceDouble

from mcp_scheduler import requests, views
from mcp_scheduler.requests import Caller
from mcp_scheduler.server.answers import Visit, wait_for_tasks
from mcp_scheduler.server.clients import habits_of

pytestmark = pytest.mark.anyio

MEMBER = views.TaskView(id="a-1", state="succeeded", call="f", submitted_at=0.0, has_result=True, result_size=3)


class Ended(ServiceDouble):
    """A service whose one group has ended. `read` says whether its results were asked for."""

    def __init__(self, *members: views.TaskView, state: str = "succeeded") -> None:
        super().__init__()
        self.read = False
        self.group = views.GroupView(
            "map-1", "map", "", "p", 0.0, len(members), {state: len(members)}, state, tasks=members
        )

    async def wait(self, *_: object) -> views.WaitReport:
        return views.WaitReport((), (replace(self.group, tasks=()),), (), 0, complete=True, cursor="", again_in=None)

    async def get(self, *_: object) -> views.GroupView:
        return self.group

    async def result(self, *_: object) -> list[int]:
        self.read = True
        return [123] * self.group.size


async def told(service: Ended) -> dict[str, object]:
    visit = Visit(service, Caller(principal="p"), habits_of("test"), service.clock, "mcp-scheduler")
    (group,) = (await wait_for_tasks(visit, requests.Wait(ids=["map-1"]))).content["groups"]
    return group


async def test_few_short_results_come_along():
    assert (await told(Ended(MEMBER, MEMBER)))["results"] == [123, 123]


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([MEMBER] * 21, id="many"),
        pytest.param([MEMBER, replace(MEMBER, result_size=2**20)], id="large"),
        pytest.param([MEMBER, replace(MEMBER, has_result=False, result_size=0)], id="not known any more"),
    ],
)
async def test_others_are_not_read_and_the_reader_is_told_how(members: list[views.TaskView]):
    service = Ended(*members)
    content = await told(service)
    assert "results" not in content
    assert "read_output" in str(content["hint"])
    assert not service.read


async def test_a_group_that_failed_tells_its_failures_and_no_results():
    content = await told(Ended(MEMBER, state="failed"))
    assert not {"results", "hint"} & set(content)
