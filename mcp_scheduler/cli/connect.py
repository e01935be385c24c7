"""The way from a verb to the engine."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mcp_scheduler.errors import Unavailable
from mcp_scheduler.hello import capture_environment, make_hello
from mcp_scheduler.home import DoorError, Home
from mcp_scheduler.owner import OwnerClient, to_error


def engine(
    home: Path | None,
    *,
    start: bool = True,
    python: str | None = None,
    functions: Iterable[str] = (),
    principal: str = "",
) -> OwnerClient:
    """A door to the home's engine, opened at its first call; with `start`, an engine is started where none runs.

    Whoever sits at this shell may run every command without us: the grant is any command.
    """
    environment = captured(python, functions)
    hello = make_hello("owner", client="cli", principal=principal, any_command=True, environment=environment)
    return OwnerClient(Home.find(str(home or "")), hello, start=start)


def captured(python: str | None, functions: Iterable[str]) -> dict[str, Any]:
    """The environment of this shell, as its tasks will see it. `InvalidRequest` if there is no such interpreter."""
    try:
        return capture_environment(python=python or "", functions=functions)
    except DoorError as error:
        raise to_error(error.code, error.message, error.hint) from None


def is_engine_running(home: Path | None) -> bool:
    """Whether somebody listens on the home's socket. An engine that hangs runs, too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(Home.find(str(home or "")).engine_address())
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except BlockingIOError:
            return True  # it has more callers than it can take right now
        except DoorError as error:
            raise to_error(error.code, error.message, error.hint) from None
        except OSError as error:
            raise Unavailable(f"The engine's socket cannot be used: {error.strerror}.") from None
    return True
