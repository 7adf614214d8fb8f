"""Filters of the form of an experiment."""

import re

from django import template

from experiments import formatting

register = template.Library()
register.filter("chance", formatting.chance)
register.filter("times", formatting.times)


@register.filter
def slot(path: str) -> str:
    """A path of a definition as part of an id: ``variants[0].weight`` is variants-0-weight."""
    return re.sub(r"[^a-z0-9_]+", "-", path).strip("-") or "rest"
