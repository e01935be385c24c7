"""A client of a campaign: submits, looks, waits and cancels over real MCP stdio, and stands up again when hit."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import anyio
from mcp import Client

from campaigns import kinds
from campaigns.house import House
from campaigns.ledger import Ledger

SILENCE = 45.0  # seconds after which a call counts as never answered
MOST_OPEN = 12  # tasks that one client has under way; with more it waits
REFUSALS = 40  # answers "not now" to one submission; whoever says so more often says no
FINAL = ("succeeded", "failed", "cancelled", "skipped")


class Submission:
    """One submission: the tokens of its tasks go to the ledger before it is made, their ids when it is answered."""

    def __init__(self, tool: str, fields: dict[str, Any], tokens: dict[str, str], cancels: bool = False) -> None:
        """`tokens` by key of a graph, or {"": token} for a single task."""
        self.tool = tool
        self.fields = fields
        self.tokens = tokens
        self.cancels = cancels
        self.tries = 0

    @property
    def is_repeatable(self) -> bool:
        return "idempotency_key" in self.fields


class Agent:
    """Every second submission has an idempotency key: those are repeated until they are acknowledged, over as many
    connections as it takes. The others are made once, whatever becomes of the answer."""

    def __init__(self, name: str, era: str, house: House, ledger: Ledger, chance: Random) -> None:
        self.name = name
        self.tally: Counter[str] = Counter()
        self.latencies: list[float] = []
        self._era = era
        self._house = house
        self._ledger = ledger
        self._chance = chance
        self._number = 0
        self._owed: list[Submission] = []
        self._to_cancel: list[str] = []
        self._open: list[str] = []
        self._ended: list[str] = []

    async def run(self, over: anyio.Event) -> None:
        """Until `over`, and until whatever is owed has been acknowledged."""
        while not over.is_set() or self._owed or self._to_cancel:
            try:
                async with self._house.client(self._era, self.name) as client:
                    self.tally["connections"] += 1
                    await self._work(client, over)
            except Exception as error:  # noqa: BLE001 (the relay was killed: the SDK raises what it likes)
                self._ledger.write("disconnected", client=self.name, error=repr(error)[:300])
                await anyio.sleep(0.05)

    async def _work(self, client: Client, over: anyio.Event) -> None:
        for submission in list(self._owed):
            await self._submit(client, submission)
        while not over.is_set():
            await self._act(client)
            await anyio.sleep(self._chance.expovariate(1 / 0.05))
        while self._owed or self._to_cancel:
            for submission in list(self._owed):
                await self._submit(client, submission)
            for task in list(self._to_cancel):
                await self._cancel(client, task)
            await anyio.sleep(0.1)

    async def _act(self, client: Client) -> None:
        if self._to_cancel and self._chance.random() < 0.3:
            await self._cancel(client, self._to_cancel[0])
        elif len(self._open) >= MOST_OPEN:
            await self._wait(client)
        else:
            acts = (self._single, self._graph, self._map, self._look, self._list, self._wait)
            await self._chance.choices(acts, (12, 1, 1, 4, 1, 1))[0](client)

    # -- what it does

    async def _single(self, client: Client) -> None:
        kind, token, value = kinds.choose(self._chance), self._token(), self._chance.randrange(1000)
        self._ask(token, kind, kind.result(value))
        fields = kind.make(token, value, self._chance)
        if kind.reads:
            self._input(token).write_text(f"{token} {value}")
        await self._submit(client, Submission("submit_task", self._keyed(fields, token), {"": token}, kind.cancels))

    async def _graph(self, client: Client) -> None:
        """One, then two that take its result, then one that adds theirs up."""
        token, value = self._token(), self._chance.randrange(1000)
        tasks: dict[str, dict[str, Any]] = {}
        for key, name, given, result in (
            ("top", "quick", value, 2 * value),
            ("left", "short", {"$result": "top"}, 4 * value),
            ("right", "repeatable", {"$result": "top"}, 4 * value),
        ):
            kind = kinds.BY_NAME[name]
            self._ask(f"{token}.{key}", kind, result)
            tasks[key] = kind.make(f"{token}.{key}", given, self._chance)  # type: ignore[arg-type]  # a reference
        self._ask(f"{token}.end", kinds.BY_NAME["quick"], 8 * value)
        values = [{"$result": "left"}, {"$result": "right"}]
        tasks["end"] = {"function": f"{kinds.MODULE}.total", "arguments": {"token": f"{token}.end", "values": values}}
        tokens = {key: f"{token}.{key}" for key in tasks}
        await self._submit(client, Submission("submit_graph", self._keyed({"tasks": tasks}, token), tokens))

    async def _map(self, client: Client) -> None:
        token, size = self._token(), self._chance.randrange(3, 15)
        items = [{"token": f"{token}.{number}", "value": number} for number in range(size)]
        for item in items:
            self._ask(item["token"], kinds.BY_NAME["quick"], 2 * item["value"])
        self._ask(f"{token}.sum", kinds.BY_NAME["quick"], size * (size - 1))
        fields = {
            "task": {
                "function": f"{kinds.MODULE}.quick",
                "arguments": {"token": {"$item": "token"}, "value": {"$item": "value"}},
            },
            "over": {"items": items},
            "reduce": {
                "function": f"{kinds.MODULE}.total",
                "arguments": {"token": f"{token}.sum", "values": {"$result": "items"}},
            },
        }
        await self._submit(client, Submission("map_task", self._keyed(fields, token), {"reduce": f"{token}.sum"}))

    async def _look(self, client: Client) -> None:
        """At a task that ended (it must not change any more) or at one that has not."""
        among = self._ended if self._ended and (not self._open or self._chance.random() < 0.5) else self._open
        if among:
            answer = await self._call(client, "get_task", {"id": self._chance.choice(among), "detail": True})
            if answer is not None:
                self.saw(answer)

    async def _list(self, client: Client) -> None:
        await self._call(client, "list_tasks", {"limit": 20})

    async def _wait(self, client: Client) -> None:
        if self._open:
            answer = await self._call(client, "wait_for_tasks", {"ids": self._open, "mode": "any", "timeout": 1})
            for task in (answer or {}).get("done", ()):
                self._is_over(task["id"])

    async def _cancel(self, client: Client, task: str) -> None:
        answer = await self._call(client, "cancel_task", {"ids": [task]})
        if answer is not None:
            self._ledger.write("cancelled", id=task)
            self._to_cancel.remove(task)

    # -- submitting, and the ledger

    def saw(self, task: dict[str, Any]) -> None:
        """Note the end of a task as it was shown to us."""
        if task["state"] in FINAL:
            facts = {name: task.get(name) for name in ("state", "reason", "attempt", "ended_at", "ran_s", "error")}
            self._ledger.write("saw", id=task["id"], end=facts)
            self._is_over(task["id"])

    def _token(self) -> str:
        self._number += 1
        return f"{self.name}-{self._number}"

    def _keyed(self, fields: dict[str, Any], token: str) -> dict[str, Any]:
        return {**fields, "idempotency_key": token} if self._chance.random() < 0.5 else fields

    def _ask(self, token: str, kind: kinds.Kind, result: Any) -> None:
        if isinstance(result, str) and len(result) > 1000:
            result = {"bytes": len(result) + 2}
        self._ledger.write(
            "asked", token=token, kind=kind.name, runs=kind.runs, reasons=sorted(kind.reasons), result=result
        )
        self.tally["asked"] += 1

    async def _submit(self, client: Client, submission: Submission) -> None:
        if submission.is_repeatable and submission not in self._owed:
            self._owed.append(submission)
        submission.tries += 1
        answer = await self._call(client, submission.tool, submission.fields)
        if answer is None:
            if submission.tries > REFUSALS and submission in self._owed:
                self._owed.remove(submission)
                self._ledger.write("violation", text=f"never accepted: {submission.fields}")
            return
        if submission in self._owed:
            self._owed.remove(submission)
        self._acknowledged(submission, answer)

    def _input(self, token: str) -> Path:
        return self._house.folder / f"{token}.in"

    def _acknowledged(self, submission: Submission, answer: dict[str, Any]) -> None:
        if "inputs" in submission.fields:  # what was acknowledged needs the file no more
            self._input(submission.tokens[""]).unlink()
        ids = answer.get("keys", {}) if submission.tool != "submit_task" else {"": answer["id"]}
        self._ledger.write(
            "acknowledged",
            client=self.name,
            id=answer["id"],
            size=answer.get("size", 1),
            tasks={ids[key]: token for key, token in submission.tokens.items()},
        )
        self.tally["acknowledged"] += answer.get("size", 1)
        self.tally["duplicates"] += bool(answer.get("duplicate"))
        self._open += ids.values()
        if submission.cancels:
            self._to_cancel.append(answer["id"])

    def _is_over(self, task: str) -> None:
        if task in self._open:
            self._open.remove(task)
            self._ended.append(task)

    async def _call(self, client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """The answer, or None if it was an error that the model could have read."""
        self.tally["calls"] += 1
        begun = time.monotonic()
        try:
            with anyio.fail_after(SILENCE):
                answer = await client.call_tool(tool, arguments)
        except TimeoutError:
            self._ledger.write("violation", text=f"{self.name}: no answer to {tool} for {SILENCE:.0f} s")
            raise
        self.latencies.append(time.monotonic() - begun)
        content = answer.structured_content
        if answer.is_error or not isinstance(content, dict):
            texts = " ".join(getattr(part, "text", "") for part in answer.content)
            self._ledger.write("refused", client=self.name, tool=tool, text=texts[:500])
            self.tally["refused"] += 1
            return None
        return content
