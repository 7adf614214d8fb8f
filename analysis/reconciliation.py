"""The measured effect of all launches together against the sum of what each launch promised, explained part by part.

People add up launched lifts. A holdout measures what came of them, and it is mostly less. The gap is taken apart in
steps, each a total that would be expected once one more thing is allowed for; a part is the difference to the step
before, so the parts add up to the gap exactly:

    selection       launched because they looked good: Lee & Shen's correction (``shrinkage``)
    aging           the lift of the newest weeks that the member's experiment has lived, for that of its headline
    dilution        units that never meet the launch, and weeks of the span before it
    running         treatments of experiments that still ran in the span, on the units that had them
    contamination   units held out that met a launch all the same
    rest            what is left: interaction between launches, cannibalization, anything not allowed for, and noise

Lifts compound: a total is the product of (1 + lift) over members, less one. So they do among units held out: each
launch contaminates by its own share, and control's mean is higher by the product of (1 + share x lift). One share of
units that met any launch would give all of them the lifts of all launches. Members are randomized independently of
the holdout, so their errors are taken as independent of its own. A share of units stands for a share of the metric:
units that meet a launch are taken to be as active as others.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from analysis import claims, rolling, windows
from analysis.contamination import span_shares
from analysis.effects import contrast, log_lift, means_of
from analysis.numbers import critical
from analysis.plan import Metric, Plan, Window
from analysis.results import Comparison
from analysis.shrinkage import corrected_error, prior, selection_bias
from analysis.triangle import Triangle

MemberState = Literal["launched", "running", "ended"]
PartName = Literal["selection", "aging", "dilution", "running", "contamination", "rest"]

#: Without a boundary of its own a launch is taken to need an estimate this many standard errors above zero.
PLAIN_THRESHOLD = critical()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a member's experiment says of the holdout's metric, on the same units for both spans of weeks.

    ``lift`` is the headline, of weeks [start_week, end_week); ``aged_lift`` that of the newest weeks it has lived.
    ``se`` are standard errors of lifts; ``correlation`` is that of the two. ``threshold`` is the critical value beyond
    which the lift counted as a win, None where the member was not judged on this metric.
    """

    lift: float
    se: float
    start_week: int
    end_week: int
    aged_lift: float
    aged_se: float
    aged_start_week: int
    aged_end_week: int
    correlation: float
    threshold: float | None


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member of the holdout, as of the holdout's day. Weeks are calendar weeks from the holdout's start_date.

    Attributes:
        started: when its experiment began to expose units.
        decided: when it was launched or ended; None while it runs.
        exposed_share: share of the launched units that meet it once it is launched.
        treated_share: share of the launched units that had its treatment while it ran.
        reading: None where there is nothing to read, and then ``reason`` says why.
        met: by calendar week, the share of the days of units held out after they met it all the same. None where that
            is not known, and then ``met_reason`` says why.
    """

    key: str
    variant: str
    state: MemberState
    started: float
    decided: float | None
    exposed_share: float
    treated_share: float
    reading: Reading | None
    reason: str | None = None
    met: tuple[float, ...] | None = None
    met_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class MemberRow:
    """A member's lift from its headline to what it should do in the span, step by step, as fractions.

    None throughout where it cannot be read; ``lift`` to ``diluted`` are those of a launch, ``running`` that of its
    experiment within the span, ``held_out`` what it does among the units held out. ``held_out_share``: the share of
    their days in the span with it.
    """

    key: str
    variant: str
    state: MemberState
    launched_share: float
    running_share: float
    held_out_share: float | None = None
    lift: float | None = None
    shrunk: float | None = None
    aged: float | None = None
    diluted: float | None = None
    running: float | None = None
    held_out: float | None = None
    posterior: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """A step of the explanation: what it adds, and the total expected after it.

    ``reason``: of whom it is not measured, and why; what is not measured adds nothing.
    """

    name: PartName
    value: float
    total: float
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """The sum of launched lifts, the measured lift of the same calendar weeks, and the parts between the two.

    ``raw``, ``shrunk``, ``bayes`` and ``aged`` are totals before dilution; ``expected`` is what should have been
    measured, with its standard error; ``rest`` is measured less expected, and the interval has the errors of both.
    """

    metric: str
    span: Window
    members: tuple[MemberRow, ...] = ()
    raw: float | None = None
    shrunk: float | None = None
    bayes: float | None = None
    aged: float | None = None
    expected: float | None = None
    expected_se: float | None = None
    measured: float | None = None
    measured_low: float | None = None
    measured_high: float | None = None
    gap: float | None = None
    parts: tuple[Part, ...] = ()
    rest_se: float | None = None
    rest_low: float | None = None
    rest_high: float | None = None
    reason: str | None = None

    @property
    def last_week(self) -> int:
        """The last calendar week of the span."""
        return self.span.end_week - 1

    @property
    def explained(self) -> bool | None:
        """Whether the rest may be noise: its interval holds zero. None where there is nothing to explain."""
        if self.rest_low is None or self.rest_high is None:
            return None
        return self.rest_low <= 0 <= self.rest_high


# --- One member -------------------------------------------------------------------------------------------------------
def read_member(triangle: Triangle, metric: Metric, variant: str) -> Reading | str:
    """Read the holdout's metric in a member's triangle, as of its last day without the launch; a reason where not.

    The headline is the window that decides on the metric there, or the early one while that cannot be read.
    """
    own = next((one for one in triangle.plan.metrics if one.key == metric.key), None)
    if own is None:
        return f"it has no metric {metric.key}"
    if (own.kind, own.series) != (metric.kind, metric.series):
        return f"its metric {metric.key} is measured in another way than the holdout's"
    if own.event is not None:
        return "a time to event has no lift that adds up"
    of_metric = triangle.of_metric(own)
    for name in dict.fromkeys((own.deciding_window, "early")):
        found = _spans(of_metric, own, variant, triangle.plan.window(name))
        if found is not None:
            return _read(triangle.plan, of_metric, own, variant, found)
    return f"none of its cohorts has lived the early window as of {triangle.as_of}"


def _spans(triangle: Triangle, metric: Metric, variant: str, window: Window) -> tuple[Window, Window] | None:
    """The headline and the newest weeks that can be read on the same units."""
    if not windows.window_cohorts(triangle.plan, window, triangle.as_of):
        return None
    newest = rolling.newest(triangle)
    if newest is None or newest.window.end_week <= window.end_week - rolling.WEEKS:
        return window, window
    return window, newest.window


def _read(plan: Plan, triangle: Triangle, metric: Metric, variant: str, spans: tuple[Window, Window]) -> Reading | str:
    """``plan`` has all of the member's metrics, which share alpha."""
    end = max(span.end_week for span in spans)
    cohorts = windows.mature_cohorts(triangle.plan, end, triangle.as_of)
    means = means_of(triangle, metric, variant, spans, cohorts)
    logs = [log_lift(means, value) for value in (0, 1)] if means is not None else [None]
    if means is None or any(one is None for one in logs):
        return "its lift cannot be estimated on these units"
    (first, first_se), (second, second_se) = (one for one in logs if one is not None)
    moved = contrast(means, 0, 1)
    between = _correlation(first_se, second_se, moved.lift_low, moved.lift_high)
    judged = (metric.key, spans[0].name) in claims.judged(plan)
    threshold = None
    if judged:
        alpha = claims.level(plan, metric, spans[0]).low
        found = claims.critical(plan, claims.looks(triangle, variant, cohorts), alpha)
        threshold = found if math.isfinite(found) else PLAIN_THRESHOLD
    return Reading(
        lift=math.expm1(first), se=math.exp(first) * first_se,
        start_week=spans[0].start_week, end_week=spans[0].end_week,
        aged_lift=math.expm1(second), aged_se=math.exp(second) * second_se,
        aged_start_week=spans[1].start_week, aged_end_week=spans[1].end_week,
        correlation=between, threshold=threshold,
    )  # fmt: skip


