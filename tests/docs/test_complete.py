"""Nothing is left out and nothing is stale: settings, verbs, tools, states, what is not there yet, the version."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import DOCS, ROOT, name_of, pages

from mcp_scheduler import __version__
from mcp_scheduler.cli import app
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.errors import NotYet
from mcp_scheduler.requests import TaskSpec
from mcp_scheduler.server.tools import TOOLS
from mcp_scheduler.service.calls import refuse_later

REFERENCE = DOCS / "reference"
# A value for each field that a task could name, to see which of them are refused.
SAMPLES = {
    "cache": True, "reads": ["a"], "writes": ["a"], "deadline": "1h", "every": "1h", "cron": "0 4 * * *",
    "catch_up": "one", "on_failure": {"function": "f"}, "replicas": 2, "hedge": True, "inputs": ["a"],
    "needs": {"cpus": 1}, "retry": 2, "timeout": 1, "idle_timeout": 1, "after": ["a"], "start_after": "1h",
    "priority": 1, "name": "a", "tags": ["a"], "idempotency_key": "a", "hold": True,
}  # fmt: skip
CALLS = {"chat": {"chat": {"model": "m"}}, "tool": {"tool": "a.b"}}
DEVICES = {"gpus": 1, "gpu_memory": "1GB", "device": "gpu0"}


def generator(page: str):
    if str(REFERENCE) not in sys.path:
        sys.path.insert(0, str(REFERENCE))
    return importlib.import_module(f"generate_{page}")


def test_the_page_of_settings_is_as_the_program():
    assert (REFERENCE / "settings.md").read_text(encoding="utf-8") == generator("settings").page(), "run `make docs`"


def test_every_setting_is_on_its_page():
    sections = {part.splitlines()[0]: part for part in generator("settings").page().split("\n## ")[1:]}
    for setting in generator("settings").names():
        room, _, name = setting.partition(".")
        assert f"| `{name}` |" in sections[f"[{room}]"]


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("cli.md", [f"## {verb}" for verb in app.VERBS]),
        ("tools.md", [f"## {tool}" for tool in TOOLS]),
        ("states.md", [f"| `{name}` |" for name in [*State, *(reason for reason in Reason if reason != "cancelled")]]),
    ],
)
def test_every_verb_tool_state_and_reason_is_on_its_page(page: str, names: list[str]):
    text = (REFERENCE / page).read_text(encoding="utf-8")
    assert not [name for name in names if name not in text]


def test_every_generated_page_is_in_the_index():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for page in REFERENCE.glob("*.md"):
        assert f"(reference/{page.name})" in index


def is_refused(fields: dict[str, object]) -> bool:
    call = {} if fields.keys() & {"chat", "tool"} else {"function": "m.f"}
    try:
        refuse_later(TaskSpec.model_validate({**call, **fields}))
    except NotYet:
        return True
    return False


def test_what_is_not_there_yet_is_what_the_program_refuses():
    section = (DOCS / "explanation" / "design.md").read_text(encoding="utf-8").split("\n## Not yet\n")[1]
    section = section.split("\n## ")[0]
    told = {
        name for row in re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)
    }
    refused = {name for name, value in SAMPLES.items() if is_refused({name: value})}
    refused |= {name for name, fields in CALLS.items() if is_refused(fields)}
    refused |= {f"needs.{name}" for name, value in DEVICES.items() if is_refused({"needs": {name: value}})}
    assert told == refused


def test_every_field_of_a_task_has_a_sample_above():
    runs = {"function", "arguments", "command", "lease", "cwd", "env", "stdin", "ranks"}
    assert TaskSpec.model_fields.keys() == SAMPLES.keys() | CALLS.keys() | runs


def test_the_tests_that_prove_the_promises_are_there():
    named = re.findall(
        r"`((?:[a-z]+/)+test_\w+\.py)`", (DOCS / "explanation" / "design.md").read_text(encoding="utf-8")
    )
    assert named
    assert not [name for name in named if not (ROOT / "tests" / name).exists()]


def test_the_changes_tell_of_this_version():
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [file for file in files if file.is_file()]


def test_no_file_names_a_place_of_one_machine_or_a_registry():
    places = [f"/{name}/" for name in ("work", "root", "tmp/v", "tmp/team")]
    registries = ["index" + "-url", "python" + "hosted.org", "/simple" + "/", "artifact" + "ory"]
    found = [
        f"{name_of(file)}: {word}"
        for file in committed()
        for word in [*places, *registries]
        if word in file.read_text(encoding="utf-8", errors="replace")
    ]
    assert not found


def test_no_page_is_a_stub():
    assert not [name_of(page) for page in pages() if len(page.read_text(encoding="utf-8")) < 400]
