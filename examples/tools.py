"""Functions for agents: `mcp-scheduler --functions examples/tools.py`. They need only the standard library."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import statistics
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from mcp_scheduler import current_task, function

CHUNK = 1 << 20


@function(idempotent=True)
def count_words(path: Path, most: int = 20) -> dict[str, Any]:
    """Count the words of a text file: how many in all, how many different ones, and the most frequent."""
    words: Counter[str] = Counter()
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words.update(word.strip(".,;:!?\"'()[]").lower() for word in line.split())
    words.pop("", None)
    return {"words": words.total(), "different": len(words), "most_frequent": dict(words.most_common(most))}


@function(idempotent=True)
def summarize_csv(path: Path, column: Annotated[str, "name in the file's first row"]) -> dict[str, Any]:
    """Summarize a numeric column of a CSV file: count, mean, median, extremes and standard deviation."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if column not in (rows.fieldnames or ()):
            raise ValueError(f"{path.name} has no column {column!r}; it has {', '.join(rows.fieldnames or ())}")
        numbers = [float(row[column]) for row in rows if row[column]]
    if not numbers:
        raise ValueError(f"column {column!r} of {path.name} is empty")
    return {
        "count": len(numbers), "mean": statistics.fmean(numbers), "median": statistics.median(numbers),
        "least": min(numbers), "most": max(numbers), "deviation": statistics.pstdev(numbers),
    }  # fmt: skip


@function(idempotent=True, memory="100MB")
def hash_folder(
    folder: Path, pattern: str = "**/*", algorithm: Literal["sha256", "sha1", "md5"] = "sha256"
) -> dict[str, str]:
    """Hash the files of a folder, to find what has changed or is there twice. Tells its progress."""
    files = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    found: dict[str, str] = {}
    for number, path in enumerate(files):
        digest = hashlib.new(algorithm)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        found[str(path.relative_to(folder))] = digest.hexdigest()
        current_task().progress((number + 1) / len(files), path.name)
    return found


@function(retry={"max_attempts": 4, "delay": "2s"}, timeout="60s", idempotent=True, tags=["network"])
def fetch(url: str) -> dict[str, Any]:
    """Download a URL into the task's folder: the file, its size and its type. Tried again when the network fails."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url!r} is no http address")
    request = urllib.request.Request(url, headers={"User-Agent": "mcp-scheduler-example"})  # noqa: S310 (checked above)
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 (checked above)
        target = current_task().folder / (Path(reply.url.partition("?")[0]).name or "index.html")
        with target.open("wb") as file:
            while chunk := reply.read(CHUNK):
                file.write(chunk)
        return {"file": str(target), "bytes": target.stat().st_size, "type": reply.headers.get_content_type()}


@function(cpus=1, timeout="10m")
def count_primes(below: int, seconds_between_checkpoints: float = 5.0) -> int:
    """Count the primes below a number. Writes checkpoints: a further attempt goes on where the last one was stopped."""
    task = current_task()
    checkpoint = task.folder / "checkpoint.json"
    number, found = json.loads(checkpoint.read_text()) if checkpoint.exists() else (2, 0)
    next_checkpoint = time.monotonic() + seconds_between_checkpoints
    while number < below:
        found += all(number % divisor for divisor in range(2, int(number**0.5) + 1))
        number += 1
        if time.monotonic() >= next_checkpoint or task.cancelled:
            checkpoint.write_text(json.dumps([number, found]))
            task.progress(number / below, f"{found} primes below {number}")
            next_checkpoint = time.monotonic() + seconds_between_checkpoints
    return found


@function(retry=2, timeout="2m")
async def check_ports(host: str, ports: list[int], patience: float = 2.0) -> dict[str, bool]:
    """Tell which TCP ports of a host accept connections; all are tried at once."""

    async def is_open(port: int) -> bool:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), patience)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    answers = await asyncio.gather(*map(is_open, ports))
    return {str(port): answer for port, answer in zip(ports, answers, strict=True)}
