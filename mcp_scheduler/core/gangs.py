"""Choosing the GPUs of a gang: those whose worst link is the best there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mcp_scheduler.core.seen import GpuSeen

WIDEST: Final = 16  # candidates that are looked at


def best_linked(candidates: Sequence[GpuSeen], count: int) -> tuple[GpuSeen, ...] | None:
    """`count` of the candidates with the largest smallest link between any two; None if there are too few.

    Exact for up to 16 candidates (of more, the first 16 or `count` are looked at). Among equals the earliest win.
    """
    candidates = candidates[: max(WIDEST, count)]
    if len(candidates) < count:
        return None
    if count in (1, len(candidates)):
        return tuple(candidates[:count])
    ranks = [dict(candidate.links) for candidate in candidates]
    levels = {rank for row in ranks for rank in row.values()} | {0}
    for level in sorted(levels, reverse=True):
        peers = [
            sum(
                1 << j
                for j, other in enumerate(candidates)
                if j != i and _rank(ranks, candidates, i, j, other) >= level
            )
            for i in range(len(candidates))
        ]
        found = _clique(peers, count, (1 << len(candidates)) - 1)
        if found:
            return tuple(candidates[i] for i in found)
    return None


def _rank(ranks: list[dict[str, int]], candidates: Sequence[GpuSeen], i: int, j: int, other: GpuSeen) -> int:
    return max(ranks[i].get(other.uuid, 0), ranks[j].get(candidates[i].uuid, 0))


def _clique(peers: list[int], count: int, allowed: int) -> list[int] | None:
    """The first `count` numbers out of `allowed` (a bit each) that are all peers of each other."""
    if not count:
        return []
    while allowed.bit_count() >= count:
        first = (allowed & -allowed).bit_length() - 1
        allowed &= allowed - 1
        rest = _clique(peers, count - 1, allowed & peers[first])
        if rest is not None:
            return [first, *rest]
    return None
