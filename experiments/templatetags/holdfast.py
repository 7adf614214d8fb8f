"""Template filters: every number on a page is rounded by ``experiments.formatting``."""

from django import template
from django.urls import reverse

from experiments import formatting, methods
from experiments.charts import tones

register = template.Library()

register.filter("number", formatting.number)
register.filter("p_value", formatting.p_value)
register.filter("count", formatting.count)
register.filter("day", formatting.day)
register.filter("metric_label", tones.label)
register.filter("weeks", formatting.weeks)
register.filter("weight", formatting.weight)
register.filter("points", formatting.points)
register.filter("sentence", formatting.sentence)
register.filter("short_count", formatting.short_count)
register.simple_tag(formatting.look, name="look")
register.simple_tag(formatting.weeks_interval, name="weeks_interval")
register.simple_tag(formatting.points_interval, name="points_interval")
register.simple_tag(formatting.number_interval, name="number_interval")


@register.filter
def lift(fraction: float | None) -> str:
    return formatting.unbroken(formatting.percent(fraction))


@register.filter
def share(fraction: float | None) -> str:
    return formatting.unbroken(formatting.percent(fraction, signed=False))


@register.filter
def words(name: str | None) -> str:
    """A name of the code as words: ``launch_with_holdback`` is "launch with holdback"."""
    return (name or "").replace("_", " ")


@register.simple_tag
def interval(low: float | None, high: float | None) -> str:
    return formatting.unbroken(formatting.percent_interval(low, high))


@register.simple_tag
def share_interval(low: float | None, high: float | None) -> str:
    return formatting.unbroken(formatting.share_interval(low, high))


@register.filter
def signed_weeks(value: float | None) -> str:
    return formatting.weeks(value, signed=True)


@register.simple_tag
def methods_page(name: str) -> str:
    """The address of the methods page of that name, empty where there is none."""
    return reverse("methods-page", args=[name]) if name in methods.pages() else ""
