"""Every policy by its name."""

from __future__ import annotations

from typing import Final

from mcp_scheduler.core.policy import Policy
from mcp_scheduler.policies.deadlines import EDF
from mcp_scheduler.policies.order import FAIR_SHARE, FIFO, LOAD_AWARE, PRIORITY, ROUND_ROBIN
from mcp_scheduler.policies.weighing import BALANCED, SHORTEST

POLICIES: Final[dict[str, Policy]] = {
    policy.name: policy
    for policy in (BALANCED, FIFO, ROUND_ROBIN, PRIORITY, LOAD_AWARE, SHORTEST, EDF, FAIR_SHARE)
}
