"""Figures side by side: as rows of text, as Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_scheduler.simulation.experiment import Outcome
from mcp_scheduler.simulation.figures import kind

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_LARGE: Final = 100


def rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """A row for each figure: its title, then its value under each policy; means of several runs with their interval."""
    keys = list(dict.fromkeys(key for outcome in outcomes for key in outcome.together))
    return [(kind(key).title, *(_cell(outcome, key) for outcome in outcomes)) for key in keys]


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The same as a Markdown table."""
    head = ["", *(outcome.policy for outcome in outcomes)]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * len(outcomes)]
    lines += ["| " + " | ".join(row) + " |" for row in rows(outcomes)]
    return "\n".join(lines) + "\n"


def as_json(outcomes: Sequence[Outcome], setting: Mapping[str, Any]) -> dict[str, Any]:
    """Everything as JSON: `setting` (what was run), and for each policy the figures together and of each run."""
    return {
        **setting,
        "policies": [
            {
                "policy": outcome.policy,
                "figures": outcome.together,
                "runs": [
                    {"trace": run.trace.name, **own} for run, own in zip(outcome.runs, outcome.figures, strict=True)
                ],
            }
            for outcome in outcomes
        ],
    }


def shown(value: float, unit: str) -> str:
    """A figure as a person reads it."""
    match unit:
        case "s":
            return _seconds(value)
        case "%":
            return f"{value * 100:.2f} %"
        case "µs":
            return f"{value:,.0f} µs"
        case "kJ":
            return f"{value:,.3g} kJ" if value < _LARGE else f"{value:,.0f} kJ"
        case "x":
            return f"{value:,.2f}"
        case _:
            return f"{value:,.0f}"


def _cell(outcome: Outcome, key: str) -> str:
    if key not in outcome.together:
        return ""
    text = shown(outcome.together[key], kind(key).unit)
    sure = outcome.sureness(key) if kind(key).together == "mean" and key.endswith("_mean") else None
    return text if sure is None else f"{text} ({shown(sure[0], kind(key).unit)} to {shown(sure[1], kind(key).unit)})"


def _seconds(value: float) -> str:
    if value >= _LARGE * _MINUTE:
        return f"{value / _HOUR:,.1f} h"
    return f"{value:,.0f} s" if value >= _LARGE else f"{value:.3g} s"
