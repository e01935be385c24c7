"""The outside ledger: what clients asked for, what was acknowledged to them, which ends they saw."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Ledger:
    """Lines are appended by one write each and never changed: the scheduler knows nothing of this file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, what: str, **facts: Any) -> None:
        os.write(self._file, json.dumps({"what": what, **facts}).encode() + b"\n")

    def read(self, what: str) -> Iterator[dict[str, Any]]:
        """Every line of this kind, oldest first."""
        with self._path.open(encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line)
                if entry["what"] == what:
                    yield entry

    def close(self) -> None:
        os.close(self._file)
