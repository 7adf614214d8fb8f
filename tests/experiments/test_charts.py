import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import altair as alt
import pytest
import vl_convert

from analysis.plan import Window
from analysis.results import EffectRow, Scorecard, TrajectoryRow
from experiments.charts import theme, tones, trajectory
from experiments.charts.drawings import FOREST_WIDTH, SPARK_HEIGHT, forest_bar, forest_limit, sparkline
from experiments.charts.finding import crossing_week, finding
from tests.experiments import cards

EARLY, LATE = Window("early", 0, 4), Window("late", 13, 26)
STYLE_SHEET = Path(__file__).parents[2] / "experiments/static/experiments/holdfast.css"
#: WCAG 2.2 AA for text of normal size.
READABLE = 4.5


def weeks(rows: Sequence[TrajectoryRow]) -> list[tuple[int, float, float, float]]:
    """The weeks with a lift as a sparkline takes them."""
    return [(row.week, row.lift, row.lift_low, row.lift_high) for row in rows if row.lift is not None]  # type: ignore[misc]


def windows(early: float, late: float, se: float = 0.006) -> tuple[EffectRow, EffectRow]:
    return cards.effect(cards.LINES, EARLY, early, se), cards.effect(cards.LINES, LATE, late, se)


# --- the finding ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("early", "late", "sentence"),
    [
        (0.03, 0.03, "Lines: a win, early and late"),
        (-0.03, -0.03, "Lines: a loss, early and late"),
        (0.001, -0.001, "Lines: not separable from zero, early or late"),
        (0.03, 0.001, "Lines: an early win that is no longer separable from zero"),
        (-0.03, 0.001, "Lines: an early loss that is no longer separable from zero"),
        (0.001, 0.03, "Lines: no early effect to see, then a win"),
        (0.001, -0.03, "Lines: no early effect to see, then a loss"),
    ],
)
def test_the_two_windows_decide_the_finding(early: float, late: float, sentence: str) -> None:
    assert finding(cards.LINES, *windows(early, late), weekly=()) == sentence


def test_a_crossing_is_dated_by_the_weekly_lifts() -> None:
    weekly = cards.weekly([0.03] * 8 + [-0.01] * 5 + [-0.06] * 13)
    assert finding(cards.LINES, *windows(0.03, -0.06), weekly) == "Lines: a win turns into a loss in week 8"
    mirrored = cards.weekly([-0.03] * 8 + [0.01] * 18)
    assert finding(cards.LINES, *windows(-0.03, 0.06), mirrored) == "Lines: a loss turns into a win in week 8"


def test_where_lower_is_better_a_falling_lift_is_a_win() -> None:
    early, late = (cards.effect(cards.HEAD_SHARE, window, lift) for window, lift in ((EARLY, 0.03), (LATE, -0.06)))
    weekly = cards.weekly([0.03] * 5 + [-0.06] * 21, metric="head_share")
    assert finding(cards.HEAD_SHARE, early, late, weekly) == "Head share: a loss turns into a win in week 5"


def test_single_weeks_that_exclude_zero_by_chance_are_no_finding() -> None:
    weekly = cards.weekly([0.001, 0.02, 0.001, -0.02, *[0.001] * 22])
    assert finding(cards.LINES, *windows(0.001, 0.001), weekly).endswith("not separable from zero, early or late")


def test_a_crossing_without_weeks_has_no_date() -> None:
    assert finding(cards.LINES, *windows(0.03, -0.06), weekly=()) == "Lines: a win turns into a loss"


@pytest.mark.parametrize(
    ("lifts", "week"),
    [
        ([0.03, 0.02, -0.01, -0.02], 2),
        ([0.03, -0.01, 0.01, -0.02], 3),
        ([0.03, 0.02, 0.01, 0.01], None),
        ([-0.03, -0.02, -0.01, -0.01], None),
        ([0.03, 0.02, None, -0.02], 3),
    ],
)
def test_the_crossing_is_the_first_week_from_which_the_lift_stays_away(
    lifts: Sequence[float | None], week: int | None
) -> None:
    assert crossing_week(cards.weekly(lifts), before=1, late_start=3) == week


