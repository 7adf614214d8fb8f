"""A time to event in the terminal, in a few sentences: what is lost in weeks, and when. Django-free."""

from collections.abc import Iterator

from rich.text import Text

from analysis.plan import Event, Metric
from analysis.results import SurvivalComparisonRow
from experiments import formatting

_VERDICTS = {
    "superior": "better", "non_inferior": "within its margin", "inferior": "BEYOND ITS MARGIN",
    "undecided": "not decided",
}  # fmt: skip
_STYLES = {"inferior": "bold red", "superior": "green", "non_inferior": "green"}


def lines(metric: Metric, row: SurvivalComparisonRow) -> Iterator[Text]:
    """Yield what a comparison says, a line each, the first one with the metric's name and what its event is."""
    assert metric.event is not None
    yield Text(f"{metric.key}: time to {event_words(metric.event)}", style="bold")
    if row.rmst_difference is None:
        yield Text(f"  {row.reason}", style="dim")
        return
    yield _restricted_mean(row)
    yield Text(f"  {_shares(row)}")
    yield Text(f"  {_hazards(row)}")
    if row.returned_share is not None:
        came_back = formatting.percent(row.returned_share, signed=False)
        yield Text(f"  {came_back} of the units counted as gone were active again later.")
    if row.gap_weeks is not None and row.gap_advised is not None and row.gap_weeks < row.gap_advised:
        yield Text(
            f"  The gap of {row.gap_weeks} weeks is short: before exposure more than 5 % of the pauses were as long. "
            f"{row.gap_advised} weeks would count fewer units as gone that come back.",
            style="yellow",
        )
    if row.reason:
        yield Text(f"  {row.reason}", style="dim")


def event_words(event: Event) -> str:
    """The event in words: ``the first 4 weeks without lines``."""
    if event.type == "occurrence":
        return f"the first week with {event.column}"
    return f"the first {event.gap_weeks} weeks without {event.column}"


def _restricted_mean(row: SurvivalComparisonRow) -> Text:
    weeks = f"out of the first {row.horizon_week}"
    means = f"{formatting.number(row.rmst_control)} -> {formatting.number(row.rmst_treatment)}"
    lift, interval = row.rmst_lift, (row.rmst_lift_low, row.rmst_lift_high)
    held = "95 %, one look"
    if row.drawn is not None:
        interval, held = row.drawn, "over all looks"
    told = f"  Weeks without it {weeks}: {means}, {formatting.percent(lift)}"
    told += f" ({formatting.percent_interval(*interval)}, {held})"
    if row.verdict is None or not row.decides:
        return Text(told)
    margin = f", margin {formatting.percent(row.margin, signed=False)}" if row.margin is not None else ""
    return Text(told).append(f": {_VERDICTS[row.verdict]}{margin}", style=_STYLES.get(row.verdict, ""))


def _shares(row: SurvivalComparisonRow) -> str:
    parts = [
        f"after {one.week} weeks {formatting.points(one.difference)} ({formatting.points(one.low)} to "
        f"{formatting.points(one.high)})"
        for one in row.named_differences
    ]
    return f"Units without it, in percentage points: {'; '.join(parts)}."


def _hazards(row: SurvivalComparisonRow) -> str:
    if row.hazard_ratio is None:
        return "No hazard ratio: a variant has no events."
    ratio = formatting.number(row.hazard_ratio)
    low, high = formatting.number(row.hazard_ratio_low), formatting.number(row.hazard_ratio_high)
    told = f"Hazard ratio {ratio} ({low} to {high}), log-rank {formatting.p_value(row.logrank_p_value)}"
    periods = [
        f"weeks {one.start_week}-{one.end_week - 1} {formatting.number(one.hazard_ratio)}"
        for one in row.periods
        if one.hazard_ratio is not None
    ]
    told += f"; {', '.join(periods)}" if len(periods) > 1 else ""
    adjusted = row.adjusted_hazard
    if adjusted is not None:
        ends = f"{formatting.number(adjusted.low)} to {formatting.number(adjusted.high)}"
        told += f"; beside covariates {formatting.number(adjusted.hazard_ratio)} ({ends})"
    return f"{told}."
