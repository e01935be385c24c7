"""What a person should hear of the whole: sentences that say what is wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from mcp_scheduler.core.cluster import Cluster


def alerts_of(cluster: Cluster, now: float) -> Iterator[str]:
    """What the decision itself knows of."""
    yield from _retries(cluster, now)


def _retries(cluster: Cluster, now: float) -> Iterator[str]:
    budget = cluster.retry_budget
    for (principal, target), bucket in budget.spent(now):
        tasks = "1 task" if bucket.refused == 1 else f"{bucket.refused} tasks"
        yield (
            f"The retries of {target} ({principal}) are used up: {tasks} failed without another attempt. Mend what"
            " fails, then update_task retry."
        )
