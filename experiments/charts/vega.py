"""Layers of Vega-Lite charts as plain dictionaries.

Altair makes the same ones a hundred times slower, and a page has dozens of them. The tests hold every spec to
Vega-Lite's schema. Marks name styles and never colors: ``theme.config`` gives them, so that one spec serves all themes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
ROWS = "rows"
HEIGHT = 300
HALF_WEEK = 0.5
PERCENT = "datum.value === 0 ? '0' : format(datum.value * 100, '+,~r') + ' %'"
SHARE = "format(datum.value * 100, ',~r') + ' %'"
POINTS = "datum.value === 0 ? '0' : format(datum.value * 100, '+,~r')"

Record = dict[str, Any]
Layer = dict[str, Any]
Spec = dict[str, Any]


@dataclass(frozen=True)
class Ends:
    """The scale of one axis, from ``low`` to ``high``; ``nice`` lets it end on round numbers."""

    low: float
    high: float
    nice: bool = False


def chart(layers: Iterable[Layer], rows: Sequence[Record], title: str, height: int = HEIGHT) -> Spec:
    """Return the spec of layers over ``rows``, which layers without data of their own draw."""
    return {
        "$schema": SCHEMA,
        "description": title,
        "width": "container",
        "height": height,
        "data": {"name": ROWS},
        "datasets": {ROWS: list(rows)},
        "layer": list(layers),
    }


def frame(x: Ends, y: Ends, x_axis: Mapping[str, Any], y_axis: Mapping[str, Any]) -> Layer:
    """The layer that holds the axes and draws nothing, so that they stand even where there is nothing to draw."""
    return {
        "data": {"values": [{}]},
        "mark": {"type": "point", "opacity": 0, "aria": False},
        "encoding": {"x": _datum(x, x_axis), "y": _datum(y, y_axis)},
    }


def _datum(ends: Ends, axis: Mapping[str, Any]) -> dict[str, Any]:
    scale = {"domain": [ends.low, ends.high], "nice": ends.nice, "zero": False}
    return {"datum": ends.low, "type": "quantitative", "scale": scale, "axis": dict(axis)}


def weeks_axis(title: Sequence[str], weeks: Sequence[int], below: Mapping[int, str] | None = None) -> dict[str, Any]:
    """An axis with a label at each of ``weeks`` and, where given, a second line of text ``below`` it."""
    axis: dict[str, Any] = {
        "title": list(title), "values": list(weeks), "format": "d", "grid": False, "labelOverlap": True,
    }  # fmt: skip
    if below:
        words = ", ".join(f"'{week}': '{text}'" for week, text in below.items())
        axis["labelExpr"] = f"[format(datum.value, 'd'), {{{words}}}[datum.value] || '']"
    return axis


def weeks_shown(first: int, last: int, most: int = 14) -> list[int]:
    """The weeks that are named on an axis: evenly spaced, and about ``most`` at most."""
    step = next(step for step in (1, 2, 4, 13, 26) if last - first <= most * step or step == 26)
    return list(range(first, last + 1, step))


def value_axis(label: str, title: str | None = None, count: int = 5) -> dict[str, Any]:
    return {"title": title, "labelExpr": label, "tickCount": count}


def band(style: str, low: str, high: str, **mark: Any) -> Layer:
    return _layer("area", style, mark, x=field("week"), y=field(low), y2={"field": high})


def line(style: str, value: str, **mark: Any) -> Layer:
    return _layer("line", style, mark, x=field("week"), y=field(value))


def points(style: str, value: str, **mark: Any) -> Layer:
    return _layer("point", style, mark, x=field("week"), y=field(value))


def zero() -> Layer:
    """The line of no difference."""
    return _layer("rule", "zero", {"clip": False}, [{"zero": 0}], y=field("zero"))


def shade(style: str, start: float, end: float) -> Layer:
    """The whole height of the chart between two places on the horizontal axis."""
    return _layer("rect", style, {}, [{"from": start, "to": end}], x=field("from"), x2={"field": "to"})


def words(style: str, x: float, y: float | Literal["height"], text: str, **mark: Any) -> Layer:
    """Text at a place on the horizontal axis, ``y`` pixels below the upper edge; ``height`` is the lower edge."""
    mark = {"align": "center", "baseline": "middle", "clip": False, **mark}
    at = [{"x": x, "text": text}]
    return _layer("text", style, mark, at, x=field("x"), y={"value": y}, text={"field": "text", "type": "nominal"})


def words_at(style: str, x: float, y: float, text: str, **mark: Any) -> Layer:
    """Text at a place on both axes."""
    at = [{"x": x, "y": y, "text": text}]
    mark = {"clip": False, **mark}
    return _layer("text", style, mark, at, x=field("x"), y=field("y"), text={"field": "text", "type": "nominal"})


def tooltips(fields: Sequence[str]) -> Layer:
    """A whole week's column answers to the pointer, so that a finger finds it too."""
    told = [{"field": name, "type": "nominal"} for name in fields]
    mark = {"opacity": 0, "clip": False}
    return _layer("rect", "", mark, x=field("from"), x2={"field": "to"}, tooltip=told)


def field(name: str) -> dict[str, str]:
    return {"field": name, "type": "quantitative"}


def layer(kind: str, style: str, values: Sequence[Record] | None = None, /, **encoding: Any) -> Layer:
    """Any other layer; ``values`` are its own data."""
    return _layer(kind, style, {}, values, **encoding)


def _layer(
    kind: str, style: str, mark: Mapping[str, Any], values: Sequence[Record] | None = None, **encoding: Any
) -> Layer:
    drawn: dict[str, Any] = {"type": kind, "aria": False, "clip": True, **mark}
    if style:
        drawn["style"] = style
    made: Layer = {"mark": drawn, "encoding": encoding}
    if values is not None:
        made["data"] = {"values": list(values)}
    return made
