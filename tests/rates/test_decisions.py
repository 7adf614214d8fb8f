"""Does following the recommendations do better than the two-week test, on treatments of every kind?

1,000 experiments of the Honeymoon plan (lines short-term, active long-term, head share guarded at 2 %), 40,000 units:

    share  kind            course of the treatment
    .20    no effect
    .20    win             lines +2 to +5 %, constant
    .10    loss            lines -5 to -2 %, constant
    .25    honeymoon       lines +2 to +5 % for whoever is there; .2 to .8 % leave for good every week from week 4 on
    .10    slow burn       lines -3 % for four weeks, then up to +3 to +6 % from week 13 on
    .10    novelty         lines +4 to +7 % decaying to +1 to +2 %
    .05    guardrail harm  lines +3 %, and head share up by 5 to 10 %

Following the rule: at every weekly look the recommendation is done. A launch with holdback gives the treatment to all,
and is taken back if a later look says roll back or stop; a launch is for good, so are a stop and a rollback; what is
still running at the last look is not launched. A launch with holdback that was taken back is no launch in the end, but
people had the treatment for some weeks: the table counts these, and regret does too.

A treatment is harmful if its true late lift is below -.5 % on lines or active, or head share rises beyond its margin;
good if it is not harmful and the late lift of lines is at least +2 %. Value is lift-weeks a unit over a year from the
start, lines and active weighted .4 and .6 as in the plan: a unit that gets the treatment in week w of the year has the
lift of week 0 since exposure then, and so on; beyond week 25 the last one stays. Regret is the value lost against
hindsight: all from the first day if the year's value is positive and nothing is harmed, nobody otherwise. Harm to the
guardrail counts as twice its relative size a week.

What the mixture says depends on the mixture: shares and sizes are a choice, made before anything was run.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest

from analysis.effects import effect_of, means_of
from analysis.plan import Window
from analysis.replay import NAIVE_LEVEL
from analysis.scorecard import judge
from analysis.simulation import NOTHING, Injection
from analysis.triangle import Triangle
from analysis.windows import fully_readable, look_number, weekly_looks
from tests.rates.bounds import SHOWN, check_at_least, check_at_most, is_full
from tests.rates.tables import frozen
from tests.rates.worlds import COLUMNS, moments_of, worlds

KEYS = ("lines", "active", "head_share")
YEAR = 52
MARGIN = 0.02
MATERIAL = 0.005
GOOD = 0.02

#: Worlds of the full run, and of the slice in every run, which reads every fourth look only.
MANY, FEW = 1_000, 24

#: Different treatments of each kind; more worlds draw from the same ones.
VARIETIES = 10
SHARES = {
    "no effect": 0.20, "win": 0.20, "loss": 0.10, "honeymoon": 0.25, "slow burn": 0.10, "novelty": 0.10,
    "guardrail harm": 0.05,
}  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What a treatment truly does: weekly lifts of lines and active over a year, late lifts, and head share late."""

    kind: str
    injection: Injection
    value: np.ndarray
    late_lines: float
    late_active: float
    head_share: float

    @property
    def harmful(self) -> bool:
        return min(self.late_lines, self.late_active) < -MATERIAL or self.head_share > MARGIN

    @property
    def good(self) -> bool:
        return not self.harmful and self.late_lines >= GOOD

    def worth(self, launched: float, taken_back: float = YEAR) -> float:
        """Value of treating everybody from one week of the year to another."""
        return float(self.value[: max(0, round(taken_back - launched))].sum())

    @property
    def hindsight(self) -> float:
        return 0.0 if self.harmful else max(0.0, self.worth(0))