def _correlation(first: float, second: float, low: float | None, high: float | None) -> float:
    """From the errors of two log lifts and the interval of their contrast: Var(b - a) = a^2 + b^2 - 2 r a b."""
    if low is None or high is None:  # the same weeks: their contrast does not vary
        return 1.0
    spread = (high - low) / (2 * critical())
    return float(np.clip((first**2 + second**2 - spread**2) / (2 * first * second), -1.0, 1.0))


def weeks_since(span: Window, week: float) -> float:
    """The share of a span of calendar weeks that lies after a point in time."""
    return min(1.0, max(0.0, (span.end_week - max(span.start_week, week)) / span.weeks))


# --- All of them ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Shares:
    """Of the unit-weeks of a span, those with a treatment: after the launch (or the end), and while it ran.

    ``launched`` and ``running`` are of the launched units, ``held`` (after, before) of the units held out.
    """

    launched: float
    running: float
    held: tuple[float, float]


@dataclass(frozen=True)
class _Steps:
    """A member's lift at each step. What was ended is in it with what its selection would have cost: credit 0."""

    raw: float
    shrunk: float
    aged: float
    diluted: float
    running: float
    held_out: float
    variance: float


def _steps(member: Member, sign: int, shares: _Shares) -> _Steps:
    reading = member.reading
    assert reading is not None
    credit, bias, aged_bias, noise = float(member.state == "launched"), 0.0, 0.0, float(member.state == "launched")
    if reading.threshold is not None and member.decided is not None:
        chosen = (sign * reading.lift, reading.se, reading.threshold)
        bias = sign * selection_bias(*chosen)
        aged_bias = sign * selection_bias(*chosen, other_se=reading.aged_se, correlation=reading.correlation)
        noise = corrected_error(*chosen, correlation=reading.correlation)
    aged = credit * reading.aged_lift - aged_bias
    # While it ran, and after it was decided, the headline is what its units had; a running one is read on its newest.
    lift, se = (reading.aged_lift, reading.aged_se) if member.state == "running" else (reading.lift, reading.se)
    # An error that control shares does not move the difference.
    after, before = shares.launched - shares.held[0], shares.running - shares.held[1]
    return _Steps(
        raw=credit * reading.lift, shrunk=credit * reading.lift - bias, aged=aged, diluted=aged * shares.launched,
        running=lift * shares.running, held_out=aged * shares.held[0] + lift * shares.held[1],
        variance=noise * (after * reading.aged_se) ** 2 + (before * se) ** 2,
    )  # fmt: skip


