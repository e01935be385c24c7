"""Windows of a long trace, drawn as a published benchmark draws them, so that figures can be compared.

RLScheduler (Zhang et al., SC20) takes `RandomState.randint(length, jobs - length - 1)` of the generator that gym seeds:
a Mersenne Twister whose key is the first eight bytes of the seed's SHA-512. Python's generator is the same one.
"""

from __future__ import annotations

import random
from hashlib import sha512

from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.simulation.trace import Trace

_WORD = 32  # bits that the generator gives at once


def starts(count: int, length: int, jobs: int, seed: int) -> list[int]:
    """Where `count` windows of `length` jobs begin, in a trace of `jobs`."""
    low, high = length, jobs - length - 1
    if count < 1 or length < 1 or low >= high:
        raise InvalidRequest(
            f"{count} windows of {length} jobs cannot be drawn from {jobs}.",
            hint="A window may be a little less than half of the trace.",
        )
    key = sha512(str(seed).encode()).digest()[:8]
    draw = random.Random(int.from_bytes(key, "little"))  # noqa: S311 - repeatable on purpose
    return [_between(draw, low, high) for _ in range(count)]


def windows(trace: Trace, text: str, seed: int) -> list[Trace]:
    """The windows that `text` asks for: `10x1024` is ten of 1,024 jobs."""
    count, _, length = text.partition("x")
    if not count.isdecimal() or not length.isdecimal():
        raise InvalidRequest(f"'{text}' names no windows.", hint="10x1024 is ten windows of 1,024 jobs.")
    places = starts(int(count), int(length), len(trace.jobs), seed)
    return [trace.part(place, int(length)) for place in places]


def _between(draw: random.Random, low: int, high: int) -> int:
    """low <= value < high, by NumPy's way: enough bits, and again while they are too large."""
    span = high - 1 - low
    mask = (1 << span.bit_length()) - 1
    while (value := draw.getrandbits(_WORD) & mask) > span:
        pass
    return low + value
