"""A page of a list has nothing that has left the wanted states meanwhile, and leads on all the same."""

import asyncio
from dataclasses import replace

from mcp_scheduler.core.states import State
from mcp_scheduler.ports import TaskQuery
from mcp_scheduler.service.find import Finder
from mcp_scheduler.service.groups import Groups
from tests.core.builders import Stage


class Store:
    """Finds the tasks as they were when it was asked; `meanwhile` happens before it has answered."""

    def __init__(self, stage, meanwhile=lambda: None):
        self._stage = stage
        self._meanwhile = meanwhile

    async def find(self, query):
        found = [replace(task) for task in self._stage.cluster.tasks.values() if query.matches(task)]
        self._meanwhile()
        return sorted(found, key=lambda task: -task.seq)[: query.limit]


def page(stage, store, **fields):
    finder = Finder(stage.cluster, store, Groups(stage.cluster, store))
    tasks, more = asyncio.run(finder.page(TaskQuery(states=frozenset({State.RUNNING}), **fields)))
    return [task.id for task in tasks], more


def stage_of(*names):
    stage = Stage(len(names))
    for name in names:
        stage.submit(name)
    stage.cluster._sure_above = 10**9  # memory is sure of nothing: the store is asked
    return stage


def test_what_ends_while_the_store_is_asked_is_not_listed_as_running():
    stage = stage_of("a", "b", "c")
    assert page(stage, Store(stage)) == (["c", "b", "a"], None)
    assert page(stage, Store(stage, lambda: stage.end("b"))) == (["c", "a"], None)


def test_a_page_that_has_become_shorter_leads_on_to_the_next():
    stage = stage_of("a", "b", "c")
    names, more = page(stage, Store(stage, lambda: stage.end("b")), limit=2)
    assert names == ["c"]
    assert page(stage, Store(stage), limit=2, before_seq=more) == (["a"], None)
