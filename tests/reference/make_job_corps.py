"""Freeze summary moments of the Job Corps trial: python tests/reference/make_job_corps.py PATH_TO/job_corps.parquet

Data: the National Job Corps Study as in the R package causalweight 1.1.5 (MIT), 9,240 people; assignment 1 is the offer
of a place. Schochet, Burghardt, McConnell 2008, American Economic Review 98:1864. Kept: the count, the mean and the
sample covariance (n - 1) of nine columns in each arm, and what statsmodels says of the rows with the weekly earnings
at assignment (mwearn) as the covariate: OLS with assignment x centered covariate and HC2 standard errors.
"""

import json
import sys
from pathlib import Path

import pandas as pd
import statsmodels.api as sm

COLUMNS = ["mwearn", "earnq4", "earny2", "earny3", "earny4", "pworky1", "pworky2", "pworky3", "pworky4"]
TARGET = Path(__file__).with_name("job_corps.json")


def interacted(rows: pd.DataFrame, outcome: str) -> list[float]:
    centered = rows["mwearn"] - rows["mwearn"].mean()
    design = pd.DataFrame({"one": 1.0, "z": rows["assignment"], "x": centered, "zx": rows["assignment"] * centered})
    fit = sm.OLS(rows[outcome], design).fit(cov_type="HC2")
    return [float(fit.params["z"]), float(fit.bse["z"])]


def main(source: str) -> None:
    rows = pd.read_parquet(source)
    frozen = {
        "columns": COLUMNS,
        "arms": {
            name: {
                "n": int((rows["assignment"] == value).sum()),
                "mean": rows.loc[rows["assignment"] == value, COLUMNS].mean().tolist(),
                "covariance": rows.loc[rows["assignment"] == value, COLUMNS].cov().to_numpy().tolist(),
            }
            for name, value in (("control", 0), ("offer", 1))
        },
        "interacted_ols_hc2": {name: interacted(rows, name) for name in ("earnq4", "earny2", "earny3", "earny4")},
    }
    TARGET.write_text(json.dumps(frozen, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
