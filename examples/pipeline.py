"""Data, model and hybrid parallelism in one program: `python examples/pipeline.py`.

Texts are cut into words, the words become vectors, the vectors get labels. Where there are GPUs, the last two stages
take one each, and keep what they have loaded on it; elsewhere they take CPUs.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from mcp_scheduler import Scheduler, current_task, function

TEXTS = ["the cat sat", "a dog ran far", "", "the end"]
LABELS = ["calm", "lively", "neutral"]
PREVIOUS = {"$result": "previous"}


@function(idempotent=True)
def cut(text: str) -> list[str]:
    """Cut a text into words."""
    if not text:
        raise ValueError("there is no text")
    return text.split()


@function(idempotent=True)
def embed(words: list[str]) -> list[float]:
    """Make a vector of words: a model would do it better."""
    digest = hashlib.sha256(" ".join(words).encode()).digest()
    current_task().progress(1.0, f"{len(words)} words")
    return [byte / 255 for byte in digest[:3]]


@function(idempotent=True)
def label(vector: list[float], text: str) -> dict[str, str]:
    """Choose a label for a vector."""
    return {"text": text, "label": LABELS[vector.index(max(vector))]}


@function(idempotent=True)
def count(labelled: list[dict[str, str]]) -> dict[str, int]:
    """Count labels."""
    found = [one["label"] for one in labelled]
    return {name: found.count(name) for name in LABELS if name in found}


async def main() -> None:
    async with Scheduler.open(functions=[__file__]) as scheduler:
        has_gpus = any(node.devices for node in (await scheduler.load()).nodes)
        model: dict[str, Any] = {"needs": {"gpus": 1}} if has_gpus else {}
        full = [text for text in TEXTS if text]

        # Data parallel: one function, many items, side by side on whatever is free.
        words = await scheduler.map("pipeline.cut", full, argument="text")
        print("data:", await words.result())

        # Model parallel: the parts of one model, each on a device of its own; an item goes from one to the next.
        stages = [
            {"function": "pipeline.embed", "arguments": {"words": PREVIOUS}, **model},
            {"function": "pipeline.label", "arguments": {"vector": PREVIOUS, "text": {"$item": True}}, **model},
        ]
        one = await scheduler.map("pipeline.cut", full[:1], argument="text", stages=stages)
        print("model:", await one.result())

        # Hybrid: many items are under way in all of the stages at once, and what fails stops no other.
        counted = {"function": "pipeline.count", "arguments": {"labelled": {"$result": "items"}}}
        many = await scheduler.map("pipeline.cut", full, argument="text", stages=stages, reduce=counted)
        print("hybrid:", (await many.result())[-1])
        some = await scheduler.map("pipeline.cut", TEXTS, argument="text", stages=stages)
        await some.wait()
        print("one fails:", [found and found["label"] for found in await scheduler.full_result(some.id)])


if __name__ == "__main__":
    asyncio.run(main())
