"""Names of tasks and attempts. Chance is an argument: the core itself draws no random numbers."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # no 0/o, 1/l/i: ids are read aloud and retyped
SUFFIX_LENGTH = 8
NAME_LENGTH = 40
_LETTERS = bytes(ord(ALPHABET[value % len(ALPHABET)]) for value in range(256))


class AttemptId(NamedTuple):
    """The `number`-th run of a task, counted from 1. Every effect and report carries it: that is the fence."""

    task: str
    number: int

    def __str__(self) -> str:
        return f"{self.task}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> AttemptId:
        task, _, number = text.rpartition(".")
        return cls(task, int(number))


@lru_cache(maxsize=1024)
def slug(name: str) -> str:
    """The readable part of an id: lower case, `[a-z0-9-]`, at most 40 characters."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:NAME_LENGTH].strip("-")
    return text or "task"


def make_id(name: str, entropy: bytes) -> str:
    """`name` and a letter for each of the eight random bytes of `entropy` (39 bits in all)."""
    return f"{slug(name)}-{entropy[:SUFFIX_LENGTH].translate(_LETTERS).decode()}"
