"""Accelerators that no sensor of ours can see (AMD, TPU, ...), as the settings declare them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.errors import InvalidRequest

_FIELDS: Final = ("id", "label", "memory", "variable", "value", "watts")
_MOST: Final = 1e6  # watts
_EXAMPLE: Final = (
    'For example {id = "mi300-0", label = "mi300x", memory = 206158430208,'
    ' variable = "HIP_VISIBLE_DEVICES", value = "0"}.'
)


def declared(rows: Iterable[Mapping[str, Any]]) -> tuple[GpuSeen, ...]:
    """Devices without live figures. Each row has `id`, `label`, optionally `memory` (bytes) and `watts` (at work), and
    the environment `variable` and `value` by which a program sees the device alone. Errors: `InvalidRequest`, saying
    what is wrong."""
    found: dict[str, GpuSeen] = {}
    for index, row in enumerate(rows):
        device = _device(index, row)
        if device.uuid in found:
            raise InvalidRequest(f"Two declared devices have the id {device.uuid!r}.")
        found[device.uuid] = device
    return tuple(found.values())


def _device(index: int, row: Mapping[str, Any]) -> GpuSeen:
    unknown = sorted(set(row) - set(_FIELDS))
    if unknown:
        raise InvalidRequest(f"A declared device has no field {unknown[0]!r}.", hint=f"It has {', '.join(_FIELDS)}.")
    for name in ("id", "label", "variable"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise InvalidRequest(f"Declared device {index + 1} needs a text {name!r}.", hint=_EXAMPLE)
    memory = row.get("memory")
    if memory is not None and (not isinstance(memory, int) or memory <= 0):
        raise InvalidRequest(f"The memory of device {row['id']!r} is a number of bytes.", hint=_EXAMPLE)
    watts = row.get("watts")
    if watts is not None and (isinstance(watts, bool) or not isinstance(watts, int | float) or not 0 < watts < _MOST):
        raise InvalidRequest(f"The watts of device {row['id']!r} are a number above 0.", hint=_EXAMPLE)
    return GpuSeen(
        uuid=row["id"],
        index=index,
        name=row["label"],
        label=row["label"],
        total=memory,
        power_limit=None if watts is None else round(watts * 1000),
        live=False,
        variable=row["variable"],
        value=str(row.get("value", "")),
    )
