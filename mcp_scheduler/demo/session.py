"""The demo's agent: a real MCP client over stdio, on real input, with a `kill -9` of the engine in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mcp_scheduler.demo import analysis
from mcp_scheduler.home import Home
from mcp_scheduler.owner import OwnerClient

_PREFIX = "analysis"  # the module of the demo's functions, as the workers import it
_PARALLEL_SHARE = 0.35  # the engine is killed when this share of the files has been measured
_COUNT = """
import json, os, pathlib
total = 0
files = sorted(pathlib.Path.cwd().glob("*.py"))
for number, file in enumerate(files, 1):
    total += file.stat().st_size
    print(f"progress: {number / len(files):.3f} {file.name}")
with open(os.environ["MCP_SCHEDULER_RESULT"], "w") as result:
    json.dump({"files": len(files), "bytes": total}, result)
"""
_SEES_GPUS = """
import ctypes, json, os
driver = ctypes.CDLL("libcuda.so.1")
count, free, total = ctypes.c_int(), ctypes.c_size_t(), ctypes.c_size_t()
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
driver.cuInit(0)
driver.cuDeviceGetCount(ctypes.byref(count))
driver.cuDeviceGet(ctypes.byref(device), 0)
driver.cuCtxCreate_v2(ctypes.byref(context), 0, device)
code = driver.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(256 * 2**20))
driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
with open(os.environ["MCP_SCHEDULER_RESULT"], "w") as result:
    json.dump({"gpus": count.value, "allocated": code == 0, "total": total.value}, result)
"""
_LIMIT = 120.0  # seconds in all: a demo that hangs is worse than one that fails


class DemoFailed(Exception):
    """Something was not as promised; the text says what."""


@dataclass
class Run:
    """The demo's facts, for the proof at its end."""

    files: list[str]
    killed: int = 0
    parallel_seconds: float = 0.0
    serial_seconds: float = 0.0
    command: str = ""  # the command task that counts bytes
    has_gpu: bool = False
    gpu: str = ""  # the command task that has a GPU to itself, "" where there is none


def main(limit: int = 0) -> int:
    """Run the demo; exit code 0 when everything promised was seen. `limit` bounds the number of files."""
    console = Console()
    # Short: sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="mcp-scheduler-demo-") as folder:
        home = Path(folder) / "home"
        try:
            return asyncio.run(asyncio.wait_for(_demo(console, home, Path(folder) / "ledger.txt", limit), _LIMIT))
        except (DemoFailed, TimeoutError) as error:
            console.print(f"[bold red]The demo failed:[/] {error or 'it took too long'}")
            return 1
        finally:
            _stop(home)


def _stop(home: Path) -> None:
    with OwnerClient(Home.find(str(home)), start=False) as client:
        try:
            client.call("stop", {"force": True}, timeout=10)
        except Exception as error:  # noqa: BLE001 - the folder goes away anyway; say why something may be left
            sys.stderr.write(f"The demo's engine could not be stopped: {error}\n")


async def _demo(console: Console, home: Path, ledger: Path, limit: int) -> int:
    functions = str(Path(analysis.__file__))
    command = [
        "-m",
        "mcp_scheduler",
        "--home",
        str(home),
        "--functions",
        functions,
        "--python",
        sys.executable,
        "--allow-command",
        f"{sys.executable} -c *",
    ]
    console.rule("[bold]An agent's session")
    console.print(f"[dim]$ mcp-scheduler --home {home} --functions {Path(functions).name}[/]")
    server = StdioServerParameters(
        command=sys.executable, args=command, env={**os.environ, "PYTHONPATH": _import_path()}
    )
    failure: DemoFailed | None = None
    async with Client(stdio_client(server)) as client:
        console.print(f"Connected: protocol {client.protocol_version}\n")
        try:
            await _session(Agent(client, console), home, ledger, limit)
        except DemoFailed as error:  # kept as it is: the client's task groups would wrap it
            failure = error
    if failure is not None:
        raise failure
    return 0


async def _session(agent: Agent, home: Path, ledger: Path, limit: int) -> None:
    await agent.list_functions()
    run = Run(await agent.result_of("discover", {"limit": limit}))
    agent.console.print(f"  {len(run.files):,} source files of Python's standard library\n")
    load = await agent.call("get_node_load", {})
    run.has_gpu = any(device.get("whole") for node in load["nodes"] for device in node.get("devices", []))
    if not run.has_gpu:
        agent.console.print("  No GPU is free here: the demo goes without its GPU task.\n")
    await _work(agent, run, home, ledger)
    await agent.report()
    await _prove(agent, agent.console, run, ledger)


