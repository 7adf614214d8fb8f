"""One estimate as a cell shows it: a lift with its interval, or why there is none."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from analysis.plan import Metric
from analysis.results import EffectRow, ReversalRow, State, SurvivalComparisonRow
from experiments import formatting
from experiments.charts.tones import WORDS, Tone, arrow, hazard_tone, tone

#: What a number stands for: a lift, or a ratio of hazards, which is told as such.
Unit = Literal["lift", "hazard"]

MISSING: dict[State, str] = {
    "not_yet": "readable from",
    "too_few": "too few units",
    "failed": "not readable",
    "ok": "no lift",
}


@dataclass(frozen=True)
class Estimate:
    """A lift and its interval, in the color, arrow and word of what it means; or ``missing`` says why it is not there.

    ``since`` is the day from which it will be. Of hazards ``lift`` is their ratio less one.
    """

    heading: str
    lift: float | None = None
    low: float | None = None
    high: float | None = None
    tone: Tone = "open"
    missing: str = ""
    since: date | None = None
    reason: str = ""
    unit: Unit = "lift"

    @property
    def shown(self) -> str:
        if self.unit == "hazard":
            return f"× {formatting.number(None if self.lift is None else 1 + self.lift)}"
        return formatting.unbroken(formatting.percent(self.lift))

    @property
    def interval(self) -> str:
        if self.unit == "hazard" and self.low is not None and self.high is not None:
            return formatting.number_interval(1 + self.low, 1 + self.high)
        return formatting.unbroken(formatting.percent_interval(self.low, self.high))

    @property
    def arrow(self) -> str:
        return arrow(self.lift, self.tone)

    @property
    def word(self) -> str:
        return WORDS[self.tone]


def of_effect(metric: Metric, row: EffectRow) -> Estimate:
    """The cell of a metric in one window."""
    if row.state != "ok" or row.lift is None:
        since = row.readable_from if row.state == "not_yet" else None
        return Estimate(row.window, missing=MISSING[row.state], since=since, reason=row.reason or "")
    if row.drawn is None:
        return Estimate(row.window, row.lift, row.lift_low, row.lift_high, reason=row.reason or "")
    low, high = row.drawn
    return Estimate(row.window, row.lift, low, high, tone(metric, low, high))


def of_event(metric: Metric, heading: str, row: SurvivalComparisonRow) -> Estimate:
    """The cell of a time to event: the lift of the weeks without it, claimed at the horizon that decides alone."""
    if row.rmst_lift is None:
        since = row.readable_from if row.state == "not_yet" else None
        return Estimate(heading, missing=MISSING[row.state], since=since, reason=row.reason or "")
    if row.drawn is None:
        return Estimate(heading, row.rmst_lift, row.rmst_lift_low, row.rmst_lift_high, reason=row.reason or "")
    low, high = row.drawn
    return Estimate(heading, row.rmst_lift, low, high, tone(metric, low, high))


def of_contrast(metric: Metric, row: ReversalRow | None) -> Estimate:
    """The cell of late minus early, both on the same matured units. Guardrail margins are not about contrasts.

    Of a time to event it is the hazard ratio of the late weeks over that of the early ones.
    """
    heading = "late − early"
    if row is None:
        return Estimate(heading, missing="not compared")
    if row.ratio_of_lifts is None:
        state: State = "not_yet" if row.state == "immature" else "failed"
        since = row.readable_from if row.state == "immature" else None
        return Estimate(heading, missing=MISSING[state], since=since, reason=row.reason or "")
    ratio, low, high = row.ratio_of_lifts
    if metric.event is not None:
        return Estimate(heading, ratio, low, high, hazard_tone(metric, low, high), unit="hazard")
    shown = tone(metric, low, high)
    return Estimate(heading, ratio, low, high, "bad" if shown == "within" else shown)


def of_point(metric: Metric, heading: str, lift: float | None, interval: EffectRow | None) -> Estimate:
    """The tile of one window in a banner, good or bad by its side of zero: the banner's own test spoke for both."""
    if lift is None:
        return Estimate(heading, missing="not readable")
    hazard = metric.event is not None
    good = lift * (-metric.sign if hazard else metric.sign) > 0
    shown: Tone = "open" if lift == 0 else "good" if good else "bad"
    low, high = interval.drawn if interval and interval.drawn else (None, None)
    return Estimate(heading, lift, low, high, shown, unit="hazard" if hazard else "lift")
