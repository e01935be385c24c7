"""Made-up calls: from the schemas of the tools, right at first, then bent; and frames that are no frames."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from random import Random
from typing import Any

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, "", " ", "a", "\x00", "\n", "é😀",
    "../../etc/passwd", "'; DROP TABLE tasks; --", "$(reboot)", "%s%n", "A" * 300, "9" * 400, [], {}, [[]], {"": None},
    [1, "a", None], {"$result": "nobody"}, {"$result": {"$result": "x"}}, {"$item": "a"}, "5m", "1e9", "null",
)  # fmt: skip
PLAIN: Mapping[str, tuple[Any, ...]] = {
    "integer": (0, 1, 2, 5, 100), "number": (0, 1, 0.5, 3600), "boolean": (True, False),
}  # fmt: skip
DEEP = 60


class Maker:
    """Makes arguments of a tool from its schema, and bends them."""

    def __init__(self, tools: Mapping[str, Mapping[str, Any]], chance: Random, known: list[str]) -> None:
        """`known` are ids of tasks that there are: some calls meet them."""
        self._tools = tools
        self._chance = chance
        self._known = known

    def call(self) -> tuple[str, Any]:
        """A tool's name and arguments: a fifth as the schema wants them, the others bent once or more."""
        name = self._chance.choice(list(self._tools))
        arguments = self.value(self._tools[name], self._tools[name])
        if "timeout" in arguments and name == "wait_for_tasks":
            arguments["timeout"] = 0
        bends = self._chance.choice((0, 1, 1, 2, 4))
        for _ in range(bends):
            arguments = self._bent(arguments)
        if self._chance.random() < 0.01:
            name = self._chance.choice(("", "nobody", "submit_task\x00", name.upper()))
        if name == "wait_for_tasks" and isinstance(arguments, dict):
            arguments["timeout"] = self._chance.choice((0, 0, 0, -1, "soon"))
        return name, arguments

    def value(self, schema: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
        """Something that the schema allows, more or less."""
        if not isinstance(schema, dict) or depth > 6:
            return self._chance.choice(JUNK)
        if "$ref" in schema:
            return self.value(_at(root, schema["$ref"]), root, depth + 1)
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.value(self._chance.choice(schema[key]), root, depth + 1)
        kind = schema.get("type")
        return self._of_kind(self._chance.choice(kind) if isinstance(kind, list) else kind, schema, root, depth)

    def _of_kind(self, kind: str | None, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, root, depth)
            case "array":
                size = self._chance.randrange(4)
                return [self.value(schema.get("items", {}), root, depth + 1) for _ in range(size)]
            case "string":
                return self._text()
            case _:
                return self._chance.choice(PLAIN.get(kind or "", (self._text(), *JUNK)))

    def _object(self, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        made: dict[str, Any] = {}
        for name, inner in schema.get("properties", {}).items():
            if name in required or self._chance.random() < 0.3:
                made[name] = self.value(inner, root, depth + 1)
        return made

    def _text(self) -> str:
        return self._chance.choice(
            (*self._known[:50], "work.quick", "work.nobody", "a", "queued", "5m", "stdout", "x.y")
        )

    def _bent(self, arguments: Any) -> Any:
        """One place of it is replaced, left out, doubled or buried."""
        if not isinstance(arguments, (dict, list)) or not arguments:
            return self._chance.choice(JUNK) if self._chance.random() < 0.3 else arguments
        bent = copy.copy(arguments)
        keys = list(bent) if isinstance(bent, dict) else list(range(len(bent)))
        key = self._chance.choice(keys)
        if isinstance(bent[key], (dict, list)) and bent[key] and self._chance.random() < 0.6:
            bent[key] = self._bent(bent[key])
            return bent
        match self._chance.randrange(5):
            case 0:
                del bent[key]
            case 1 if isinstance(bent, dict):
                bent[f"{key}s"] = bent[key]
            case 2:
                for _ in range(self._chance.randrange(1, DEEP)):
                    bent[key] = [bent[key]]
            case _:
                bent[key] = self._chance.choice(JUNK)
        return bent


def frame(line: bytes, chance: Random) -> bytes:
    """A line that is hardly one: cut, with bytes changed, doubled, of another shape."""
    raw = bytearray(line.rstrip(b"\n"))
    match chance.randrange(9):
        case 0:
            del raw[chance.randrange(len(raw)) :]
        case 1:
            for _ in range(chance.randrange(1, 6)):
                raw[chance.randrange(len(raw))] = chance.randrange(256)
        case 2:
            raw = raw + raw
        case 3:
            raw = bytearray(b"[" + raw + b"]")
        case 4:
            raw = bytearray(b"[" * chance.choice((1, 100, 100_000)))
        case 5:
            raw = bytearray(json.dumps(chance.choice(JUNK)).encode())
        case 6:
            at = chance.randrange(len(raw))
            raw[at:at] = chance.choice((b"\x00", b"\xff\xfe", b"\xc3", b"\r", b"\\ud800", b"\x1b[2J"))
        case 7:
            raw = bytearray(b'{"jsonrpc":"2.0","method":"notifications/' + raw[: chance.randrange(20)] + b'"}')
        case _:
            raw = bytearray(chance.randbytes(chance.randrange(1, 200)))
    return bytes(raw.replace(b"\n", b" ")) + b"\n"


def _at(root: Mapping[str, Any], reference: str) -> Any:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found
