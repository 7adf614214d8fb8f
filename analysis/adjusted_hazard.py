"""A hazard ratio beside covariates: Cox's model on rows, by lifelines. For show; claims rest on counts."""

import warnings

import numpy as np

from analysis import windows
from analysis.life_table import extra_weeks
from analysis.numbers import critical
from analysis.plan import Metric
from analysis.results import AdjustedHazard
from analysis.triangle import Triangle

#: More rows than this would take minutes and say nothing more.
MOST_UNITS = 200_000


def adjusted_hazard(triangle: Triangle, metric: Metric, variant: str) -> AdjustedHazard | None:
    """Fit the variant beside the metric's covariates, linearly on the log hazard (Cox 1972, Efron's ties).

    None where the metric adjusts for nothing, where no rows were read (a look that was rebuilt), with more than 200,000
    units, or where there is no finite estimate.
    """
    rows, plan, event = triangle.rows, triangle.plan, metric.event
    if not metric.adjust or rows is None or event is None:
        return None
    keys = [one.key for one in plan.variants]
    sides = np.isin(rows.variant, [keys.index(plan.control.key), keys.index(variant)])
    lived = np.array([windows.mature_weeks(plan, c, triangle.as_of) for c in range(plan.enrollment_weeks)])
    followed = np.maximum(lived[rows.cohort] - extra_weeks(event), 0)
    covariates = rows.covariates[:, [plan.covariates.index(name) for name in metric.adjust]]
    counted = sides & (followed > 0)
    known = counted & np.isfinite(covariates).all(axis=1)
    if not 0 < known.sum() <= MOST_UNITS:
        return None
    weeks, had = rows.events[event][known], rows.events[event][known] < followed[known]
    duration = np.where(had, weeks + 1, followed[known])
    treated = rows.variant[known] == keys.index(variant)
    found = _fit(treated, covariates[known], duration, had)
    if found is None:
        return None
    beta, se, p_value = found
    half = critical() * se
    return AdjustedHazard(
        float(np.exp(beta)), float(np.exp(beta - half)), float(np.exp(beta + half)), p_value,
        units=int(known.sum()), left_out=int(counted.sum() - known.sum()),
    )  # fmt: skip


def _fit(
    treated: np.ndarray, covariates: np.ndarray, duration: np.ndarray, had: np.ndarray
) -> tuple[float, float, float] | None:
    """Log hazard ratio of the treatment, its standard error and p value; None without a finite estimate."""
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    frame = pd.DataFrame(covariates, columns=[f"covariate_{place}" for place in range(covariates.shape[1])])
    frame["treated"], frame["duration"], frame["had"] = treated.astype(float), duration, had
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = CoxPHFitter().fit(frame, "duration", "had").summary.loc["treated"]
    except (ConvergenceError, ValueError, ZeroDivisionError):
        return None
    found = float(fitted["coef"]), float(fitted["se(coef)"]), float(fitted["p"])
    return found if np.isfinite(found).all() else None
