"""A real engine, with real workers and commands, over a machine whose GPUs the test makes up."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest

import mcp_scheduler
from mcp_scheduler.errors import Unavailable
from mcp_scheduler.hello import capture_environment, make_hello
from mcp_scheduler.home import Home
from mcp_scheduler.owner import OwnerClient

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes" / "nvml"))  # other rooms use the stand-in too

from fake_nvml import nvml_library, scenario

__all__ = ["nvml_library", "scenario"]

LIMIT = 60.0
FUNCTIONS = '''
    import os
    from pathlib import Path

    from mcp_scheduler import current_task, function


    def told():
        return {
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "order": os.environ.get("CUDA_DEVICE_ORDER"),
            "devices": list(current_task().devices),
            "pid": os.getpid(),
        }


    @function
    def look() -> dict:
        """What this process is shown."""
        return told()


    @function
    def hold(began: str, gate: str) -> dict:
        """Say that it has begun, then wait at the gate."""
        Path(began).write_text("begun")
        Path(gate).read_text()
        return told()


    @function
    def exhaust() -> None:
        """As a framework fails that finds no memory on the GPU."""
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
'''


class GpuEngine:
    """An engine of its own home. It finds the stand-in library, and its locks where the test wants them."""

    def __init__(self, folder, environ, locks, settings):
        self.folder = folder
        folder.mkdir()
        self.home = Home(str(folder / "h"))
        self.home.prepare()
        Path(self.home.file("config.toml")).write_text(settings)
        self.functions = folder / "gpu_tools.py"
        self.functions.write_text(textwrap.dedent(FUNCTIONS))
        root = str(Path(mcp_scheduler.__file__).parents[1])
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MCP_SCHEDULER", "CUDA"))}
        self.environ = kept | {"PYTHONPATH": root, "MCP_SCHEDULER_GPU_LOCKS": str(locks)} | environ
        self.client = None
        self.process = None

    def start(self):
        words = [sys.executable, "-m", "mcp_scheduler", "engine", "--home", self.home.path]
        log = open(Path(self.folder, "engine.out"), "ab")  # noqa: SIM115 - the process keeps it
        began = time.monotonic()
        self.process = subprocess.Popen(words, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        environment = capture_environment(python=sys.executable, functions=[str(self.functions)], environ=self.environ)
        hello = make_hello("owner", client="test", any_command=True, environment=environment, environ={})
        if self.client is not None:
            self.client.close()
        self.client = OwnerClient(self.home, hello, start=False)
        self.until(self._answers, "the engine answers")
        self.took = time.monotonic() - began
        return self

    def _answers(self):
        assert self.process.poll() is None, Path(self.folder, "engine.out").read_text()
        try:
            return self.client.call("status", {})
        except Unavailable:
            return None

    def kill(self):
        """kill -9 of the engine alone."""
        self.client.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LIMIT)

    def end(self):
        if self.process is None or self.process.poll() is not None:
            self.start()  # what a killed engine left is ended by the next
        with contextlib.suppress(Unavailable):  # the test has stopped it, and it is on its way out
            self.client.call("stop", {"force": True}, timeout=LIMIT)
        self.client.close()
        self.process.wait(LIMIT)

    # -- what a person asks

    def submit(self, function=None, arguments=None, *, command=None, **needs):
        call = {"command": command} if command else {"function": f"gpu_tools.{function}", "arguments": arguments or {}}
        return self.client.call("submit", {**call, "needs": needs})["tasks"][0]["id"]

    def task(self, task):
        return self.client.call("get", {"id": task, "detail": True})

    def result(self, task):
        assert self.client.call("wait", {"ids": [task], "timeout": LIMIT})["complete"], self.task(task)
        return self.client.call("result", {"id": task})

    def hold(self, name, **needs):
        """A task on GPUs that has begun; a function that lets it end."""
        began, gate = self.folder / f"{name}.began", self.folder / f"{name}.gate"
        os.mkfifo(gate)
        task = self.submit("hold", {"began": str(began), "gate": str(gate)}, **needs)
        self.until(began.exists, f"{name} begins: {self.task(task)}")
        return task, lambda: gate.write_text("on")

    def load(self):
        return self.client.call("load", {})

    def devices(self):
        return self.load()["nodes"][0].get("devices", [])

    def until(self, condition, what):
        end = time.monotonic() + LIMIT
        while not (found := condition()):
            assert time.monotonic() < end, f"not in time: {what}; {Path(self.folder, 'engine.out').read_text()[-2000:]}"
            threading.Event().wait(0.02)
        return found

    def until_why(self, task, words):
        """Wait until the task waits for a reason with these words."""
        return self.until(
            lambda: words in self.task(task).get("why", ""), f"{words!r} in {json.dumps(self.task(task))}"
        )


@pytest.fixture
def engines(scenario):
    """Make engines over the scenario; all of them, and what they started, are ended with the test."""
    folder = Path(tempfile.mkdtemp(prefix="gpu-"))
    made = []

    def make(name="a", *, settings="", environ=None):
        settings = "[pool]\ncpus = 8\n" + settings
        found = GpuEngine(folder / name, scenario.environment() | (environ or {}), folder / "locks" / "gpus", settings)
        made.append(found)
        return found

    yield make
    for engine in made:
        engine.end()
    shutil.rmtree(folder)


@pytest.fixture
def start(engines):
    """An engine that runs."""
    return lambda *words, **options: engines(*words, **options).start()