def test_weeks_of_the_late_window_do_not_date_the_crossing() -> None:
    lifts = [0.03, 0.02, -0.01, -0.02, 0.01, -0.03]
    assert crossing_week(cards.weekly(lifts), before=1, late_start=3) == 2


def test_before_the_late_window_the_finding_is_so_far() -> None:
    card = cards.honeymoon(date(2017, 9, 4))
    early, late = (row for row in card.effects if row.metric == "lines")
    assert finding(cards.LINES, early, late, ()) == "Lines: a win so far, late weeks readable from 2017-12-25"


def test_a_late_window_with_too_few_units_is_named() -> None:
    early, late = windows(0.03, 0.03)
    assert (
        finding(cards.LINES, early, replace(late, state="too_few"), ())
        == "Lines: a win so far, late weeks not readable"
    )
    assert finding(cards.LINES, replace(early, state="too_few"), late, ()) == "Lines: the early weeks are not readable"


def test_before_the_early_window_the_finding_is_a_date() -> None:
    early, late = (row for row in cards.not_yet().effects if row.metric == "lines")
    nothing = cards.weekly([None, None])
    assert finding(cards.LINES, early, late, nothing) == "Lines: not yet, early weeks readable from 2017-07-24"
    some = cards.weekly([0.03, None])
    assert finding(cards.LINES, early, late, some).startswith("Lines: too early to say")


# --- the trajectory ---------------------------------------------------------------------------------------------------
def spec_of(card: Any, metric: Any = cards.LINES, kind: str = "weekly") -> dict[str, Any]:
    rows = [row for row in card.trajectory if (row.metric, row.kind) == (metric.key, kind)]
    effects = [row for row in card.effects if row.metric == metric.key]
    return trajectory.spec(metric, rows, effects, "A title")


def texts(spec: dict[str, Any]) -> list[str]:
    rows = [row for layer in spec["layer"] for row in layer.get("data", {}).get("values", [])]
    named = [row for values in spec.get("datasets", {}).values() for row in values]
    return [row["text"] for row in rows + named if "text" in row]


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize("kind", ["weekly", "cumulative"])
def test_vega_lite_draws_the_spec_in_both_themes(name: theme.Theme, kind: str) -> None:
    spec = spec_of(cards.honeymoon(), kind=kind) | {"width": 600, "config": theme.config(name)}
    svg = vl_convert.vegalite_to_svg(spec)
    line = re.findall(r'class="mark-line[^>]*><path[^>]* d="([^"]*)"[^>]* stroke="([^"]*)"', svg)
    assert [(len(re.findall("[ML]", path)), stroke) for path, stroke in line] == [(26, theme.PALETTES[name]["accent"])]
    assert "week since exposure" in svg
    assert re.search(r">\+[1-9] %<", svg)
    assert re.search(r">−[1-9]0? %<", svg)


@pytest.mark.parametrize("card", [cards.honeymoon(), cards.honeymoon(date(2017, 9, 4))])
def test_specs_and_themes_are_valid_vega_lite(card: Scorecard) -> None:
    spec = spec_of(card) | {"config": theme.config("dark")}
    assert alt.Chart.from_dict(spec).to_dict(validate=True)


def test_a_spec_names_no_color() -> None:
    assert not re.search(r"#[0-9a-f]{6}", str(spec_of(cards.honeymoon())))


def test_windows_are_named_with_their_lift_in_the_weekly_chart_only() -> None:
    assert texts(spec_of(cards.honeymoon())) == ["early", "+3.3 %", "late", "−6.2 %"]
    assert texts(spec_of(cards.honeymoon(), kind="cumulative")) == ["early", "late"]


