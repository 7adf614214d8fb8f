"""A drawing on a page, with what its downloads are called and where its numbers are."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse

from analysis.results import Scorecard
from experiments.charts.tones import label
from experiments.charts.vega import Spec


@dataclass(frozen=True)
class Figure:
    """One drawing, or several of the same thing to choose from: ``specs`` has a Vega-Lite spec for each.

    Attributes:
        figure_id: of the element that carries the specs.
        title: the finding, as the exported picture has it too.
        subtitle: what it is about and when, for the exported picture.
        name: the stem of the downloaded files' names: key, metric, treatment, day.
        numbers: the address of the numbers as CSV.
    """

    figure_id: str
    title: str
    subtitle: str
    name: str
    numbers: str
    specs: Mapping[str, Spec]


def figure(
    card: Scorecard, part: str, metric: str, variant: str, title: str, specs: Mapping[str, Spec], about: str = ""
) -> Figure:
    """Return the figure of one part of a scorecard: ``trajectory``, ``survival``, ``difference``, ``objectives``."""
    key, day = card.plan.key, card.as_of.isoformat()
    position = [treatment.key for treatment in card.plan.treatments].index(variant)
    prefix = "chart" if part == "trajectory" else part
    query = {"as_of": day, "part": part, "variant": variant} | ({"metric": metric} if metric else {})
    named = [key, metric, variant, *([] if part == "trajectory" else [part]), day]
    return Figure(
        figure_id="-".join(filter(None, (prefix, str(position), metric))),
        title=title,
        subtitle=" · ".join(filter(None, (card.plan.name, label(metric), about, f"{variant} · as of {day}"))),
        name="-".join(filter(None, named)),
        numbers=f"{reverse('chart-csv', args=[key])}?{urlencode(query)}",
        specs=specs,
    )
