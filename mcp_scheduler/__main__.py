"""The program `mcp-scheduler`: without a verb the stdio door, otherwise what the verb says.

Each road imports what it needs: the stdio door answers in milliseconds, and the engine knows whether it is alone
before it loads anything heavy.
"""

from __future__ import annotations

import gc
import os
import sys

from mcp_scheduler._version import __version__

TYPE_CHECKING = False  # typing, too, is dear at a client's start
if TYPE_CHECKING:
    from collections.abc import Sequence

MISUSED = 2
FAILED = 1
LOCK_WAIT = 1.0  # seconds in which an engine that is just leaving may let go of the home


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (default: the process's own arguments); answers with its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = words[0] if words and not words[0].startswith("-") else ""
    if verb == "engine":
        return _engine(words[1:])
    if verb == "serve":
        return _serve(words[1:])
    if verb or "_MCP_SCHEDULER_COMPLETE" in os.environ:
        from mcp_scheduler.cli.app import main as command_line  # noqa: PLC0415 - not at a relay's start

        return command_line(words)
    return _door(words)


def _serve(words: list[str]) -> int:
    if {"--help", "-h"} & set(words):
        from mcp_scheduler.options import SERVE_USAGE  # noqa: PLC0415 - the engine does not need it

        return _say(SERVE_USAGE)
    from mcp_scheduler.app import main_serve  # noqa: PLC0415 - heavy

    return main_serve(words)


def _door(words: list[str]) -> int:
    """The stdio door, or, with --embedded, the engine itself on standard input and output."""
    from mcp_scheduler import options  # noqa: PLC0415 - the engine does not need it
    from mcp_scheduler.home import DoorError, Home  # noqa: PLC0415

    if words in (["--help"], ["-h"]):
        return _say(options.USAGE)
    if words == ["--version"]:
        return _say(f"mcp-scheduler {__version__}\n")
    try:
        chosen = options.parse(words)
        hello = chosen.hello("mcp")
    except (options.UsageError, DoorError) as error:
        return _complain(f"{error}\nmcp-scheduler --help tells more", MISUSED)
    home = Home.find(chosen.home)
    if chosen.embedded:
        from mcp_scheduler.app import main_embedded  # noqa: PLC0415 - heavy

        return main_embedded(home, hello)
    if not words and os.isatty(0):
        _complain("this speaks MCP to a program on standard input; `mcp-scheduler help` lists the verbs for people", 0)
    from mcp_scheduler import relay  # noqa: PLC0415

    return relay.main(home, hello)


def _engine(words: list[str]) -> int:
    """The engine process, as a door starts it: first the lock, then the heavy part."""
    from mcp_scheduler import options  # noqa: PLC0415
    from mcp_scheduler.home import EXIT_LOCKED, DoorError, EngineLock, Home  # noqa: PLC0415

    try:
        home = Home.find(options.parse(words).home)
        _detach()
        home.prepare()
        lock = EngineLock.take(home, wait=LOCK_WAIT)
    except options.UsageError as error:
        return _complain(str(error), MISUSED)
    except (DoorError, OSError) as error:
        return _complain(str(error), FAILED)
    if lock is None:
        return EXIT_LOCKED  # quietly: another engine serves this home
    # What is loaded now stays for life: looking for garbage in it takes a tenth of the start. `app` switches it on.
    gc.disable()
    from mcp_scheduler.app import main_engine  # noqa: PLC0415 - heavy, and in vain for whoever lost the lock

    return main_engine(home, lock)


def _detach() -> None:
    """Keep nothing of who started us: no folder busy, no files readable by others, no client's pipe open."""
    os.chdir("/")
    os.umask(0o077)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def _say(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"mcp-scheduler: {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
