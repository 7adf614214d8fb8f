"""The one sentence above a time to event: how many weeks without it are won or lost, if that is known."""

from analysis.plan import Event, Metric
from analysis.results import SurvivalComparisonRow
from experiments import formatting
from experiments.charts.tones import label


def event_finding(metric: Metric, row: SurvivalComparisonRow) -> str:
    """Return the title of a metric's card; a difference is stated where the interval over all looks leaves out zero."""
    assert metric.event is not None
    return f"{label(metric.key)}: {_finding(metric.event, row)}"


def without(event: Event) -> str:
    """What the weeks are weeks of: ``without a gap of 4 weeks``, ``before the first arrested``."""
    if event.type == "inactivity":
        return f"without a gap of {event.gap_weeks} weeks"
    return f"before the first {event.column}"


def _finding(event: Event, row: SurvivalComparisonRow) -> str:
    if row.rmst_difference is None:
        day = formatting.day(row.readable_from)
        return f"not yet, week {row.tau} is readable from {day}" if row.state == "not_yet" else "not readable"
    weeks, out_of = formatting.weeks(abs(row.rmst_difference)), f"out of {row.horizon_week}"
    more = "more" if row.rmst_difference > 0 else "fewer"
    if not row.decides:
        day = formatting.day(row.readable_from)
        return f"{weeks} weeks {more} so far, {out_of}; week {row.tau} decides, readable from {day}"
    if row.drawn is None:
        return f"{weeks} weeks {more} so far, {out_of}; nothing can be claimed yet"
    if not row.drawn[0] <= 0 <= row.drawn[1]:
        return f"{weeks} weeks {more} {without(event)}, {out_of}"
    return f"no difference to see in weeks {without(event)}"
