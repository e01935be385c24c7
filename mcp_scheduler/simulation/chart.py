"""A line chart as SVG text: axes, ticks, a legend. It needs nothing to be drawn with, and nothing to be looked at but a
browser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

Point = tuple[float, float]

COLOURS: Final = ("#1f6fb4", "#d1571b", "#2a8f53", "#8a4fb0", "#b8901a", "#5a5f66", "#c23a6b", "#1d8a94")
DASHES: Final = ("", "7 3", "2 3", "9 3 2 3")  # lines are told apart without colours too
_WIDTH, _HEIGHT = 760, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 50
_TICKS: Final = 6
_ROW: Final = 18


@dataclass(frozen=True, slots=True)
class Series:
    """A line of its own name through points, sorted by x."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows. `top`: where it ends at least; a logarithmic one begins at the smallest value over 0."""

    title: str
    logarithmic: bool = False
    top: float = 0.0


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    def place(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = max(1, math.ceil((last - first) / _TICKS))
            return [10.0**power for power in range(first, last + 1, every)]
        step = _step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def chart(title: str, across: Axis, up: Axis, series: Sequence[Series]) -> str:
    """The chart as an SVG document."""
    points = [point for one in series for point in one.points]
    x = _scale(across, [point[0] for point in points], _LEFT, _WIDTH - _RIGHT)
    y = _scale(up, [point[1] for point in points], _HEIGHT - _BOTTOM, _TOP)
    height = _HEIGHT + _ROW * len(series)
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" fill="#222222">{escape(title)}</text>',
        *_axes(x, y, across, up),
    ]
    for number, one in enumerate(series):
        parts += _line(number, one, x, y)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes(x: _Scale, y: _Scale, across: Axis, up: Axis) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts: list[str] = []
    for tick in x.ticks():
        at = x.place(tick)
        parts.append(f'<path d="M{at:.1f} {_TOP}V{bottom}" stroke="#e4e4e4"/>')
        parts.append(_text(at, bottom + 16, _number(tick), "middle"))
    for tick in y.ticks():
        at = y.place(tick)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{right}" stroke="#e4e4e4"/>')
        parts.append(_text(_LEFT - 8, at + 4, _number(tick), "end"))
    parts.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#666666"/>')
    parts.append(_text((_LEFT + right) / 2, bottom + 36, across.title, "middle"))
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle" fill="#444444">'
        f"{escape(up.title)}</text>"
    )
    return parts


def _line(number: int, one: Series, x: _Scale, y: _Scale) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    dash = DASHES[number // len(COLOURS) % len(DASHES)] if number >= len(COLOURS) else DASHES[number % len(DASHES)]
    style = f'fill="none" stroke="{colour}" stroke-width="1.8"' + (f' stroke-dasharray="{dash}"' if dash else "")
    path = "".join(
        f"{'L' if index else 'M'}{x.place(point[0]):.1f} {y.place(point[1]):.1f}"
        for index, point in enumerate(one.points)
    )
    at = _HEIGHT + _ROW * number + 4
    return [
        f'<path d="{path}" {style}/>',
        f'<path d="M{_LEFT} {at}h28" {style}/>',
        _text(_LEFT + 36, at + 4, one.name, "start"),
    ]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#444444">{escape(text)}</text>'


def _scale(axis: Axis, values: Sequence[float], start: float, end: float) -> _Scale:
    high = max([axis.top, *values], default=1.0)
    low = min([value for value in values if value > 0], default=1.0) if axis.logarithmic else min([0.0, *values])
    if high <= low:
        high = low * 10 if axis.logarithmic else low + 1.0
    return _Scale(low, high, start, end, axis.logarithmic)


def _step(rough: float) -> float:
    """The nearest 1, 2 or 5 times a power of ten that is not smaller."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:g}"  # noqa: PLR2004 - two digits
