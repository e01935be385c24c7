"""graph, map: many tasks at once, of a file or of one template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from mcp_scheduler.cli import arguments, options, out, waiting
from mcp_scheduler.cli.completion import complete_function
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.failures import SUCCESS
from mcp_scheduler.cli.text import Json, for_people, one_line, plural
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.owner import OwnerClient

_OVER: Final = "One of --items, --product, --zip and --rows says what the map runs over."
_Name = Annotated[str | None, typer.Option(metavar="TEXT", help="A name; the id begins with it.")]
_Tags = Annotated[list[str] | None, typer.Option(metavar="TEXT", help="A tag of all its tasks. Repeatable.")]
_Key = Annotated[str | None, typer.Option(metavar="TEXT", help="Idempotency key: the same key gives the same group.")]
_Wait = Annotated[bool, typer.Option("--wait", help="Wait for its end; exit codes as of `wait`.")]


def graph(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Tasks by key as JSON, as for submit_graph; `-` reads standard input.")
    ],
    *,
    plan: Annotated[str | None, typer.Option(metavar="PLAN", help="In the order that `plan FILE` has found.")] = None,
    name: _Name = None,
    tag: _Tags = None,
    key: _Key = None,
    wait: _Wait = False,
    as_json: options.AsJson = False,
    home: options.Home = None,
    python: options.Python = None,
    functions: options.Functions = None,
    principal: options.As = "",
) -> int:
    """Submit a graph: the tasks of a file, in their order.

    Each starts after those that its `after` names. The id of the group is printed once all of them are safely stored;
    or none is, where one is refused.
    """
    asked = {**arguments.graph(file), **_said({"plan": plan, "name": name, "tags": tag, "idempotency_key": key})}
    with engine(home, python=python, functions=functions or (), principal=principal) as client:
        return _submitted(client, "submit_graph", asked, wait=wait, as_json=as_json)


def map_(
    context: typer.Context,
    function: Annotated[
        str | None,
        typer.Argument(
            metavar="FUNCTION",
            help="module.function. A command goes behind `--` instead; its word {name} stands for a part of the item.",
            autocompletion=complete_function,
        ),
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE", help="Arguments of all calls: key=value, a JSON object, or @FILE with one."
        ),
    ] = None,
    *,
    items: Annotated[
        str | None, typer.Option(metavar="JSON", help="Over the elements of a JSON list, or of @FILE with one.")
    ] = None,
    product: Annotated[
        list[str] | None, typer.Option(metavar="NAME=V,V", help="Over all combinations of these values. Repeatable.")
    ] = None,
    zip_: Annotated[
        list[str] | None,
        typer.Option("--zip", metavar="NAME=V,V", help="Over the first values, the second, and so on. Repeatable."),
    ] = None,
    rows: Annotated[Path | None, typer.Option(metavar="FILE", help="Over the rows of a CSV or JSONL file.")] = None,
    argument: Annotated[
        str | None, typer.Option(metavar="NAME", help="The argument that each of --items goes to.")
    ] = None,
    chunk: Annotated[
        str | None, typer.Option(metavar="N|auto|TIME", help="So many items, or items for so long, are one task.")
    ] = None,
    reduce: Annotated[
        str | None,
        typer.Option(
            metavar="FUNCTION[:NAME]", help="Called with the list of all results, as its argument NAME; else `items`."
        ),
    ] = None,
    needs: Annotated[
        list[str] | None, typer.Option(metavar="NAME=AMOUNT", help="What each needs: cpus=2,memory=4GiB. Repeatable.")
    ] = None,
    retry: Annotated[
        str | None, typer.Option(metavar="N|JSON", help="At most so many attempts of each, or a retry object.")
    ] = None,
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="End a call after this: 90s, 5m, 2h.")] = None,
    name: _Name = None,
    tag: _Tags = None,
    key: _Key = None,
    wait: _Wait = False,
    as_json: options.AsJson = False,
    home: options.Home = None,
    python: options.Python = None,
    functions: options.Functions = None,
    principal: options.As = "",
) -> int:
    """Submit a call or command for many items: a sweep.

    `map tools.train epochs=5 --product lr=0.1,0.01 --product seed=1,2,3` makes six calls,
    `map --product lr=0.1,0.01 -- python train.py --lr {lr}` runs two commands.
    """
    command: list[str] | None = context.obj
    if (function is None) == (not command):
        raise InvalidRequest(
            "A map runs one function or one command.",
            hint="Give module.function with key=value arguments, or a command behind `--`.",
        )
    if command and argument is not None:
        raise InvalidRequest(
            "A command has no arguments with names.", hint="Its word {} stands for the item, {name} for a part of it."
        )
    over = _over(items, product or (), zip_ or (), rows)
    template: Json = {"needs": arguments.pairs(needs or (), "--needs"), "timeout": timeout}
    if retry is not None:
        template["retry"] = arguments.retry(retry)
    if function is not None:
        template |= {"function": function, "arguments": _template_arguments(words or (), argument)}
    else:
        template["command"] = [_word(word, over) for word in command or ()]
    asked: Json = {
        "task": _said(template),
        "over": over,
        **_said({"chunk": None if chunk is None else arguments.value(chunk)}),
        **_said({"name": name, "tags": tag, "idempotency_key": key}),
    }
    if reduce is not None:
        last, _, goes_to = reduce.partition(":")
        asked["reduce"] = {"function": last, "arguments": {goes_to or "items": {"$result": "items"}}}
    with engine(home, python=python, functions=functions or (), principal=principal) as client:
        return _submitted(client, "submit_map", asked, wait=wait, as_json=as_json)


def _over(items: str | None, product: Sequence[str], zipped: Sequence[str], rows: Path | None) -> Json:
    over: Json = {}  # no items are something, too: the engine says what it thinks of them
    if items is not None:
        over["items"] = arguments.json_list(items, "--items")
    if product:
        over["product"] = _by_name(product, "--product")
    if zipped:
        over["zip"] = _by_name(zipped, "--zip")
    if rows is not None:
        over["rows"] = str(rows.absolute())
    if len(over) != 1:
        raise InvalidRequest(f"There are {', '.join(f'--{one}' for one in over) or 'no items'}.", hint=_OVER)
    return over


def _by_name(words: Sequence[str], option: str) -> Json:
    found: Json = {}
    for word in words:
        name, values = _values(word, option)
        if name in found:
            raise InvalidRequest(
                f"There is {option} {name} twice.", hint=f"Give all its values at once: {option} {name}=VALUE,VALUE."
            )
        found[name] = values
    return found


def _values(word: str, option: str) -> tuple[str, list[Any]]:
    """`lr=0.1,0.01` → a name and its values; a JSON list, where a value has commas."""
    name, is_pair, text = word.partition("=")
    if not is_pair or not name or not text:
        raise InvalidRequest(f"{option} {word}: write NAME=VALUE,VALUE.", hint=f"For example {option} lr=0.1,0.01.")
    if text.startswith("["):
        return name, arguments.json_list(text, f"{option} {name}")
    return name, [arguments.value(value) for value in text.split(",")]


def _template_arguments(words: Sequence[str], argument: str | None) -> Json:
    given = arguments.function_arguments(words)
    return given if argument is None else given | {argument: {"$item": True}}


def _word(word: str, over: Json) -> Any:
    """A word of a command as the template has it: `{lr}` is a part of the item, `{}` the whole of it."""
    if word == "{}":
        return {"$item": True}
    if word.startswith("{") and word.endswith("}") and word[1:-1].isidentifier():
        return {"$item": word[1:-1]}
    names = [name for name in _names(over) if f"{{{name}}}" in word]
    if names:
        raise InvalidRequest(
            f"'{word}' has {{{names[0]}}} inside a word.",
            hint=f"It stands for a word of its own: --{names[0]} {{{names[0]}}}.",
        )
    return word


def _names(over: Json) -> set[str]:
    """Of the parts of the items, as far as they are known here: those of rows are in their file."""
    items = [cast("Json", item) for item in over.get("items", ()) if isinstance(item, dict)]
    return {name for named in (over.get("product", {}), over.get("zip", {}), *items) for name in named}


def _said(fields: Json) -> Json:
    return {field: value for field, value in fields.items() if value is not None and value not in ([], {})}


def _submitted(client: OwnerClient, method: str, asked: Json, *, wait: bool, as_json: bool) -> int:
    answer: Json = client.call(method, asked)
    group: Json = answer["group"]
    if as_json and not wait:
        out.as_json(answer)
    elif not as_json:
        out.line(group["id"])
        if out.on_terminal():
            out.aside(f"{plural(group['size'], 'task')} · mcp-scheduler wait {group['id']}")
        if group.get("hint"):
            out.aside(f"hint: {one_line(for_people(group['hint']))}")
    if not wait:
        return SUCCESS
    return waiting.follow(client, waiting.Wanted((group["id"],)), as_json=as_json)
