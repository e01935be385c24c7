"""How many retries a function has left: where everything fails, trying everything again makes it worse.

A bucket of tokens for each principal and target. It is full at first; a retry takes a token, and gives it back if it
succeeds; every first attempt adds a share of one, and time adds a few a minute. So retries are a share of the traffic
of late, a few are always allowed, and those that help cost nothing. After the retry budgets of Finagle (20 % of the
requests and a minimum, https://twitter.github.io/finagle/guide/Clients.html#retries) and the retry throttling of gRPC
(successes refill, https://github.com/grpc/proposal/blob/master/A6-client-retries.md).

A task that finds no token fails at once: to wait for one would queue up the retries of ten thousand failures for days,
and nobody would hear of them. A batch that could not be committed may take its tokens twice. The next engine goes on
with the buckets: an `Account`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mcp_scheduler.core import account

KEPT: Final = 4096  # buckets; beyond that the one that was used longest ago is taken to be full again
TOLD: Final = 600.0  # seconds for which a refusal is worth an alert

Key = tuple[str, str]  # principal and target


@dataclass(slots=True)
class Bucket:
    """`tokens` as they were at `at`. `refused`: tasks that failed for want of a token, since it was last forgotten."""

    tokens: float
    at: float
    refused: int = 0
    refused_at: float = 0.0


class RetryBudget:
    """The buckets of those that have retried. `share`: tokens for each first attempt; `per_minute`: tokens that time
    adds; `burst`: what a bucket holds at most."""

    __slots__ = ("buckets", "burst", "per_minute", "share", "touched")

    def __init__(self, share: float = 0.2, per_minute: float = 10.0, burst: int = 100) -> None:
        self.share, self.per_minute, self.burst = share, per_minute, burst
        self.buckets: OrderedDict[Key, Bucket] = OrderedDict()
        self.touched: set[account.Key] = set()

    def add(self, key: Key, tokens: float) -> None:
        """A first attempt has ended (`share` of a token), or a retry with success (one)."""
        bucket = self.buckets.get(key)
        if bucket is not None:
            bucket.tokens = min(self.burst, bucket.tokens + tokens)
            self.touched.add(key)

    def take(self, key: Key, now: float) -> bool:
        """Whether there is a token for one more retry; if so, it is gone."""
        bucket = self.buckets.get(key)
        if bucket is None:
            bucket = self.buckets[key] = Bucket(float(self.burst), now)
            if len(self.buckets) > KEPT:
                self.touched.add(self.buckets.popitem(last=False)[0])
        else:
            self.buckets.move_to_end(key)
        self.touched.add(key)
        bucket.tokens, bucket.at = self._now(bucket, now), now
        if bucket.tokens < 1.0:
            bucket.refused = 1 if now - bucket.refused_at > TOLD else bucket.refused + 1
            bucket.refused_at = now
            return False
        bucket.tokens -= 1.0
        return True

    def left(self, key: Key, now: float) -> float | None:
        """Tokens there are; None for one that has never retried: its bucket is full."""
        bucket = self.buckets.get(key)
        return None if bucket is None else self._now(bucket, now)

    def spent(self, now: float) -> Iterator[tuple[Key, Bucket]]:
        """Where tasks were refused of late."""
        return (
            (key, bucket) for key, bucket in self.buckets.items() if bucket.refused and now - bucket.refused_at < TOLD
        )

    def limits(self) -> str:
        """What is allowed, in words."""
        return f"{self.share * 100:g} % of its first attempts and {self.per_minute:g} a minute, {self.burst} in a row"

    # --- an account

    def row(self, key: account.Key) -> list[float] | None:
        bucket = self.buckets.get((key[0], key[1]))
        return None if bucket is None else [bucket.tokens, bucket.at, bucket.refused, bucket.refused_at]

    def take_up(self, key: account.Key, row: list[float], now: float) -> None:
        """The settings may allow less than they did."""
        tokens, at, refused, refused_at = row
        bucket = Bucket(min(float(tokens), self.burst), min(float(at), now), int(refused), min(float(refused_at), now))
        self.buckets[key[0], key[1]] = bucket

    def _now(self, bucket: Bucket, now: float) -> float:
        return min(self.burst, bucket.tokens + max(0.0, now - bucket.at) / 60.0 * self.per_minute)


def refusal(target: str, budget: RetryBudget) -> str:
    """Why a task that allows another attempt gets none, and what to do."""
    return (
        f"Not retried: {target} fails so often that its retries are used up ({budget.limits()}). Mend what fails, then"
        " update_task retry."
    )


def with_refusal(error: str, told: str) -> str:
    """The error of the last attempt with the refusal on its first line: lists show no more of it."""
    first, line, rest = error.partition("\n")
    return f"{first.rstrip()} {told}{line}{rest}".strip()
