"""The class of a GPU as people say it: `h100-80gb`, `rtx-3090-24gb`, `a100-40gb-mig-1g-5gb`."""

from __future__ import annotations

import re
from typing import Final

_NOISE: Final = re.compile(
    r"\b(nvidia|geforce|tesla|quadro|graphics|generation|laptop|gpu|pcie?|sxm\d?|hbm\d\w*|nvl|\d+ ?gb)\b"
)
_SIZES: Final = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 94, 96, 128, 141, 180, 192, 288)
_UNIFIED: Final = re.compile(r"\b(gb10|thor|orin|xavier|tegra|jetson)\b", re.IGNORECASE)


def label(name: str, total: int | None) -> str:
    """`name` as the driver has it, `total` in bytes. The size is the one on the box: drivers tell a little less."""
    name, _, profile = name.lower().partition(" mig ")
    words = re.sub(r"[^a-z0-9]+", "-", _NOISE.sub(" ", name.replace("-", " "))).strip("-") or "gpu"
    parts = [words]
    if profile:
        parts += ["mig", re.sub(r"[^a-z0-9]+", "-", profile).strip("-")]
    elif total and not is_unified(name):
        gibs = total / 2**30
        parts.append(f"{next((size for size in _SIZES if size >= gibs - 0.1), round(gibs))}gb")
    return "-".join(parts)


def is_unified(name: str) -> bool:
    """Whether the GPU has no memory of its own but shares the host's. Told by the name alone: that a discrete card's
    driver does not say how much memory it has is no sign of it."""
    return _UNIFIED.search(name) is not None
