"""What is known about MCP clients by the name they give: how long they wait for an answer, and whether the agent
behind them has a shell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

LONG_WAIT: Final = 45.0  # seconds: below the 60 s at which patient clients give up
SHORT_WAIT: Final = 4.0  # below the 5 s default of several SDKs
LONGEST_WAIT: Final = 50.0


@dataclass(frozen=True, slots=True)
class Habits:
    """How a client behaves. `wait` is the default of wait_for_tasks in seconds."""

    wait: float = SHORT_WAIT
    has_shell: bool = False


_PATIENT_WITH_SHELL: Final = Habits(LONG_WAIT, has_shell=True)

# Matched as a part of the name, in lower case: "cursor-vscode", "codex-mcp-client", "Visual Studio Code - Insiders".
_KNOWN: Final = {
    "claude-code": _PATIENT_WITH_SHELL,
    "cursor": _PATIENT_WITH_SHELL,
    "vscode": _PATIENT_WITH_SHELL,
    "visual studio code": _PATIENT_WITH_SHELL,
    "codex": _PATIENT_WITH_SHELL,
    "gemini-cli": Habits(has_shell=True),
    "opencode": Habits(has_shell=True),
}


@lru_cache(128)
def habits_of(client: str) -> Habits:
    """The habits of the client that calls itself `client`; the cautious ones for a stranger."""
    name = client.lower()
    return next((habits for part, habits in _KNOWN.items() if part in name), Habits())