def reconcile(metric: Metric, span: Window, measured: Comparison | None, members: Sequence[Member]) -> Reconciliation:
    """Explain the gap between a measured lift and the sum of launched lifts.

    ``measured`` is the holdout's comparison over the calendar weeks ``span``.
    """
    posterior = _posteriors(members)
    table, steps = [], []
    for member in members:
        shares = _shares(member, span)
        step = _steps(member, metric.sign, shares) if member.reading is not None else None
        table.append(_row(member, shares, step, posterior.get((member.key, member.variant))))
        steps += [] if step is None else [step]
    launched = [one for one in table if one.state == "launched"]
    parts = _parts(steps, _not_measured(members, span))
    found = Reconciliation(
        metric=metric.key, span=span, members=tuple(table), parts=parts,
        raw=parts[0].total - parts[0].value, shrunk=parts[0].total, aged=parts[1].total,
        bayes=math.prod(1 + (one.posterior or 0.0) for one in launched) - 1 if posterior else None,
        expected=parts[-1].total, expected_se=math.sqrt(sum(one.variance for one in steps)), reason=_missing(launched),
    )  # fmt: skip
    return _against(found, measured)


def _parts(steps: Sequence[_Steps], not_measured: str | None) -> tuple[Part, ...]:
    """Every part but the rest: each is the difference between two totals that follow one another."""
    raw = _compound(steps, lambda one: one.raw)
    shrunk = _compound(steps, lambda one: one.shrunk)
    aged = _compound(steps, lambda one: one.aged)
    diluted = _compound(steps, lambda one: one.diluted)
    running = _compound(steps, lambda one: one.diluted + one.running)
    # Of the units held out some have what is launched, so control's mean is higher by what it does for them.
    expected = (1 + running) / (1 + _compound(steps, lambda one: one.held_out)) - 1
    return (
        Part(name="selection", value=shrunk - raw, total=shrunk),
        Part(name="aging", value=aged - shrunk, total=aged),
        Part(name="dilution", value=diluted - aged, total=diluted),
        Part(name="running", value=running - diluted, total=running),
        Part(name="contamination", value=expected - running, total=expected, reason=not_measured),
    )