def _import_path() -> str:
    """The relay of the demo must find this package, installed or not."""
    ours = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(part for part in (ours, os.environ.get("PYTHONPATH", "")) if part)


class Agent:
    """What a model would do with the tools, in the same words."""

    def __init__(self, client: Client, console: Console) -> None:
        self.client = client
        self.console = console
        self.map_id = ""
        self.report_id = ""

    async def call(
        self, tool: str, arguments: dict[str, Any], words: Callable[[str], None] | None = None
    ) -> dict[str, Any]:
        """One tool call, shown as it is made; its structured answer."""

        async def tell(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - the SDK's
            if words is not None and message:
                words(message)

        answer = await self.client.call_tool(tool, arguments, progress_callback=tell)
        content: Any = answer.structured_content
        if answer.is_error or not isinstance(content, dict):
            texts = " ".join(getattr(part, "text", "") for part in answer.content)
            raise DemoFailed(f"{tool} answered: {texts}")
        return content  # pyright: ignore[reportUnknownVariableType] - JSON

    def show(self, tool: str, words: str) -> None:
        self.console.print(f"[bold cyan]{tool}[/] {words}")

    async def list_functions(self) -> None:
        answer = await self.call("list_functions", {})
        self.show("list_functions", "→ " + ", ".join(entry["name"] for entry in answer["functions"]))

    async def submit(self, function: str, arguments: dict[str, Any] | None = None, **fields: Any) -> str:
        answer = await self.call(
            "submit_task", {"function": f"{_PREFIX}.{function}", "arguments": arguments or {}, **fields}
        )
        task_id = str(answer["id"])
        self.show("submit_task", f"{function} → {task_id}")
        return task_id

    async def run(self, command: list[str], **fields: Any) -> str:
        """A command, as the client's grant allows it."""
        answer = await self.call("submit_task", {"command": command, **fields})
        task_id = str(answer["id"])
        self.show("submit_task", f"a command{' with a GPU' if 'needs' in fields else ''} → {task_id}")
        return task_id

    async def result_of(self, function: str, arguments: dict[str, Any]) -> Any:
        task_id = await self.submit(function, arguments)
        await self.wait_all([task_id])
        return await self.read(task_id)

    async def wait_all(self, ids: list[str], progress: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Call wait_for_tasks until everything has ended, as its answers say."""
        while True:
            answer = await self.call("wait_for_tasks", {"ids": ids, "timeout": 20}, progress)
            if not answer.get("remaining"):
                return answer

    async def read(self, task_id: str) -> Any:
        """A whole result, page by page."""
        text, offset = "", 0
        while True:
            page = await self.call("read_output", {"id": task_id, "offset": offset, "limit": 65_536})
            text += page.get("text", "")
            offset = page.get("next_offset", 0)
            if not offset:
                return json.loads(text)

    async def report(self) -> None:
        await self.wait_all([self.report_id])
        text = await self.read(self.report_id)
        self.console.rule("[bold]What it found")
        self.console.print(text, highlight=False, markup=False)


async def _work(agent: Agent, run: Run, home: Path, ledger: Path) -> None:
    """Map over the files, reduce, report; beside it a task that fails first and one that is cancelled."""
    version = await agent.submit("fetch_python_version")
    run.command = await agent.run([sys.executable, "-c", _COUNT], cwd=str(Path(run.files[0]).parent))
    run.gpu = await agent.run([sys.executable, "-c", _SEES_GPUS], needs={"gpus": 1}) if run.has_gpu else ""
    hanging = await agent.submit("wait_for_ever", name="started by mistake")
    await agent.call("cancel_task", {"ids": [hanging]})
    agent.show("cancel_task", hanging)
    start = time.perf_counter()
    mapped = await agent.call(
        "map_task",
        {
            "name": "standard library",
            "task": {
                "function": f"{_PREFIX}.measure",
                "arguments": {"path": {"$item": True}, "ledger": str(ledger)},
            },
            "over": {"items": run.files},
            "reduce": {"function": f"{_PREFIX}.summarise", "arguments": {"files": {"$result": "items"}}},
        },
    )
    agent.map_id = str(mapped["id"])
    agent.show("map_task", f"measure x {len(run.files):,} → summarise: {agent.map_id}")
    reduce_id = str(mapped["keys"]["reduce"])
    graph = await agent.call(
        "submit_graph",
        {
            "name": "findings",
            "tasks": {
                "report": {
                    "function": f"{_PREFIX}.report",
                    "arguments": {"summary": {"$result": reduce_id}, "python": {"$result": version}},
                },
            },
        },
    )
    agent.report_id = str(graph["keys"]["report"])
    agent.show("submit_graph", f"report after {reduce_id} and {version}")
    with _bar(agent.console, len(run.files)) as (bar, line):
        killer = asyncio.create_task(_kill_when_under_way(run, home, ledger, bar, line))
        await agent.wait_all([agent.map_id], lambda text: bar.update(line, description=text))
        run.parallel_seconds = time.perf_counter() - start
        await killer


class _bar:  # noqa: N801 - reads as a statement: with _bar(...) as ...
    """A progress bar over the ledger's lines."""

    def __init__(self, console: Console, total: int) -> None:
        self._progress = Progress(
            TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(), console=console,
        )  # fmt: skip
        self._total = total

    def __enter__(self) -> tuple[Progress, TaskID]:
        self._progress.start()
        return self._progress, self._progress.add_task("measuring", total=self._total)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


async def _kill_when_under_way(run: Run, home: Path, ledger: Path, bar: Progress, line: TaskID) -> None:
    """The engine dies without warning in the middle of the map. Nobody tells the client, or the tasks."""
    while True:
        done = _lines(ledger)
        bar.update(line, completed=done)
        if not run.killed and done >= _PARALLEL_SHARE * len(run.files):
            run.killed = int(Home.find(str(home)).engine_record()["pid"])
            os.kill(run.killed, signal.SIGKILL)
            bar.console.print(f"[bold red]kill -9 {run.killed}[/]: the engine is gone, {done:,} files were measured")
        if done >= len(run.files):
            return
        await asyncio.sleep(0.1)


def _lines(ledger: Path) -> int:
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


async def _prove(agent: Agent, console: Console, run: Run, ledger: Path) -> None:
    """Say what was promised, and look whether it holds."""
    console.rule("[bold]What was promised")
    runs = Counter(await asyncio.to_thread(_entries, ledger))
    lost = [path for path in run.files if runs[path] == 0]
    twice = [path for path, count in runs.items() if count > 1]
    group = await agent.call("get_task", {"id": agent.map_id})
    states = (await agent.call("list_tasks", {"limit": 20}))["counts"]
    engine = int(Home.find(os.fspath(Path(ledger).parent / "home")).engine_record()["pid"])
    checks: list[tuple[str, bool]] = [
        (f"engine {run.killed} was killed with -9; engine {engine} finished the work", engine != run.killed),
        (f"{len(run.files) - len(lost):,} of {len(run.files):,} files measured, {len(lost)} lost", not lost),
        (f"{len(twice)} files measured twice (measure is not declared idempotent)", not twice),
        (f"every task has one outcome: {', '.join(f'{count} {state}' for state, count in states.items())}",
         set(states) <= {"succeeded", "cancelled"} and states.get("cancelled") == 1),
        (f"the map ended as {group['state']}", group["state"] == "succeeded"),
    ]  # fmt: skip
    checks += await _commands(agent, run)
    for text, holds in checks:
        console.print(f"  {'[green]✓[/]' if holds else '[bold red]✗[/]'} {text}", highlight=False)
    run.serial_seconds = await asyncio.to_thread(_serial, run.files)
    console.print(
        f"\n  {run.serial_seconds:.1f} s one file after the other, {run.parallel_seconds:.1f} s through the scheduler "
        f"on {os.cpu_count()} CPUs, the kill and the new engine included.",
        highlight=False,
    )
    failed = [text for text, holds in checks if not holds]
    if failed:
        raise DemoFailed("; ".join(failed))


async def _commands(agent: Agent, run: Run) -> list[tuple[str, bool]]:
    """What the command tasks have written to $MCP_SCHEDULER_RESULT."""
    ids = [run.command, *([run.gpu] if run.gpu else [])]
    await agent.wait_all(ids)
    counted = (await agent.read(run.command))["result"]
    folder = Path(run.files[0]).parent
    size = sum(file.stat().st_size for file in folder.glob("*.py"))
    checks = [(f"a command counted {counted['bytes']:,} bytes in {counted['files']} files", counted["bytes"] == size)]
    if run.gpu:
        seen = (await agent.read(run.gpu))["result"]
        text = f"a command with one GPU saw {seen['gpus']}, of {seen['total'] / 2**30:.0f} GiB, and took 256 MiB on it"
        checks.append((text, seen["gpus"] == 1 and seen["allocated"]))
    return checks


def _entries(ledger: Path) -> list[str]:
    return ledger.read_text(encoding="utf-8").splitlines()


def _serial(files: list[str]) -> float:
    start = time.perf_counter()
    for path in files:
        analysis.measured(path)
    return time.perf_counter() - start
