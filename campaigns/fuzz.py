"""Fuzz: `python -m campaigns.fuzz --calls 100000`.

Calls made up from the tools' schemas, and bent; frames that are no frames; in both protocol eras over the engine's
socket, and over HTTP. Every valid request is answered, no answer shows a traceback, the engine is the same at the end,
and so is its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import anyio

from campaigns import raw
from campaigns.clients import memory
from campaigns.house import House, opened
from campaigns.judge import Verdict, conclude, defects
from campaigns.mutants import Maker, frame
from mcp_scheduler.hello import capture_environment

SETTINGS = {
    "MCP_SCHEDULER_POOL__CPUS": "2",
    "MCP_SCHEDULER_POOL__GRACE": "0.2",
    "MCP_SCHEDULER_POOL__GPUS": "false",
    "MCP_SCHEDULER_QUEUE__KEEP_TASKS": "500",
    "MCP_SCHEDULER_QUEUE__MAX_QUEUED": "500",
}
LIMIT = 60.0  # seconds within which every valid request has to be answered
AT_ONCE = 50  # requests of a door before its answers are awaited
FRAMES = 0.25  # share of what is sent that is no valid request
HTTP = 0.1  # share that goes over HTTP
WARM = 0.3  # share after which memory has what it keeps
GROWTH = 0.10  # of the engine's memory after that


@dataclass
class Course:
    """What happened."""

    tally: Counter[str] = field(default_factory=Counter[str])
    codes: Counter[str] = field(default_factory=Counter[str])
    broken: list[str] = field(default_factory=list[str])


def _look(course: Course, ident: Any, sent: Any, answer: dict[str, Any] | None) -> None:
    """An answer must be there, be a result or an error, and show nothing of the inside."""
    if answer is None:
        course.broken.append(f"never answered: {str(sent)[:300]}")
        return
    text = json.dumps(answer)
    if re.search(r'Traceback|File \\"/|site-packages', text):
        course.broken.append(f"a traceback for {str(sent)[:300]}: {text[:500]}")
    result, error = answer.get("result"), answer.get("error")
    if (result is None) == (error is None):
        course.broken.append(f"neither result nor error for {ident}: {text[:300]}")
    elif error is not None:
        course.codes[f"error {error.get('code')}"] += 1
    elif result.get("isError"):
        code = result.get("_meta", {}).get("mcp-scheduler/failure", {}).get("code", "?")
        course.codes[code] += 1
        if code in ("internal", "invariant_broken"):
            course.broken.append(f"a defect for {str(sent)[:400]}: {result['content'][0]['text'][:300]}")
    else:
        course.codes["done"] += 1


async def _socket(home: Path, era: str, calls: int, maker: Maker, chance: Random, course: Course, env: Any) -> None:
    done = 0
    while done < calls:
        async with raw.door(str(home), era, env) as door:
            while done < calls and door.is_open:
                sent: dict[str, Any] = {}
                for _ in range(min(AT_ONCE, calls - done)):
                    done += 1
                    ident: Any = chance.choice((f"{era}-{done}", 1_000_000 + done))
                    line = door.request(
                        ident, "tools/call", dict(zip(("name", "arguments"), maker.call(), strict=True))
                    )
                    if chance.random() < FRAMES:
                        door.send(frame(line, chance))
                        course.tally["frames"] += 1
                    else:
                        door.send(line)
                        sent[json.dumps(ident)] = line
                        course.tally[f"calls, {era}"] += 1
                await door.flush()
                for key, line in sent.items():
                    answer = await door.answer(json.loads(key), LIMIT)
                    _look(course, key, line, answer)
                course.broken += [f"a traceback: {one}" for one in door.nameless if "Traceback" in str(one)]
                door.answers.clear()
                door.nameless.clear()
            if not door.is_open:
                course.broken.append(f"the engine closed a door of era {era}")
                return


def _http(url: str, token: str, calls: int, maker: Maker, chance: Random, course: Course) -> None:
    """In a thread of its own: one request after the other."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=LIMIT)
    for number in range(calls):
        era = chance.choice(("modern", "legacy"))
        name, arguments = maker.call()
        body = raw.request(era, number, "tools/call", {"name": name, "arguments": arguments})
        is_broken = chance.random() < FRAMES
        content = frame(body, chance) if is_broken else body
        headers = {
            "Authorization": f"Bearer {token}", "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Mcp-Protocol-Version": "2025-11-25" if era == "legacy" else "2026-07-28",
        }  # fmt: skip
        if era == "modern":
            headers |= {"Mcp-Method": "tools/call", "Mcp-Name": _header(name)}
        connection.request("POST", place.path, content, headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        course.tally["frames over HTTP" if is_broken else f"calls over HTTP, {era}"] += 1
        if "Traceback" in text or answer.status >= 500:
            course.broken.append(f"HTTP {answer.status} for {content[:300]!r}: {text[:300]}")
        elif not is_broken and answer.status == 200:
            _look(course, number, body, json.loads(text))
        elif not is_broken:
            course.codes[f"HTTP {answer.status}"] += 1
    connection.close()


def _header(name: str) -> str:
    return name if name.isascii() and name.isprintable() and name else "nobody"


@contextlib.asynccontextmanager
async def _served(house: House) -> AsyncIterator[tuple[str, str, int]]:
    """An engine in the foreground, with HTTP: url, token, pid."""
    command = house.command("serve", "--home", str(house.home), "--functions", str(house.folder / "work.py"))
    log = house.folder / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: ASYNC220 (a few ms, once)
            [*command, "--port", "0"], stdout=file, stderr=file, env=house.environment
        )
    try:
        until = time.monotonic() + LIMIT
        while not (found := re.search(r"Serving MCP at (\S+);", log.read_text())):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"The engine does not serve: {log.read_text()}")
            await anyio.sleep(0.05)
        yield found[1], (house.home / "http.token").read_text().strip(), process.pid
        if process.poll() is not None:
            raise RuntimeError(f"The engine ended with {process.returncode}: {log.read_text()[-2000:]}")
    finally:
        process.terminate()
        process.wait(LIMIT)