def _not_measured(members: Iterable[Member], span: Window) -> str | None:
    """Of which members in the sum it is not known who held out met them, and why; those alike are named together."""
    told: dict[str, list[str]] = {}
    for member in members:
        if member.reading is not None and member.met is None and weeks_since(span, member.started):
            told.setdefault(member.met_reason or "nobody has told", []).append(member.key)
    if not told:
        return None
    return "not measured for " + "; for ".join(f"{', '.join(keys)}: {why}" for why, keys in told.items())


def _against(found: Reconciliation, measured: Comparison | None) -> Reconciliation:
    """Put the measured lift beside what was expected; without one the parts stand without a rest."""
    assert found.expected is not None
    assert found.raw is not None
    assert found.expected_se is not None
    if measured is None or measured.lift is None or measured.lift_low is None or measured.lift_high is None:
        why = "the holdout has no lift over these weeks yet" if measured is None else measured.reason
        return replace(found, reason="; ".join(part for part in (found.reason, why) if part))
    rest = measured.lift - found.expected
    # The interval is symmetric on the log scale; so is the error, at the measured lift.
    se = (1 + measured.lift) * math.log((1 + measured.lift_high) / (1 + measured.lift_low)) / (2 * critical())
    error = math.hypot(se, found.expected_se)
    return replace(
        found, measured=measured.lift, measured_low=measured.lift_low, measured_high=measured.lift_high,
        gap=measured.lift - found.raw, parts=(*found.parts, Part(name="rest", value=rest, total=measured.lift)),
        rest_se=error, rest_low=rest - critical() * error, rest_high=rest + critical() * error,
    )  # fmt: skip


def _shares(member: Member, span: Window) -> _Shares:
    """How much of the span is after the launch (or the end) of a member, and while it ran, for whom."""
    decided = math.inf if member.decided is None else member.decided
    after = weeks_since(span, decided)
    running = max(0.0, weeks_since(span, member.started) - after)
    held = (0.0, 0.0) if member.met is None else span_shares(member.met, span.start_week, span.end_week, decided)
    return _Shares(member.exposed_share * after, member.treated_share * running, held)


def _posteriors(members: Sequence[Member]) -> dict[tuple[str, str], float]:
    """Each lift moved towards the mean of all members' true lifts, by empirical Bayes; none below three members."""
    read = [((one.key, one.variant), one.reading) for one in members if one.reading is not None]
    fitted = prior(np.array([one.lift for _, one in read]), np.array([one.se for _, one in read]))
    return {} if fitted is None else {key: fitted.posterior(one.lift, one.se)[0] for key, one in read}


def _compound(steps: Sequence[_Steps], of: Callable[[_Steps], float]) -> float:
    return math.prod(1 + of(one) for one in steps) - 1


def _row(member: Member, shares: _Shares, step: _Steps | None, posterior: float | None) -> MemberRow:
    row = MemberRow(
        key=member.key, variant=member.variant, state=member.state, launched_share=shares.launched,
        running_share=shares.running, held_out_share=None if member.met is None else sum(shares.held),
        reason=member.reason,
    )  # fmt: skip
    if step is None or member.reading is None:
        return row
    return replace(
        row, lift=member.reading.lift, shrunk=step.shrunk, aged=step.aged, diluted=step.diluted, running=step.running,
        held_out=None if member.met is None else step.held_out, posterior=posterior,
    )  # fmt: skip


def _missing(launched: Sequence[MemberRow]) -> str | None:
    """Launches without a readable lift are not in the sum: what they do is in the rest."""
    without = [one.key for one in launched if one.lift is None]
    if not launched:
        return "nothing has been launched yet"
    return f"in the rest, for their lift cannot be read: {', '.join(without)}" if without else None
