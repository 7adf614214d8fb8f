"""Template filters: every number on a page is rounded by ``experiments.formatting``."""

from django import template

from experiments import formatting
from experiments.charts import tones

register = template.Library()
NO_BREAK_SPACE = "\u00a0"

register.filter("number", formatting.number)
register.filter("p_value", formatting.p_value)
register.filter("count", formatting.count)
register.filter("day", formatting.day)
register.filter("points", formatting.points)
register.filter("metric_label", tones.label)


@register.filter
def lift(fraction: float | None) -> str:
    return _unbroken(formatting.percent(fraction))


@register.filter
def share(fraction: float | None) -> str:
    return _unbroken(formatting.percent(fraction, signed=False))


@register.filter
def words(name: str | None) -> str:
    """A name of the code as words: ``launch_with_holdback`` is "launch with holdback"."""
    return (name or "").replace("_", " ")


@register.simple_tag
def interval(low: float | None, high: float | None) -> str:
    return _unbroken(formatting.percent_interval(low, high))


def _unbroken(percentage: str) -> str:
    """A percent sign never starts a line."""
    return percentage.replace(" %", f"{NO_BREAK_SPACE}%")