def test_immature_weeks_are_absent_and_their_place_is_greyed() -> None:
    card = cards.honeymoon(date(2017, 9, 4))
    rows = [row for row in card.trajectory if (row.metric, row.kind) == ("lines", "weekly")]
    assert [record["week"] for record in trajectory.records(rows)] == list(range(10))
    assert "not yet" in texts(spec_of(card))
    assert "not yet" not in texts(spec_of(cards.honeymoon()))


def test_a_mature_week_without_a_value_breaks_the_line() -> None:
    records = trajectory.records(cards.weekly([0.03, None, 0.02, None]))
    assert [record["lift"] for record in records] == [0.03, None, 0.02]


def test_nothing_mature_is_an_empty_chart() -> None:
    assert trajectory.records(cards.weekly([None, None])) == []


def test_a_mature_week_without_a_lift_is_not_shown_as_immature() -> None:
    rows = cards.weekly([0.03, 0.02, 0.01])
    rows = (*rows[:2], replace(rows[2], lift=None, lift_low=None, lift_high=None, reason="control's mean is zero"))
    assert trajectory.last_mature_week(rows) == 2
    assert [record["lift"] for record in trajectory.records(rows)] == [0.03, 0.02, None]
    assert not trajectory.is_drawable(rows[2:])


def test_a_huge_lift_does_not_flatten_the_chart() -> None:
    rows = cards.weekly([0.03, 900.0, -5.0])
    assert trajectory.lift_domain(rows) == [-1.0, 3.0]
    assert trajectory.lift_domain(cards.weekly([None])) == [0.0, 0.0]
    spark = sparkline(cards.LINES, weeks(rows), horizon_weeks=3)
    assert spark is not None
    assert all(0 <= float(point.split(",")[1]) <= SPARK_HEIGHT for point in spark.line.split())


def test_the_tooltip_gives_the_matured_units() -> None:
    record = trajectory.records(cards.weekly([0.03]))[0]
    assert record["Control"] == "15.7 · 19\u202f911 units"
    assert record["95 % interval"] == "+1.8 to +4.2 %"


