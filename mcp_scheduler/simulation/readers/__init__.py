"""Traces from files. What a file is can be told by its name: `.swf`, `.swf.gz`, `.rcp`, `.json`; an archive or a folder
has many projects, or the two lists of openb."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.simulation.readers import openb, ours, psplib, swf
from mcp_scheduler.simulation.trace import Trace

KINDS = "Traces are .swf and .swf.gz, .rcp, .json, or a folder or .tar.gz of .rcp or of openb's two lists."
_KNOWN = (".swf", ".rcp", ".json", ".csv")


def read(path: Path) -> list[Trace]:
    """The traces at `path`: many where it is a folder or an archive of projects, otherwise one."""
    try:
        texts = _texts(path)
    except (OSError, EOFError, tarfile.TarError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}.", hint=KINDS) from error
    projects = {name: text for name, text in texts.items() if name.endswith(".rcp")}
    if projects:
        return _projects(projects, texts)
    lists = [name for name in texts if name.endswith(".csv")]
    if lists:
        return [_openb(path.name, lists, texts)]
    for name, text in texts.items():
        if name.endswith(".swf"):
            return [swf.read(PurePosixPath(name).name, text.splitlines())]
        return [ours.read(PurePosixPath(name).name, text)]
    raise InvalidRequest(f"{path} has no trace.", hint=KINDS)


def _projects(projects: Mapping[str, str], texts: Mapping[str, str]) -> list[Trace]:
    """Each project is a trace of its own. Beside them, `optimum.csv` tells their optima."""
    optima: dict[str, float] = {}
    for name, text in texts.items():
        if name.endswith("optimum.csv"):
            try:
                optima = psplib.optima(text.splitlines())
            except (KeyError, ValueError) as error:
                raise InvalidRequest(f"{name} has no columns `instance` and `optimum`: {error!r}.") from error
    traces: list[Trace] = []
    for name in sorted(projects):
        stem = PurePosixPath(name).stem
        trace = psplib.read(stem, projects[name])
        traces.append(Trace(stem, trace.jobs, trace.machines, optimum=optima.get(stem)))
    return traces


def _openb(name: str, lists: list[str], texts: Mapping[str, str]) -> Trace:
    nodes = [text for text in lists if "node" in PurePosixPath(text).name]
    pods = [text for text in lists if "pod" in PurePosixPath(text).name]
    if len(nodes) != 1 or len(pods) != 1:
        raise InvalidRequest(f"{name} has the lists {sorted(lists)}.", hint="Give one list of nodes and one of pods.")
    return openb.read(name, texts[nodes[0]].splitlines(), texts[pods[0]].splitlines())


def _texts(path: Path) -> dict[str, str]:
    """The text of every file that may be of a trace, by its name."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in _KNOWN)
        return {file.as_posix(): file.read_text(encoding="utf-8") for file in files}
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        return _members(path)
    if path.name.endswith(".gz"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return {path.name.removesuffix(".gz"): file.read()}
    if path.suffix not in _KNOWN:
        raise InvalidRequest(f"What {path.name} is cannot be told by its name.", hint=KINDS)
    return {path.name: path.read_text(encoding="utf-8")}


def _members(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and PurePosixPath(member.name).suffix in _KNOWN:
                file = archive.extractfile(member)
                assert file is not None  # it is a file
                texts[member.name] = file.read().decode("utf-8")
    return texts
