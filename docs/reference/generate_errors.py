"""Writes errors.md from mcp_scheduler/errors.py."""
# ruff: noqa: INP001, E501 - a script beside the page that it writes, with whole sentences of it

from __future__ import annotations

from collections.abc import Iterator

from mcp_scheduler import errors

INTRODUCTION = """\
# Errors

<!-- Written by generate.py from mcp_scheduler/errors.py: change the program, then run `make docs`. -->

A failed tool call is a *result* with `isError: true`: its text says what is wrong and what to do, and
`_meta["mcp-scheduler/failure"].code` carries the code below for programs. The owner protocol and the Python client carry
the same code, with `hint` and `facts`; the command line prints the text. Protocol errors (JSON-RPC) are for violations of
the protocol alone. How *work* ends (`failed`, with a reason) is no error of a call: see [the states](states.md).
"""

# The families, and what their members have in common.
FAMILIES = {
    errors.InvalidRequest: "The request cannot be carried out as it stands. Repeating it changes nothing; changing it does.",
    errors.Conflict: "The request is right, the moment is wrong: look at the task, then decide.",
    errors.Unavailable: "Not possible right now. The same request may succeed later.",
    errors.InvariantBroken: "A defect of the program. The engine's log has the details under the incident's number.",
}
INTERNAL = (
    "`internal`",
    "Any exception that nobody expected: the text names an incident, under which the engine's log has the traceback.",
    "Repeat the call once; if it fails again, go on without it.",
)


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for family, common in FAMILIES.items():
        parts.append(f"## {family.__name__}\n\n{common}\n\n" + "\n".join(_table(family)))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def codes() -> list[str]:
    """Every code there is."""
    return [kind.code for family in FAMILIES for kind in _members(family)] + ["internal"]


def _table(family: type[errors.SchedulerError]) -> Iterator[str]:
    yield "| code | meaning | what to do |"
    yield "|---|---|---|"
    for kind in _members(family):
        yield f"| `{kind.code}` | {_said(kind.__doc__)} | {_said(kind.hint) or 'as the text says'} |"
    if family is errors.InvariantBroken:
        yield f"| {' | '.join(INTERNAL)} |"


def _members(family: type[errors.SchedulerError]) -> Iterator[type[errors.SchedulerError]]:
    yield family
    for member in family.__subclasses__():
        yield from _members(member)


def _said(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
