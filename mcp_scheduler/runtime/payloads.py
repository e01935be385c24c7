"""The calls' JSON on its way to the executor: small ones are kept at hand, the others fetched from the store.

A `{"$result": "<task>", "path": "<JMESPath>"}` anywhere in a call is replaced by that result just before the
call is handed over, when what it names has succeeded.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError

from mcp_scheduler.core.states import FINAL
from mcp_scheduler.core.task import Task
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.ports import Outputs, Store

KEEP_EACH: Final = 2048  # bytes; larger calls and results stay in the store
KEEP_RESULTS: Final = 4096  # how many small results are kept for those that wait for them
MARK: Final = b'"$result"'


class Payloads:
    """Calls by task id, with results put in where they are asked for."""

    def __init__(self, store: Store, outputs: Outputs) -> None:
        self._store = store
        self._outputs = outputs
        self._calls: dict[str, bytes] = {}
        self._results: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, task_id: str, payload: bytes) -> None:
        if len(payload) <= KEEP_EACH:
            self._calls[task_id] = payload

    def drop(self, task_id: str) -> None:
        self._calls.pop(task_id, None)

    def keep_result(self, task_id: str, result: bytes) -> None:
        if len(result) <= KEEP_EACH:
            self._results[task_id] = result
            if len(self._results) > KEEP_RESULTS:
                self._results.popitem(last=False)

    def at_hand(self, task: Task) -> bytes | None:
        """The call, if it is complete and in memory."""
        payload = self._calls.get(task.id)
        if payload is None or (task.after and MARK in payload):
            return None
        return payload

    async def load(self, tasks: Sequence[Task]) -> None:
        """Take the small calls of many tasks into memory in one read: after a start none is there."""
        missing = {task.id: task for task in tasks if task.id not in self._calls}
        if len(missing) > 1:
            for task_id, payload in (await self._store.payloads(list(missing))).items():
                if missing[task_id].status.state not in FINAL:  # what has ended meanwhile is not asked for again
                    self.keep(task_id, payload)

    async def fetch(self, task: Task) -> bytes:
        """The call, from the store if need be, with every `$result` put in. `InvalidRequest` says what is missing."""
        payload = self._calls.get(task.id)
        if payload is None:
            payload = (await self._store.payloads([task.id]))[task.id]
        if not task.after or MARK not in payload:
            return payload
        call: dict[str, Any] = json.loads(payload)
        found = await self._named(task, call)
        if task.extras.source:
            call["each"] = _going_on(task, call["each"], found[task.extras.source])
        return json.dumps(_filled(call, found), separators=(",", ":")).encode()

    async def _named(self, task: Task, call: dict[str, Any]) -> dict[str, Any]:
        """What each name in the call's references stands for: it is read once, however often it is named. A name is a
        task's id, or [start, end] as text: the results of that stretch of the task's dependencies, of which the first
        `chunks` are lists of results themselves."""
        found: dict[str, Any] = {}
        for reference in _references(call):
            named = reference["$result"]
            key = str(named)
            if key in found:
                continue
            if isinstance(named, list):
                start, end = named  # pyright: ignore[reportUnknownVariableType]
                found[key] = _flat(await self.results(task.after[start:end]), reference.get("chunks", 0))
            else:
                found[key] = (await self.results([named]))[0]
        return found

    async def results(self, ids: Sequence[str]) -> list[Any]:
        """What these tasks returned, in this order; None for those that returned nothing."""
        at_hand = {name: text for name in ids if (text := self._results.get(name)) is not None}
        missing = [name for name in ids if name not in at_hand]
        stored = await self._store.results(missing) if missing else {}
        found: list[Any] = []
        for name in ids:
            text = at_hand.get(name)
            if text is None and (result := stored.get(name)) is not None:
                text = await self._outputs.result(result.file) if result.file else result.inline
            found.append(None if text is None else json.loads(text))
        return found


def _references(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "$result" in value:
            yield value  # pyright: ignore[reportUnknownArgumentType]
            return
        for item in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _references(item)


def _filled(value: Any, found: Mapping[str, Any]) -> Any:
    """The value with what was found in the place of each reference."""
    if isinstance(value, dict):
        if "$result" in value:
            return _picked(value, found)  # pyright: ignore[reportUnknownArgumentType]
        return {key: _filled(item, found) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_filled(item, found) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _picked(reference: Mapping[str, Any], found: Mapping[str, Any]) -> Any:
    named, path = reference["$result"], reference.get("path")
    value = found[str(named)]
    if path is None:
        return value
    try:
        return jmespath.search(path, value)
    except JMESPathError as error:
        raise InvalidRequest(f"The path '{path}' does not fit the result of {named}: {error}") from error


def _going_on(task: Task, each: list[Any], made: Any) -> list[Any]:
    """The sets of arguments of a chunk in a further stage. An item that failed in the stage before has its error in
    their place."""
    if not isinstance(made, list):
        raise InvalidRequest(f"The stage before, {task.extras.source}, ended without results: see its error.")
    failed = (isinstance(one, dict) and one.keys() == {"$error"} for one in made)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return [result if bad else item for item, result, bad in zip(each, made, failed, strict=True)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _flat(results: list[Any], chunks: int) -> list[Any]:
    return [one for part in results[:chunks] for one in part] + results[chunks:] if chunks else results
