"""The charts of times to event: valid Vega-Lite, drawn as they should be, and findings that claim what is known."""

import re
from dataclasses import replace
from datetime import date
from typing import Any

import altair as alt
import pytest
import vl_convert

from analysis.results import Scorecard, SurvivalRow
from experiments.charts import survival, theme
from experiments.charts.drawings import FOREST_WIDTH, forest_bar, ratio_bar, ratio_limit
from experiments.charts.event_finding import event_finding
from experiments.charts.tones import hazard_tone, tone
from tests.experiments.survival_cards import BOUGHT, CHURN, TAU, churn_of, with_events


def curves(card: Scorecard, metric: str = "churn") -> tuple[list[SurvivalRow], list[SurvivalRow]]:
    rows = [row for row in card.survival if row.metric == metric]
    return tuple([row for row in rows if row.variant == key] for key in ("control", "treatment"))  # type: ignore[return-value]


def curves_spec(card: Scorecard) -> dict[str, Any]:
    return survival.curves_spec(*curves(card), TAU, "A title")


def difference_spec(card: Scorecard) -> dict[str, Any]:
    return survival.difference_spec(CHURN, churn_of(card).survival_difference, TAU, "A title")


@pytest.mark.parametrize("make", [curves_spec, difference_spec])
@pytest.mark.parametrize("as_of", [date(2017, 12, 31), date(2017, 9, 11)])
def test_specs_are_valid_vega_lite_and_name_no_color(make: Any, as_of: date) -> None:
    spec = make(with_events(as_of))
    assert alt.Chart.from_dict(spec | {"config": theme.config("dark")}).to_dict(validate=True)
    assert not re.search(r"#[0-9a-f]{6}", str(spec))


@pytest.mark.parametrize("name", ["light", "dark"])
def test_a_curve_is_a_step_a_week_in_its_variants_color(name: theme.Theme) -> None:
    spec = curves_spec(with_events()) | {"width": 600, "config": theme.config(name)}
    svg = vl_convert.vegalite_to_svg(spec)
    drawn = {
        stroke: len(re.findall("[LHV]", path))
        for path, stroke in re.findall(r'class="mark-line[^>]*><path[^>]* d="([^"]*)"[^>]* stroke="([^"]*)"', svg)
    }
    palette = theme.PALETTES[name]
    # From week 0 to tau each week takes two strokes, one along and one down.
    assert drawn == {palette["muted"]: 2 * TAU, palette["accent"]: 2 * TAU}
    assert ">control<" in svg
    assert ">treatment<" in svg


def test_everybody_is_without_the_event_at_week_zero() -> None:
    first, second, *_ = survival.curve_records(*curves(with_events()))
    assert (first["week"], first["control"], first["treatment"]) == (0, 1, 1)
    assert second["Control"] == "98.0 % (97.8 to 98.2 %) · 19\u202f911 at risk"
    assert survival.difference_records(churn_of(with_events()).survival_difference)[0]["difference"] == 0


def test_curves_of_unequal_length_have_a_gap_and_no_invented_points() -> None:
    control, treatment = curves(with_events())
    last = survival.curve_records(control, treatment[:-1])[-1]
    assert last["treatment"] is None
    assert last["Treatment"] == "—"


def test_weeks_that_are_not_known_are_greyed() -> None:
    assert "not yet" in str(curves_spec(with_events(date(2017, 9, 11))))
    assert "not yet" not in str(curves_spec(with_events()))


def test_the_side_that_is_good_is_named_in_its_color() -> None:
    spec = str(difference_spec(with_events()))
    assert re.search(r"label-good.{0,200}fewer gone", spec)
    assert re.search(r"label-bad.{0,200}more gone", spec)
    wished = str(survival.difference_spec(BOUGHT, churn_of(with_events()).survival_difference, 26, "A title"))
    assert re.search(r"label-bad.{0,200}fewer with it", wished)


def test_of_a_time_to_event_longer_is_better_where_the_event_is_bad() -> None:
    assert [tone(CHURN, 0.01, 0.02), tone(CHURN, -0.05, -0.03), tone(CHURN, -0.015, -0.01)] == ["good", "bad", "within"]
    assert [hazard_tone(CHURN, 0.1, 0.2), hazard_tone(CHURN, -0.2, -0.1)] == ["bad", "good"]
    assert [hazard_tone(BOUGHT, 0.1, 0.2), hazard_tone(BOUGHT, -0.1, 0.1)] == ["good", "open"]


def test_the_margin_of_an_event_stands_on_the_side_of_shorter_times() -> None:
    bar = forest_bar(CHURN, churn_of(with_events()), limit=0.06)
    assert bar is not None
    assert bar.margin is not None
    assert bar.lift < bar.margin < bar.zero
    assert bar.wing_low <= bar.low <= bar.lift <= bar.high <= bar.wing_high


def test_ratio_bars_share_a_logarithmic_scale_around_one() -> None:
    limit = ratio_limit([(0.5, 1.0), (None, None), (1.2, 1.6)])
    assert limit == pytest.approx(2)
    half, twice = ratio_bar(0.5, 0.5, 1.0, limit), ratio_bar(2.0, 1.0, 2.0, limit)
    assert half is not None
    assert twice is not None
    assert half.one == FOREST_WIDTH / 2
    assert half.one - half.ratio == pytest.approx(twice.ratio - twice.one)
    assert ratio_bar(None, None, None, limit) is None
    assert ratio_limit([]) == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "Churn: 0.90 weeks fewer without a gap of 4 weeks, out of 23"),
        ({"rmst_difference": 0.9, "sequential_lift_low": 0.01, "sequential_lift_high": 0.05},
         "Churn: 0.90 weeks more without a gap of 4 weeks, out of 23"),
        ({"rmst_difference": None, "state": "too_few"}, "Churn: not readable"),
    ],
)  # fmt: skip
def test_the_finding_says_how_many_weeks(changes: dict[str, Any], sentence: str) -> None:
    assert event_finding(CHURN, replace(churn_of(with_events()), **changes)) == sentence


def test_an_occurrence_is_told_as_the_weeks_before_it() -> None:
    row = replace(churn_of(with_events()), metric="bought")
    assert event_finding(BOUGHT, row) == "Bought: 0.90 weeks fewer before the first baskets, out of 23"