async def fuzz(house: House, calls: int, seed: int) -> Verdict:
    """All of it, in parts: memory is looked at after each."""
    course, looks = Course(), list[float]()
    environment = capture_environment(python=sys.executable, functions=[str(house.folder / "work.py")])
    begun = time.monotonic()
    async with _served(house) as (url, token, pid), raw.door(str(house.home), "modern", environment) as first:
        first.send(first.request(0, "tools/list", {}))
        listed = await first.answer(0, LIMIT)
        assert listed is not None
        tools = {one["name"]: one["inputSchema"] for one in listed["result"]["tools"]}
        known = [
            made["id"]
            for number in range(20)
            if (made := await first.call(number + 1, "submit_task", _quick(number), LIMIT)) is not None
        ]
        parts = 20
        for part in range(parts):
            chance = Random(f"{seed} {part}")
            maker = Maker(tools, chance, known)
            share = calls // parts
            over_http = int(HTTP * share)
            each = (share - over_http) // 2
            async with asyncio.TaskGroup() as group:
                for era in ("modern", "legacy"):
                    group.create_task(_socket(house.home, era, each, maker, chance, course, environment))
                group.create_task(
                    asyncio.to_thread(_http, url, token, over_http, maker, Random(f"{seed} {part} HTTP"), course)
                )
            looks.append(memory(pid))
            if await first.call(f"alive {part}", "get_node_load", {}, LIMIT) is None:
                course.broken.append("an ordinary client is not served any more")
    course.broken += [f"in the log: {text}" for text in defects(house.home)]
    warm = looks[int(WARM * len(looks)) :]
    growth = max(warm) / warm[0] - 1
    figures = {
        "seed": seed,
        "sent": ", ".join(f"{count} {name}" for name, count in course.tally.most_common()),
        "answers": ", ".join(f"{count} {name}" for name, count in course.codes.most_common()),
        "engine's memory": f"{looks[0]:.0f} MB after the first part, {warm[0]:.0f} warm, {looks[-1]:.0f} at the end, "
        f"{100 * growth:+.0f} % at most",
        "calls a second": f"{calls / (time.monotonic() - begun):.0f}",
        "broken": len(course.broken),
    }
    if calls >= 50_000 and growth > GROWTH:
        course.broken.append(f"the engine's memory grew by {100 * growth:.0f} %")
    return Verdict(figures, course.broken)


def _quick(number: int) -> dict[str, Any]:
    return {"function": "work.quick", "arguments": {"token": f"known{number}", "value": number}}


def main() -> int:
    """Exit code 0 when everything was answered."""
    parser = argparse.ArgumentParser("python -m campaigns.fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with opened(SETTINGS) as house:
        verdict = anyio.run(fuzz, house, given.calls, given.seed)
    return conclude(verdict)


if __name__ == "__main__":
    sys.exit(main())
