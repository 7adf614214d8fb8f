"""The charts of the pages as Vega-Lite specs, for notebooks and reports."""

from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Query, Router

from analysis.results import Scorecard
from experiments.api.door import Token
from experiments.api.parameters import AsOf, Key, Name, answers
from experiments.api.problems import FieldProblem, Refused
from experiments.api.reading import card_of, known
from experiments.api.schemas import ChartOut
from experiments.charts import theme
from experiments.charts.theme import Theme
from experiments.views import objectives_section, scorecard_page, survival_section
from experiments.views.figures import Figure

router = Router(auth=Token("read"), tags=["Reading"])

Part = Literal["trajectory", "retention", "survival", "difference", "objectives"]


@router.get("/experiments/{key}/chart", response=answers(ChartOut, 404), summary="A chart of the pages")
def chart(
    request: HttpRequest,
    key: Key,
    part: Annotated[Part, Query(description="Of an event: retention, survival, difference")] = "trajectory",
    metric: Annotated[Name | None, Query(description="Needed for all parts but objectives")] = None,
    variant: Annotated[Name | None, Query(description="Without it, the first treatment")] = None,
    colors: Annotated[Theme, Query()] = "light",
    as_of: AsOf = None,
) -> ChartOut:
    """The specs have their data in them, and the colors of the pages."""
    card = card_of(key, as_of)
    figure = _objectives(card) if part == "objectives" else _figure(card, part, metric, variant)
    config: dict[str, Any] = theme.config(colors)
    return ChartOut(
        title=figure.title, subtitle=figure.subtitle,
        specs={name: {**spec, "config": config} for name, spec in figure.specs.items()},
    )  # fmt: skip


def _objectives(card: Scorecard) -> Figure:
    found = objectives_section.objectives_of(card)
    if found.plot is None:
        raise Refused(404, f"there is no plot of the objectives: {found.plot_missing}")
    return found.plot


def _figure(card: Scorecard, part: str, metric: str | None, variant: str | None) -> Figure:
    key = card.plan.treatments[0].key if variant is None else variant
    known("variant", key, [one.key for one in card.plan.treatments])
    measured = card.plan.estimated_metrics if part == "trajectory" else card.plan.event_metrics
    names = [one.key for one in measured]
    if metric is None:
        why = f"say which metric; for {part} there are {', '.join(names) or 'none'}"
        raise Refused(422, f"metric: {why}", FieldProblem(field="metric", message=why))
    known("metric", metric, names)
    if part == "trajectory":
        found = _trajectory(card, key, metric)
    else:
        treatment = next(one for one in card.plan.treatments if one.key == key)
        event = next((one for one in survival_section.cards_of(card, treatment) if one.metric.key == metric), None)
        shown = {"retention": "retention", "survival": "curves", "difference": "difference"}[part]
        found = getattr(event, shown, None)
    if found is None:
        raise Refused(404, f"there is nothing to draw of {metric} as of {card.as_of} yet")
    return found


def _trajectory(card: Scorecard, variant: str, metric: str) -> Figure | None:
    try:
        return scorecard_page.chart_alone(card, variant, metric).figure
    except LookupError:
        return None
