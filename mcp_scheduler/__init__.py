"""The job scheduler that agents talk to.

`function` declares what can be called, `current_task` tells a running call about itself, `Scheduler` is the Python
door. Names are loaded on first use: the first two are light enough for any interpreter that a user's functions run in.
"""

from __future__ import annotations

from mcp_scheduler._version import __version__

TYPE_CHECKING = False  # known to type checkers; `typing` itself would cost more than all of this
if TYPE_CHECKING:
    from typing import Any

    from mcp_scheduler.scheduler import Scheduler
    from mcp_scheduler.sdk.current import current_task
    from mcp_scheduler.sdk.function import function

__all__ = ["Scheduler", "__version__", "current_task", "function"]

_HOMES = {
    "Scheduler": "mcp_scheduler.scheduler",
    "current_task": "mcp_scheduler.sdk.current",
    "function": "mcp_scheduler.sdk.function",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 (only where a name is asked for)

    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
