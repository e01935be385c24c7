"""Runs what the pages show: one shell for a page, in a home of its own, and compares what comes out."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Self

from doc_pages import ROOT, Block, blocks, name_of

LIMIT = 60.0  # seconds for one command: a page that hangs is worse than one that fails
PROMPT = "$ "
MARK = "\x02the command has ended\x02"

_ID = re.compile(r"-[a-z2-9]{8}(?![a-z0-9])")
_TIME = re.compile(r"(?<![\w.])(<1 ms|\d+ ms|\d+\.\d s|\d+s|\d+m\d\ds)(?![\w.])")


class Shell:
    """A bash with `mcp-scheduler` and `python` on its PATH, in an empty folder, with an empty home."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="doc-"))  # short: sockets lie below it
        programs = self.folder / ".programs"
        programs.mkdir()
        _program(programs / "python", "")
        _program(programs / "mcp-scheduler", "-m mcp_scheduler ")
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
        environment = {**kept, "HOME": str(self.folder), "PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "200"}
        self._stop = functools.partial(
            subprocess.run, [programs / "mcp-scheduler", "stop", "--force"], env=environment, capture_output=True
        )
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=self.folder, env=environment, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._stop(timeout=LIMIT)  # not through the shell, which may hang in the command that failed
        finally:
            self._kill()
            self._bash.communicate()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        """The shell with all that it runs in the foreground and the background."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)

    def run(self, command: str) -> tuple[str, int]:
        """What the command prints, both streams as they come, and its exit code."""
        timer = threading.Timer(LIMIT, self._kill)
        timer.start()
        try:
            self._bash.stdin.write(f"{command}\nprintf '\\n{MARK}%d\\n' $?\n")
            self._bash.stdin.flush()
            lines: list[str] = []
            for line in self._bash.stdout:
                if line.startswith(MARK):
                    return "".join(lines).strip("\n"), int(line.removeprefix(MARK))
                lines.append(line)
        finally:
            timer.cancel()
        raise AssertionError(f"`{command}` did not end within {LIMIT:.0f} s; so far: {''.join(lines)}")


def follow(page: Path) -> int:
    """Do what the page says: write its files, run its commands, see what it shows. How many commands there were."""
    count = 0
    with Shell() as shell:
        for block in blocks(page):
            where = f"{name_of(page)}:{block.line}"
            if block.title and block.language != "text":
                (shell.folder / block.title).parent.mkdir(parents=True, exist_ok=True)
                (shell.folder / block.title).write_text(block.text, encoding="utf-8")
            elif block.language == "console":
                for command, expected in steps(block):
                    printed, code = shell.run(command)
                    count += 1
                    if expected:
                        assert fits(expected, printed), (
                            f"{where}: `{command}` should print\n{expected}\n\nnot\n{printed}"
                        )
                    else:
                        assert code == 0, f"{where}: `{command}` ended with {code}: {printed}"
    return count


def steps(block: Block) -> list[tuple[str, str]]:
    """The commands of a block with what it shows below them. A command goes on behind a `\\` at its line's end."""
    found: list[tuple[str, list[str]]] = []
    unfinished = False
    for line in block.text.splitlines():
        if unfinished:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
            unfinished = line.endswith("\\")
        elif line.startswith(PROMPT):
            found.append((line.removeprefix(PROMPT), []))
            unfinished = line.endswith("\\")
        else:
            assert found, f"line {block.line}: output without a command"
            found[-1][1].append(line)
    return [(command, "\n".join(lines).strip("\n")) for command, lines in found]


def fits(expected: str, printed: str) -> bool:
    """Whether the text is what was shown: `...` stands for anything, any id for any, any time for any, and blanks
    in a row for one."""
    parts = [re.escape(_normal(part)) for part in expected.split("...")]
    return re.fullmatch(".*".join(parts), _normal(printed), re.DOTALL) is not None


def _normal(text: str) -> str:
    return re.sub(r"[ \t]+", " ", _TIME.sub("TIME", _ID.sub("-ID", text)))


def _program(path: Path, words: str) -> None:
    path.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} {words}"$@"\n')
    path.chmod(0o755)
