"""The three experiments with an injected treatment: what is injected, and the world and its truth drawn from it."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from analysis.simulation import NOTHING, Enrollment, Injection, draw_world
from analysis.simulation_truth import MetricTruth, SurvivalTruth, expected_metrics, inactivity_survival
from experiments.examples.households import Households

#: Units of each experiment.
UNITS = 40_000

#: Last day with facts. The scorecard of the next day, 2017-12-31, has every cohort mature for all 26 weeks.
LAST_FACT_DATE = date(2017, 12, 30)


@dataclass(frozen=True)
class World:
    """One experiment on injected data: its key (and definition file), its seed and what its treatment does.

    Each seed is the first from 101, 201 and 301 on whose adjusted lifts of lines, sales and active, early and late, all
    lie within one standard error of the truth: typical draws to explain a scorecard with, not evidence for it.
    """

    key: str
    seed: int
    injection: Injection


#: An early win that is a later loss: 3 % more lines from the first day for whoever is still there, and from week 4 on
#: .6 % of the remaining units leave for good every week. .18 % of the other lines turn into head lines.
HONEYMOON = World(
    key="honeymoon",
    seed=111,
    injection=Injection(multiplier=(1.03,), hazard=(0.0,) * 4 + (0.006,), head_conversion=(0.0018,)),
)

#: An early loss that is a later win: 3 % fewer lines in weeks 0-3, then a straight climb to 4 % more from week 13 on.
SLOWBURN = World(
    key="slowburn",
    seed=202,
    injection=Injection(multiplier=(0.97,) * 4 + tuple(round(0.97 + 0.007 * step, 3) for step in range(1, 11))),
)

#: Nothing is injected: both variants are the same process.
PLACEBO = World(key="placebo", seed=304, injection=NOTHING)

WORLDS = (HONEYMOON, SLOWBURN, PLACEBO)


@dataclass(frozen=True)
class Truth:
    """The exact truth of one world: metrics by key, and the inactivity event under the key churn."""

    metrics: dict[str, MetricTruth]
    churn: SurvivalTruth
    windows: dict[str, tuple[int, int]]
    tau: int


def definition_path(key: str) -> Path:
    """Return the hand-written definition file of an example."""
    return Path(__file__).parent / f"{key}.yaml"


def read_definition(key: str) -> dict[str, Any]:
    """Return the definition of an example as plain data: dates and weeks have one home, the YAML file."""
    loaded: dict[str, Any] = yaml.safe_load(definition_path(key).read_text(encoding="utf-8"))
    return loaded


def enrollment(key: str, households: Households) -> Enrollment:
    """Return the days of an example, counted as the households count them."""
    definition = read_definition(key)
    start = definition["start_date"]
    return Enrollment(
        first_day=households.day(start - timedelta(weeks=definition["pre_weeks"])),
        start_day=households.day(start),
        last_day=households.day(LAST_FACT_DATE) + 1,
        weeks=definition["enrollment_weeks"],
    )


def tables(world: World, households: Households, units: int = UNITS) -> dict[str, pa.Table]:
    """Draw a world and return its exposures and facts, sorted by unit, then day; unit ids are 1 .. units."""
    drawn = draw_world(
        np.random.default_rng(world.seed),
        households.trajectories,
        enrollment(world.key, households),
        world.injection,
        units,
    )
    exposures = {
        "unit_id": np.arange(1, units + 1, dtype=np.int64),
        "variant": np.where(drawn.treated, "treatment", "control"),
        "exposed_at": households.dates(drawn.exposed_day),
    }
    # Each unit's facts begin with its own pre-period: what lies before would be read, counted and left out.
    pre_days = 7 * read_definition(world.key)["pre_weeks"]
    kept = drawn.fact_day >= drawn.exposed_day[drawn.fact_unit] - pre_days
    facts = {
        "unit_id": drawn.fact_unit[kept] + 1,
        "at": households.dates(drawn.fact_day[kept]),
        "lines": drawn.lines[kept].astype(np.int32),
        "head_lines": drawn.head_lines[kept].astype(np.int32),
        "sales": drawn.cents[kept] / 100,
    }
    return {"exposures": pa.table(exposures), "facts": pa.table(facts)}


def truth(world: World, households: Households) -> Truth:
    """Return the exact truth of a world over all its cohorts."""
    definition = read_definition(world.key)
    weeks = definition["horizon_weeks"]
    gaps = [metric["event"]["gap_weeks"] for metric in definition["metrics"] if metric["kind"] == "event"]
    arguments = (households.trajectories, enrollment(world.key, households), world.injection, weeks)
    return Truth(
        metrics=expected_metrics(*arguments),
        churn=inactivity_survival(*arguments, gap_weeks=gaps[0]),
        windows={key: (window[0], window[1]) for key, window in definition["windows"].items()},
        tau=weeks - gaps[0] + 1,
    )
