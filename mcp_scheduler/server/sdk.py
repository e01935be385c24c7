"""Importing the MCP SDK: late, because it takes a second, and by one thread at a time.

Its packages import each other in circles. Two threads that enter the circle at different places see halves of modules,
and one of them fails.
"""

from __future__ import annotations

import importlib
import threading
from typing import Final

_ONE_AT_A_TIME: Final = threading.Lock()


def load_sdk() -> None:
    """Returns when the SDK, and what we build on it, is imported. From then on anybody may import from it. The check of
    arguments, which the first submission needs, comes along."""
    with _ONE_AT_A_TIME:
        importlib.import_module("mcp_scheduler.server.stream")
        importlib.import_module("mcp_scheduler.server.protocol")
        importlib.import_module("jsonschema")
