"""What the tests of the Python door have in common."""

from __future__ import annotations

from pathlib import Path

FUNCTIONS = Path(__file__).with_name("python_door_functions.py")
LIMIT = 30.0  # seconds of a wait


def call(name: str) -> str:
    """A function of theirs, by its whole name."""
    return f"python_door_functions.{name}"
