"""A machine with GPUs for tests: C stand-ins for NVIDIA's libraries, compiled once, and the scenario they answer from.

The real binding (pynvml) runs on it. In this process the library is loaded before pynvml looks for its own; a child
process finds it through `Scenario.environment()`, and one that calls libcuda there takes memory that the first shows.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

GIB = 2**30
MIB = 2**20
_FOLDER = Path(__file__).parent


def compile_library(folder: Path, *flags: str, name: str = "libnvidia-ml.so.1", source: str = "fake_nvml.c") -> Path:
    """Build a stand-in library in `folder`; its path."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.fail("A C compiler (gcc) is needed: the GPU tests compile a stand-in for NVIDIA's libraries.")
    target = folder / name
    order = [compiler, "-shared", "-fPIC", "-O1", *flags, f"-Wl,-soname,{name}", "-o", target, _FOLDER / source]
    built = subprocess.run([str(word) for word in order], capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.fail(f"The stand-in for {name} does not compile:\n{built.stderr}")
    return target


class Scenario:
    """What the stand-in library answers. Every method changes the world at once, for all processes that look."""

    def __init__(self, file: Path, library: Path) -> None:
        self.file = file
        self.library = library
        self.driver = "550.54.15"
        self.gpus: dict[str, dict[str, object]] = {}
        self.instances: dict[str, dict[str, object]] = {}
        self.processes: list[dict[str, object]] = []
        self._lines: dict[tuple[object, ...], tuple[str, dict[str, object]]] = {}
        self._serial = 0
        self.save()

    def environment(self) -> dict[str, str]:
        """Variables with which another program finds the stand-in and this scenario."""
        return {"FAKE_NVML_SCENARIO": str(self.file), "LD_LIBRARY_PATH": str(self.library.parent)}

    # -- devices

    def gpu(self, name="NVIDIA H100 80GB HBM3", *, total=80 * GIB, uuid="", **fields) -> str:
        """Add a GPU; its uuid. Fields: used, reserved, util, bus, temperature, power, power_limit, energy, mig,
        recovery, remap."""
        index = len(self.gpus)
        uuid = uuid or f"GPU-{index:08x}-1111-2222-3333-{index:012x}"
        fields = {"used": 0, "reserved": 0, "util": 0, "bus": f"0000:{index + 1:02x}:00.0", **fields}
        self.gpus[uuid] = {"uuid": uuid, "name": name, "total": total, **fields}
        self.save()
        return uuid

    def instance(self, parent: str, *, total=10 * GIB, uuid="", profile="1g.10gb", **fields) -> str:
        """Add a MIG instance to a GPU."""
        self.gpus[parent]["mig"] = 1
        uuid = uuid or f"MIG-{len(self.instances):08x}-aaaa-bbbb-cccc-000000000000"
        name = f"{self.gpus[parent]['name']} MIG {profile}"
        self.instances[uuid] = {"uuid": uuid, "parent": parent, "name": name, "total": total, "used": 0, **fields}
        self.save()
        return uuid

    def set(self, uuid: str, **fields) -> None:
        """Change fields of a device; None stands for what the driver does not know."""
        row = self.gpus[uuid] if uuid in self.gpus else self.instances[uuid]
        row.update({key: "N/A" if value is None else value for key, value in fields.items()})
        self.save()

    def remove(self, uuid: str) -> None:
        """The device is no longer there at all."""
        (self.gpus if uuid in self.gpus else self.instances).pop(uuid)
        self.save()

    def process(self, uuid: str, pid: int, memory: int | None, kind="compute", *, counts=True) -> None:
        """A process on a device. With `counts` the device's used memory grows by it."""
        row = {"uuid": uuid, "pid": pid, "memory": "N/A" if memory is None else memory, "kind": kind}
        self.processes.append(row)
        if counts and memory:
            device = self.gpus[uuid] if uuid in self.gpus else self.instances[uuid]
            device["used"] = int(str(device["used"])) + memory
        self.save()

    def end_process(self, pid: int) -> None:
        """The process is gone, and the memory it had is free."""
        for row in [row for row in self.processes if row["pid"] == pid]:
            self.processes.remove(row)
            device = self.gpus.get(str(row["uuid"])) or self.instances[str(row["uuid"])]
            if row["memory"] != "N/A":
                device["used"] = max(0, int(str(device["used"])) - int(str(row["memory"])))
        self.save()

    def link(self, one: str, other: str, *, links=1) -> None:
        """NVLinks between two GPUs."""
        for here, there in ((one, other), (other, one)):
            self.link_to(here, str(self.gpus[there]["bus"]), links=links)

    def link_to(self, uuid: str, bus: str, *, links=1) -> None:
        """NVLinks from a GPU to what sits at this bus address (a GPU, or a switch)."""
        taken = sum(1 for key in self._lines if key[:2] == ("nvlink", uuid))
        for number in range(taken, taken + links):
            self._put(("nvlink", uuid, number), {"uuid": uuid, "link": number, "to": bus})

    def near(self, one: str, other: str, level: int) -> None:
        """How close two GPUs are over PCI, in NVML's numbers (10 one switch .. 50 across sockets)."""
        self._put(("near", one, other), {"a": one, "b": other, "level": level})

    # -- what goes wrong

    def fail(self, call: str, code: int, uuid="") -> None:
        """From now on this call (for this device) answers with an error; "*" is every call on the device."""
        self._put(("error", call, uuid), {"call": call, "code": code, "uuid": uuid})

    def heal(self, call: str, uuid="") -> None:
        self._lines.pop(("error", call, uuid))
        self.save()

    def hang(self, call: str) -> None:
        """From now on this call does not return."""
        self._put(("hang", call), {"call": call})

    def go_on(self) -> None:
        """No call hangs any more; those that did return."""
        self._lines = {key: line for key, line in self._lines.items() if key[0] != "hang"}
        self.save()

    def xid(self, uuid: str, number: int) -> None:
        """The driver reports an Xid error to those who listen."""
        self._serial += 1
        self._put(("xid", self._serial), {"serial": self._serial, "uuid": uuid, "xid": number})

    def _put(self, key: tuple[object, ...], fields: dict[str, object]) -> None:
        self._lines[key] = (str(key[0]), fields)
        self.save()

    def save(self) -> None:
        rows: list[tuple[str, dict[str, object]]] = [("driver", {"version": self.driver})]
        rows += [("gpu", row) for row in self.gpus.values()]
        rows += [("mig", row) for row in self.instances.values()]
        rows += [("process", row) for row in self.processes]
        rows += self._lines.values()
        text = "".join(
            "\t".join([kind, *(f"{key}={value}" for key, value in row.items())]) + "\n" for kind, row in rows
        )
        draft = self.file.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(self.file)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory) -> Path:
    """The stand-in, loaded into this process in place of NVIDIA's library; beside it one for libcuda."""
    folder = tmp_path_factory.mktemp("nvml")
    compile_library(folder, name="libcuda.so.1", source="fake_cuda.c")
    library = compile_library(folder)
    ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)  # a later request for libnvidia-ml.so.1 is answered with it
    return library


@pytest.fixture
def scenario(nvml_library, tmp_path, monkeypatch) -> Scenario:
    """A machine with a driver and no GPU yet."""
    made = Scenario(tmp_path / "scenario", nvml_library)
    monkeypatch.setenv("FAKE_NVML_SCENARIO", str(made.file))
    for name in ("CUDA_VISIBLE_DEVICES", "MCP_SCHEDULER_COOKIE", "MCP_SCHEDULER_ATTEMPT"):
        monkeypatch.delenv(name, raising=False)
    return made
