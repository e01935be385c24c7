"""Policies of other packages: the entry points of the group `mcp_scheduler.policies`.

Each is a policy, or something that makes one when it is called without arguments. One that cannot be used is told of,
and not offered.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import Any, Final

from mcp_scheduler.policies.guarded import Guarded, flaw_of

GROUP: Final = "mcp_scheduler.policies"
log = logging.getLogger("mcp_scheduler.policy")


def found_policies() -> tuple[dict[str, Guarded], dict[str, str]]:
    """Those that can be used by name, and for the others what is wrong with them."""
    good: dict[str, Guarded] = {}
    flaws: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        try:
            loaded: Any = point.load()
            made: Any = loaded() if isinstance(loaded, type) or not hasattr(loaded, "rank") else loaded
            flaw = flaw_of(point.name, made)
        except Exception as error:  # noqa: BLE001 - it is foreign code: whatever it raises, it is told
            made, flaw = None, f"it cannot be loaded: {error!r}"
        if flaw:
            log.warning("The policy %s of %s is not offered: %s.", point.name, point.value, flaw)
            flaws[point.name] = flaw
        else:
            good[point.name] = Guarded(made)
    return good, flaws
