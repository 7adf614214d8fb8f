"""Effects and adjustment on two real trials against R and printed tables; the answers are in tests/reference."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.moments import Moments
from tests.analysis.unit_rows import effect_between, exact, two_columns

REFERENCE = Path(__file__).parents[1] / "reference"
STAR = json.loads((REFERENCE / "effects.json").read_text(encoding="utf-8"))["entries"]["cuped_alo"]

#: Adjustment divides by a variance, which costs a few digits.
ADJUSTED = 1e-6
#: HC2 divides each squared residual by 1 - leverage, our formula by (n - 1) / n: at thousands of units a part in a
#: thousand, with an allowance for skewed counts, whose few largest residuals go together with a large covariate.
HC2_AT_40_000 = 0.02
#: With 58 units in an arm one leverage of .1 moves the HC2 standard error by more than a percent.
HC2_AT_157 = 0.03


def test_the_star_trial_agrees_with_lm_lin_of_r() -> None:
    """alo_star_men of the R package estimatr, frozen by tests/reference/make_alo_star_men.R."""
    expected, tolerance = STAR["expected"], STAR["tolerance"]
    rows = pd.read_csv(REFERENCE / "alo_star_men.csv")
    with (REFERENCE / "alo_star_men_expected.csv").open(encoding="utf-8") as file:
        answers = {row["estimator"]: row for row in csv.DictReader(file)}
    found = effect_between(*two_columns(rows, ["gpa0", "GPA_year1"], rows["ssp"]), adjust=True)
    assert (found.n_treatment, found.n_control) == (99, 58)
    assert [found.unadjusted_effect, found.unadjusted_se] == pytest.approx(expected["unadjusted"], abs=tolerance)
    assert found.effect == pytest.approx(expected["lin"][0], abs=tolerance)
    assert found.effect_se == pytest.approx(expected["lin"][1], rel=HC2_AT_157)
    for estimator, values in (("difference", expected["unadjusted"]), ("lin", expected["lin"])):
        frozen = [float(answers[estimator][column]) for column in ("effect", "hc2_se")]
        assert frozen == pytest.approx(values, abs=tolerance)


def test_the_moments_of_the_star_trial_hold_the_one_slope_of_cuped_too() -> None:
    """We use a slope for each variant. That of all units together, with its standard error, and that of a regression
    with a common slope follow from the same moments."""
    expected, tolerance = STAR["expected"], STAR["tolerance"]
    rows = pd.read_csv(REFERENCE / "alo_star_men.csv")
    arms = two_columns(rows, ["gpa0", "GPA_year1"], rows["ssp"])

    def moved(scatter: np.ndarray) -> tuple[float, float, float]:
        theta = scatter[0, 1] / scatter[0, 0]
        adjusted = [arm.linear(np.array([[-theta, 1.0]])) for arm in arms]
        error = math.sqrt(sum(arm.covariance[0, 0] / arm.n for arm in adjusted))
        return theta, adjusted[1].mean[0] - adjusted[0].mean[0], error

    found = moved((arms[0] + arms[1]).scatter)
    assert found == pytest.approx((expected["theta"], *expected["one_slope"]), abs=tolerance)
    assert moved(arms[0].scatter + arms[1].scatter)[1] == pytest.approx(expected["ancova"][0], abs=tolerance)


# Job Corps: moments frozen by tests/reference/make_job_corps.py; effects and standard errors as printed there.

#: effect, standard error (None: only z was printed), z, each with half a unit of the last printed digit.
JOB_CORPS = {
    "earnq4": (-15.825, 2.988, -5.30),
    "earny2": (-2.272, None, -0.72),
    "earny3": (11.463, None, 3.33),
    "earny4": (16.055, 4.074, 3.94),
    "pworky1": (-9.860, None, -13.6),
    "pworky4": (3.275, None, 3.95),
}
PRINTED = {"effect": 0.0005, "z": 0.005, "pworky1 z": 0.05}


def job_corps(columns: list[str], control: str = "control", treatment: str = "offer") -> list[Moments]:
    """Moments of (weekly earnings at assignment, *columns) in two arms."""
    frozen = json.loads((REFERENCE / "job_corps.json").read_text(encoding="utf-8"))
    kept = [frozen["columns"].index(name) for name in ["mwearn", *columns]]
    arms = []
    for name in (control, treatment):
        arm = frozen["arms"][name]
        arms.append(exact(arm["n"], np.array(arm["mean"])[kept], np.array(arm["covariance"])[np.ix_(kept, kept)]))
    return arms


@pytest.mark.parametrize("name", JOB_CORPS)
def test_the_published_effects_of_the_job_corps_trial_are_reproduced(name: str) -> None:
    effect, se, z = JOB_CORPS[name]
    found = effect_between(*job_corps([name]))
    assert found.effect is not None
    assert found.effect_se is not None
    assert found.effect == pytest.approx(effect, abs=PRINTED["effect"])
    assert found.effect / found.effect_se == pytest.approx(z, abs=PRINTED.get(f"{name} z", PRINTED["z"]))
    if se is not None:
        assert found.effect_se == pytest.approx(se, abs=PRINTED["effect"])


@pytest.mark.parametrize("name", ["earnq4", "earny2", "earny3", "earny4"])
def test_adjusted_effects_of_the_job_corps_trial_agree_with_the_interacted_regression(name: str) -> None:
    frozen = json.loads((REFERENCE / "job_corps.json").read_text(encoding="utf-8"))["interacted_ols_hc2"]
    found = effect_between(*job_corps([name]), adjust=True)
    assert found.effect == pytest.approx(frozen[name][0], rel=ADJUSTED)
    assert found.effect_se == pytest.approx(frozen[name][1], rel=HC2_AT_40_000)