def test_charts_import_no_array_or_data_frame_library() -> None:
    heavy = ("numpy", "pandas", "scipy", "statsmodels", "lifelines")
    code = f"""
import sys
from experiments.charts import trajectory
from tests.experiments import cards
card = cards.honeymoon()
rows = [row for row in card.trajectory if (row.metric, row.kind) == ("lines", "weekly")]
trajectory.spec(cards.LINES, rows, card.effects[:2], "title")
print([name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# --- colors -----------------------------------------------------------------------------------------------------------
def style_sheet_colors(theme_name: str) -> dict[str, str]:
    css = STYLE_SHEET.read_text()
    start = css.index(":root {" if theme_name == "light" else '[data-theme="dark"] {')
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css[start : css.index("}", start)]))


@pytest.mark.parametrize("name", ["light", "dark"])
def test_charts_have_the_colors_of_the_style_sheet(name: theme.Theme) -> None:
    assert style_sheet_colors(name).items() >= theme.PALETTES[name].items()


def test_the_dark_colors_are_the_same_whoever_asks_for_them() -> None:
    chosen, by_system = (
        re.findall(r"--[a-z-]+: #[0-9a-f]{6};", block)
        for block in STYLE_SHEET.read_text().split("color-scheme: dark;")[1:]
    )
    assert chosen == by_system[: len(chosen)]


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_can_be_read_on_every_ground_it_stands_on(name: str) -> None:
    color = style_sheet_colors(name)
    pairs = [(text, ground) for text in ("ink", "muted", "accent") for ground in ("page", "card", "open-soft")]
    pairs += [(tone, ground) for tone in ("good", "bad", "within") for ground in ("card", "page", f"{tone}-soft")]
    pairs += [(text, f"{tone}-soft") for text in ("ink", "muted") for tone in ("good", "bad")]
    unreadable = {pair: contrast(color[pair[0]], color[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in unreadable.items() if ratio < READABLE} == {}


# --- small drawings ---------------------------------------------------------------------------------------------------
def test_a_bar_places_zero_in_the_middle_and_the_limit_at_the_edge() -> None:
    row = cards.effect(cards.LINES, EARLY, 0.03, se=0.005)
    bar = forest_bar(cards.LINES, row, limit=0.06)
    assert bar is not None
    assert bar.zero == FOREST_WIDTH / 2
    assert bar.zero < bar.low < bar.lift < bar.high < FOREST_WIDTH
    assert bar.lift - bar.zero == pytest.approx((FOREST_WIDTH / 2 - 8) / 2)
    assert (bar.cut_low, bar.cut_high, bar.tone) == (False, False, "good")


def test_an_interval_longer_than_the_scale_is_cut_and_says_so() -> None:
    primary = cards.effect(cards.LINES, LATE, 0.01, se=0.001)
    noisy = cards.effect(cards.SALES, LATE, 0.01, se=0.5)
    limit = forest_limit([(cards.LINES, primary), (cards.SALES, noisy)])
    bar = forest_bar(cards.SALES, noisy, limit)
    assert limit == pytest.approx(0.01 + cards.Z_LOOKS * 0.001)
    assert bar is not None
    assert (bar.cut_low, bar.cut_high) == (True, True)
    assert (bar.low, bar.high) == (8, FOREST_WIDTH - 8)


def test_a_margin_stands_on_the_harmful_side() -> None:
    bar = forest_bar(cards.HEAD_SHARE, cards.effect(cards.HEAD_SHARE, LATE, 0.026, se=0.003), limit=0.05)
    assert bar is not None
    assert bar.margin == FOREST_WIDTH - 8
    assert bar.tone == "within"


def test_there_is_no_bar_without_an_estimate() -> None:
    row = cards.not_yet().effects[0]
    assert forest_bar(cards.LINES, row, limit=0.05) is None
    assert forest_limit([(cards.LINES, row)]) > 0


def test_a_sparkline_covers_the_horizon_and_ends_at_the_last_mature_week() -> None:
    spark = sparkline(cards.LINES, weeks(cards.weekly([0.03, 0.01, -0.02, None, None])), horizon_weeks=5)
    assert spark is not None
    xs = [float(point.split(",")[0]) for point in spark.line.split()]
    assert len(xs) == 3
    assert all(first < second for first, second in pairwise(xs))
    assert (spark.last_x, spark.tone) == (xs[-1], "bad")
    assert spark.last_y > spark.zero
    assert sparkline(cards.LINES, weeks(cards.weekly([0.03, None])), horizon_weeks=5) is None
    sparse = cards.weekly([None, None, None, 0.03, 0.02])
    assert sparkline(cards.LINES, weeks(sparse), horizon_weeks=5) is None


# --- tones ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("metric", "low", "high", "tone"),
    [
        (cards.LINES, 0.01, 0.03, "good"),
        (cards.LINES, -0.03, -0.01, "bad"),
        (cards.LINES, -0.01, 0.01, "open"),
        (cards.LINES, 0.0, 0.01, "open"),
        (cards.LINES, None, None, "open"),
        (cards.HEAD_SHARE, -0.03, -0.01, "good"),
        (cards.HEAD_SHARE, 0.01, 0.03, "within"),
        (cards.HEAD_SHARE, 0.01, 0.08, "bad"),
    ],
)
def test_color_means_good_or_bad_for_the_metric(
    metric: Any, low: float | None, high: float | None, tone: tones.Tone
) -> None:
    assert tones.tone(metric, low, high) == tone


def test_arrows_say_where_the_lift_went() -> None:
    assert [tones.arrow(0.03, "good"), tones.arrow(-0.03, "good"), tones.arrow(0.03, "open")] == ["↑", "↓", "→"]


def test_a_key_becomes_a_heading() -> None:
    assert tones.label("head_share") == "Head share"
