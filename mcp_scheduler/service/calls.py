"""What a task runs: finding the function, checking its arguments, refusing what this version does not do yet."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mcp_scheduler import errors
from mcp_scheduler.ports import Catalogue, FunctionEntry
from mcp_scheduler.requests import TaskSpec
from mcp_scheduler.service.references import has_reference
from mcp_scheduler.signature import signature

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

_LATER = ("chat", "tool")
_OF_COMMANDS = ("cwd", "env", "stdin", "ranks")
_LOOKED_AT = frozenset(_LATER) | frozenset(_OF_COMMANDS)
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
_TELLS_NOTHING = {"type", "title", "description", "default"}  # keywords beside which a type says everything


def refuse_later(spec: TaskSpec) -> None:
    """`NotYet` for fields of the task language that this version knows and does not carry out."""
    given = spec.model_fields_set
    if not given & _LOOKED_AT:
        return
    named = [name for name in _LATER if name in given and _asks(getattr(spec, name))]
    if spec.command is None:
        misplaced = [name for name in _OF_COMMANDS if name in given and getattr(spec, name)]
        if misplaced:
            raise errors.InvalidRequest(
                f"`{'`, `'.join(misplaced)}` belongs to a command.", hint="Pass it to a function as an argument."
            )
    if named:
        raise errors.NotYet(
            f"This version does not do {', '.join(named)} yet.",
            hint="Leave it out, or run a function (call list_functions) that does it.",
            fields=named,
        )


def _asks(value: object) -> bool:
    """Whether a field says anything: absent, false and empty lists ask for nothing; an empty object does."""
    return value is not None and value is not False and value != ()


class Functions:
    """The functions of one environment, with a compiled check of the arguments for each."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._by_name = {entry.name: entry for entry in catalogue.functions}
        self._by_short_name: dict[str, list[FunctionEntry]] = {}
        for entry in catalogue.functions:
            self._by_short_name.setdefault(entry.name.rpartition(".")[2], []).append(entry)
        self._validators: dict[str, Draft202012Validator] = {}
        self._plain: dict[str, dict[str, tuple[type, ...]] | None] = {}

    def find(self, name: str) -> FunctionEntry:
        """By `module.function`, or by `function` where only one module has it."""
        entry = self._by_name.get(name)
        if entry is not None:
            return entry
        short = self._by_short_name.get(name, [])
        if len(short) == 1:
            return short[0]
        if short:
            choices = ", ".join(sorted(entry.name for entry in short))
            raise errors.AmbiguousFunction(
                f"'{name}' could be any of {choices}.", hint="Name the module as well: module.function."
            )
        raise self._unknown(name)

    def _unknown(self, name: str) -> errors.UnknownFunction:
        near = difflib.get_close_matches(name, [*self._by_name, *self._by_short_name], n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        if not self._by_name:
            hint = "No functions are known here: --functions FILE_OR_MODULE names them, where this client was started. "
        if self.catalogue.problems:
            hint = f"Sources that could not be loaded: {'; '.join(self.catalogue.problems)}. "
        return errors.UnknownFunction(
            f"There is no function '{name}'.", hint=hint + "Call list_functions to see what can be called."
        )

    def check(self, entry: FunctionEntry, arguments: Mapping[str, Any]) -> None:
        """`BadArguments` where the arguments do not fit. A `$result` stands for something that is not known yet."""
        if self._fits_plainly(entry, arguments):
            return
        validator = self._validators.get(entry.name)
        if validator is None:
            # Late: it takes a tenth of the engine's start. `server.sdk` loads it beside the first client.
            from jsonschema import Draft202012Validator  # noqa: PLC0415

            validator = self._validators[entry.name] = Draft202012Validator(dict(entry.parameters))
        found: Iterable[ValidationError] = validator.iter_errors(arguments)  # pyright: ignore[reportUnknownMemberType]
        problems = [problem for problem in found if not has_reference(problem.instance)]
        if problems:
            raise errors.BadArguments(
                f"{entry.name}: {'; '.join(_told(problem, entry) for problem in problems[:5])}.",
                hint=f"It takes ({signature(entry.parameters)}).",
            )

    def _fits_plainly(self, entry: FunctionEntry, arguments: Mapping[str, Any]) -> bool:
        """Most functions take a few values of plain types: for those a look at the types is enough, and ten times
        cheaper. False says nothing: the validator decides, and finds the words."""
        if entry.name not in self._plain:
            self._plain[entry.name] = _plain_types(entry.parameters)
        types = self._plain[entry.name]
        if types is None or not all(name in arguments for name in entry.parameters.get("required", ())):
            return False
        for name, value in arguments.items():
            wanted = types.get(name)
            if wanted is None or not isinstance(value, wanted) or (isinstance(value, bool) and wanted != (bool,)):
                return False
        return True


def _plain_types(parameters: Mapping[str, Any]) -> dict[str, tuple[type, ...]] | None:
    """The types of parameters that nothing but a type restricts; None where there is more to check."""
    if set(parameters) - {"type", "properties", "required", "additionalProperties", "title", "description", "$schema"}:
        return None
    types: dict[str, tuple[type, ...]] = {}
    for name, schema in parameters.get("properties", {}).items():
        kind = schema.get("type")
        if not isinstance(kind, str) or kind not in _TYPES or set(schema) - _TELLS_NOTHING:
            return None
        types[name] = _TYPES[kind]
    return types


def _told(problem: ValidationError, entry: FunctionEntry) -> str:
    where = ".".join(str(part) for part in problem.absolute_path)
    instance: Any = problem.instance  # JSON, as are schema and rule
    schema: Any = problem.schema
    rule: Any = problem.validator_value
    match problem.validator:
        case "required":
            missing: list[str] = [name for name in rule if name not in instance]
            return f"{' and '.join(repr(name) for name in missing)} is missing" + (f" in '{where}'" if where else "")
        case "additionalProperties":
            known: list[str] = list(schema.get("properties", {}))
            extra = [str(name) for name in instance if name not in known]
            near = [match for name in extra for match in difflib.get_close_matches(name, known, n=1)]
            did_you_mean = f" (did you mean '{near[0]}'?)" if near else ""
            return f"there is no argument {', '.join(repr(name) for name in extra)}{did_you_mean}"
        case "type":
            return f"'{where or entry.name}' must be {rule}, and is {_shown(instance)}"
        case _:
            return f"'{where or entry.name}': {problem.message[:200]}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - a line of text
