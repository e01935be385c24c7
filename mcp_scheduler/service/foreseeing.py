"""What has been learnt: forecasts by name, how true they were, and the load of the last hour."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from math import exp

from mcp_scheduler import errors, views
from mcp_scheduler.core.chunking import is_chunk, work
from mcp_scheduler.forecast.book import SPAN, Book, Key
from mcp_scheduler.requests import AskForecasts, Caller
from mcp_scheduler.service.desk import Desk

_EVERYTHING = "everything"


class Foreseeing(Desk):
    """The use cases that tell what is expected."""

    async def forecasts(self, caller: Caller, request: AskForecasts) -> views.ForecastPage:  # noqa: ARG002
        """Of each function and command the run time; of one that is named every quantity, class and size."""
        overall = tuple(
            view for quantity, book in self._books.items() if (view := _view(quantity, book, ())) is not None
        )
        if request.name is None:
            book = self._books["seconds"]
            names = [key for key in book.known() if len(key) == 1][::-1]
            found = [_view("seconds", book, key) for key in names[: request.limit]]
            return views.ForecastPage(tuple(view for view in found if view is not None), overall, len(names))
        found = list(self._of(request.name))
        if not found:
            raise self._unknown(request.name)
        return views.ForecastPage(tuple(found[: request.limit]), overall, len(found), self._in_chunks(found))

    def _in_chunks(self, found: Iterable[views.ForecastView]) -> dict[str, float]:
        functions = dict.fromkeys(work(view.name) if is_chunk(view.name) else view.name for view in found)
        known = ((name, self._cluster.chunking.seconds(name)) for name in functions)
        return {name: each for name, each in known if each is not None}

    def _of(self, name: str) -> Iterator[views.ForecastView]:
        for quantity, book in self._books.items():
            for key in sorted(key for key in book.known() if key and _means(name, key[0])):
                view = _view(quantity, book, key)
                if view is not None:
                    yield view

    def _unknown(self, name: str) -> errors.InvalidRequest:
        known = [key[0] for key in self._books["seconds"].known() if len(key) == 1]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else "`mcp-scheduler forecast` lists what is known."
        return errors.InvalidRequest(f"Nothing has been learnt of '{name}'.", hint=hint)

    async def past_load(self, caller: Caller) -> views.LoadPast:  # noqa: ARG002 - every use case knows who asks
        """The load of the last hour."""
        known = self._load.history() if self._load is not None else ()
        return views.LoadPast(
            tuple(
                views.LoadSeries(one.name, one.every, one.values, one.expected, one.ahead, one.error) for one in known
            )
        )


def _means(wanted: str, name: str) -> bool:
    """By the whole name, or by what follows its last dot or its kind; of chunks, by that of their function."""
    name = work(name) if is_chunk(name) else name
    return wanted == name or name.endswith((f".{wanted}", f" {wanted}"))


def _view(quantity: str, book: Book, key: Key) -> views.ForecastView | None:
    series = book.series(key)
    if series is None or not len(series.history):
        return None
    size = series.history.runs[-1][0]
    wider = tuple(key[:length] for length in range(len(key), -1, -1))
    logs = book.logs(wider, size)
    assert logs is not None, "there is a run"
    score = series.score
    return views.ForecastView(
        name=key[0] if key else _EVERYTHING,
        quantity=quantity,
        runs=len(series.history),
        median=exp(logs.median),
        upper=exp(logs.upper),
        method=series.method,
        device=key[1] if len(key) > 1 else "",
        input_size=_bucket(int(key[2])) if len(key) > 2 else "",  # noqa: PLR2004 - name, class, bucket
        predictions=score.predictions,
        coverage=score.coverage,
        off_by=score.typical_factor,
        bound_is=score.typical_width,
        judged=tuple((exp(value), exp(median), exp(upper)) for value, median, upper in series.judged),
    )


def _bucket(number: int) -> str:
    """The sizes of a bucket, in words."""
    return f"{_bytes(number * SPAN)}–{_bytes((number + 1) * SPAN)}"


def _bytes(half_powers: int) -> str:
    amount = 2.0 ** (half_powers / 2.0)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024.0:  # noqa: PLR2004 - the next unit
            return f"{amount:.0f} {unit}"
        amount /= 1024.0
    return f"{amount:.0f} TiB"
