"""Whether an estimate is good or bad news for its metric. Colors, arrows and words all follow from here."""

from typing import Literal

from analysis.plan import Metric

Tone = Literal["good", "bad", "within", "open"]

WORDS: dict[Tone, str] = {
    "good": "better",
    "bad": "worse",
    "within": "worse, within the margin",
    "open": "not separable from zero",
}


def tone(metric: Metric, low: float | None, high: float | None) -> Tone:
    """Return good or bad if the interval of a lift lies on one side of zero, ``within`` if a guardrail holds anyway.

    Of a time to event the lift is that of the time without it.
    """
    if low is None or high is None or low <= 0 <= high:
        return "open"
    if (low > 0) == (metric.sign > 0):
        return "good"
    if metric.margin is not None and max(abs(low), abs(high)) < metric.margin:
        return "within"
    return "bad"


def hazard_tone(metric: Metric, low: float | None, high: float | None) -> Tone:
    """Return good or bad if the interval of a hazard ratio less one lies on one side of zero.

    A higher hazard is a shorter time without the event.
    """
    if low is None or high is None or low <= 0 <= high:
        return "open"
    return "bad" if (low > 0) == (metric.sign > 0) else "good"


def arrow(lift: float | None, shown: Tone) -> str:
    """Return the direction of the lift, level where it is not separable from zero."""
    if shown == "open" or lift is None:
        return "→"
    return "↑" if lift > 0 else "↓"


def label(metric_key: str) -> str:
    """Return a metric's key as a heading: ``head_share`` is ``Head share``."""
    words = metric_key.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]