def injections(kind: str, rng: np.random.Generator) -> Injection:
    weeks = np.arange(26)
    if kind == "win":
        return Injection(multiplier=(float(rng.uniform(1.02, 1.05)),))
    if kind == "loss":
        return Injection(multiplier=(float(rng.uniform(0.95, 0.98)),))
    if kind == "honeymoon":
        hazard = (0.0,) * 4 + (float(rng.uniform(0.002, 0.008)),)
        return Injection(multiplier=(float(rng.uniform(1.02, 1.05)),), hazard=hazard)
    if kind == "slow burn":
        end = float(rng.uniform(1.03, 1.06))
        return Injection(multiplier=tuple(float(v) for v in np.interp(weeks, [0, 3, 13, 25], [0.97, 0.97, end, end])))
    if kind == "novelty":
        start, end = rng.uniform(1.04, 1.07), rng.uniform(1.01, 1.02)
        return Injection(multiplier=tuple(float(v) for v in end + (start - end) * np.exp(-weeks / 4)))
    if kind == "guardrail harm":
        return Injection(multiplier=(1.03,), head_conversion=(float(rng.uniform(0.0095, 0.019)),))
    return NOTHING


def truth_of(kind: str, injection: Injection) -> Truth:
    control, treatment = (moments_of(one, COLUMNS[KEYS]) for one in (NOTHING, injection))
    means = [one.share @ one.mean for one in (control, treatment)]

    def weekly(column: str) -> np.ndarray:
        places = [control.position(column, week) for week in range(26)]
        return np.array([mean[places] for mean in means])

    lines, active, head = weekly("lines"), weekly("active"), weekly("head_lines")
    lifts = {name: values[1] / values[0] - 1 for name, values in (("lines", lines), ("active", active))}
    late = {name: values[:, 13:].sum(axis=1) for name, values in (("lines", lines), ("active", active), ("head", head))}
    share = float((late["head"][1] / late["lines"][1]) / (late["head"][0] / late["lines"][0]) - 1)
    value = 0.4 * lifts["lines"] + 0.6 * lifts["active"] - 2 * max(0.0, share - MARGIN)
    return Truth(
        kind, injection, np.concatenate([value, np.full(YEAR - 26, value[-1])]),
        float(late["lines"][1] / late["lines"][0] - 1), float(late["active"][1] / late["active"][0] - 1), share,
    )  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What was done in the end, the value of the year, and for how many weeks a launch was in force and taken back."""

    action: str
    value: float
    taken_back: int = 0

    @property
    def launched(self) -> bool:
        return self.action in ("launch", "launch with holdback")


def followed(triangle: Triangle, truth: Truth, every: int = 1) -> Outcome:
    """Do what is recommended at every weekly look, or at every so many of them and the last."""
    launched: int | None = None
    of_metric = {metric.key: triangle.of_metric(metric) for metric in triangle.plan.metrics}
    days = weekly_looks(triangle.plan, triangle.as_of)
    for day in days[::-every][::-1]:
        card = judge(triangle.at(day), {key: own.at(day) for key, own in of_metric.items()})
        action, week = card.recommendations[0].action, look_number(triangle.plan, day)
        if action in ("roll_back", "stop"):
            name = action.replace("_", " ")
            return (
                Outcome(name, 0.0) if launched is None else Outcome(name, truth.worth(launched, week), week - launched)
            )
        if action in ("launch", "launch_with_holdback") and launched is None:
            launched = week
        if action == "launch":
            return Outcome("launch", truth.worth(launched))
    return Outcome("keep running", 0.0) if launched is None else Outcome("launch with holdback", truth.worth(launched))


def two_weeks(triangle: Triangle, truth: Truth) -> Outcome:
    week = look_number(triangle.plan, fully_readable(triangle.plan, 2)) + 1
    for metric in triangle.plan.metrics:
        if metric.role == "primary":
            means = means_of(triangle.of_metric(metric), metric, "treatment", [Window("", 0, 2)], (0, 1, 2, 3))
            assert means is not None
            row = effect_of(means)
            if row.p_value < NAIVE_LEVEL and row.effect > 0:
                return Outcome("launch", truth.worth(week))
    return Outcome("stop", 0.0)


Done = list[tuple[Truth, Outcome, Outcome]]


def simulated(count: int, seed: int, varieties: int, every: int = 1) -> Done:
    """Draw ``count`` worlds of ``varieties`` treatments of each kind, and follow both rules."""
    rng = np.random.default_rng(seed)
    done: Done = []
    for kind, share in SHARES.items():
        different = 1 if kind == "no effect" else varieties
        for _ in range(different):
            truth = truth_of(kind, injections(kind, rng))
            drawn = worlds(truth.injection, KEYS, round(count * share / different), seed=int(rng.integers(2**31)))
            done.extend((truth, followed(triangle, truth, every), two_weeks(triangle, truth)) for triangle in drawn)
    return done


ACTIONS = ("launch", "launch with holdback", "keep running", "stop", "roll back")


def table(done: Done) -> str:
    """What was done to which kind, and the regret of both rules, in percent-weeks of lift a unit."""
    kinds: dict[str, Done] = defaultdict(list)
    for one in done:
        kinds[one[0].kind].append(one)
    head = "".join(f"{name:>14}" for name in ("launch", "with holdback", "keep running", "stop", "roll back"))
    lines = [f"{'truth':<16}{'n':>6}{head}{'taken back':>12}{'regret':>9} |{'2 weeks: launch':>17}{'regret':>9}"]
    for kind, found in kinds.items():
        cells = "".join(f"{sum(ours.action == action for _, ours, _ in found):>14}" for action in ACTIONS)
        back, theirs = sum(ours.taken_back > 0 for _, ours, _ in found), sum(one.launched for _, _, one in found)
        lost = 100 * regrets(found).mean(axis=0)
        lines.append(f"{kind:<16}{len(found):>6}{cells}{back:>12}{lost[0]:>9.1f} |{theirs:>17}{lost[1]:>9.1f}")
    lost = 100 * regrets(done).mean(axis=0)
    lines.append(f"{'all':<16}{len(done):>6}{'':>82}{lost[0]:>9.1f} |{'':>17}{lost[1]:>9.1f}")
    return "\n".join(lines) + "\n"


def regrets(done: Done) -> np.ndarray:
    """The value lost against hindsight, by the rule and by the two-week test; shape (worlds, 2)."""
    return np.array([
        (truth.hindsight - ours.value, truth.hindsight - theirs.value) for truth, ours, theirs in done
    ])  # fmt: skip


def summary(done: Done) -> str:
    """The figures that have bounds, for both rules."""
    harmful, good = [one for one in done if one[0].harmful], [one for one in done if one[0].good]
    lines = []
    for name, place in (("the rule", 1), ("two-week test", 2)):
        shares = [float(np.mean([one[place].launched for one in found])) for found in (harmful, good)]
        lines.append(f"{name}: launched {shares[0]:.3f} of {len(harmful)} harmful, {shares[1]:.3f} of {len(good)} good")
    weeks = [ours.taken_back for _, ours, _ in harmful if ours.taken_back]
    if weeks:
        lines.append(
            f"launched with a holdback and taken back: {len(weeks) / len(harmful):.3f} of the harmful, "
            f"after {np.mean(weeks):.1f} weeks on average"
        )
    lines.append(f"regret of the rule over that of the test: {ratio(regrets(done)):.3f}")
    return "\n".join(lines) + "\n"


def ratio(lost: np.ndarray) -> float:
    return float(lost[:, 0].sum() / lost[:, 1].sum())


def check(done: Done) -> None:
    harmful = [ours.launched for truth, ours, _ in done if truth.harmful]
    good = [ours.launched for truth, ours, _ in done if truth.good]
    full = is_full(len(done))
    check_at_most(sum(harmful), len(harmful), 0.05, full)
    check_at_least(sum(good), len(good), 0.80, full)
    # Limits of a ratio of sums: by drawing the worlds anew (bootstrap).
    lost, rng = regrets(done), np.random.default_rng(82)
    drawn = [ratio(lost[rng.integers(len(lost), size=len(lost))]) for _ in range(2_000)]
    assert np.quantile(drawn, SHOWN if full else 1 - SHOWN) <= 1 / 3


def test_the_recommendations_do_well_on_a_few_worlds_read_every_fourth_week() -> None:
    done = simulated(FEW, seed=80, varieties=2, every=4)
    print(table(done) + summary(done))
    check(done)


@pytest.mark.slow
def test_following_the_recommendations_harms_few_launches_most_good_and_regrets_little() -> None:
    done = simulated(MANY, seed=81, varieties=VARIETIES)
    text = f"{MANY:,} worlds of 40,000 units, seed 81; regret in percent-weeks of lift a unit and year\n{table(done)}"
    text += summary(done)
    print(text)
    check(done)
    frozen("decisions.txt", text)
