"""The Winter holdout: a season of launches with known lifts, the units kept from all of them, and what was decided.

Every unit has a habit (gamma), every week a season, and a week's lines are Poisson. A member multiplies the lines of
units that have it, by an age that begins when each unit first had it; members are drawn independently of each other
and of the holdout. Six were launched: two of them turn into losses, one is mostly novelty, two are met by a part of the
units. One was stopped, and one still runs. What all of it does together is known exactly (``true_lift``).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from analysis.results import Action
from experiments.examples.build import Progress, is_current, locked, put_in_place, write_table
from experiments.examples.worlds import definition_path, read_definition
from experiments.models import Person
from experiments.services import decisions
from experiments.services.results import find_experiment

KEY = "winter"

#: Who owns the experiments, and decides on them.
OWNER = "owner@example.com"

#: To be raised whenever this module changes what it makes.
VERSION = 1

UNITS = 60_000

#: The first seed. At it both measured lifts lie within one standard error of the truth, so no other was tried.
SEED = 1

#: Weeks with facts: until 2026-04-05, four weeks before the planned end.
WEEKS = 26

#: Weeks in which units enter, and which part of them.
ENTRY = (0.85, 0.05, 0.05, 0.05)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Launch:
    """A member: its experiment begins in week ``start``; in week ``decided`` of the holdout something was decided.

    Attributes:
        met: share of the units that meet it at all.
        traffic: share of those that its experiment took; the others got it with the launch.
        lifts: by week since a unit has it; the last one stays.
        decided, action: None for one that still runs.
    """

    key: str
    name: str
    start: int
    decided: int | None
    action: Action | None
    lifts: tuple[float, ...]
    met: float = 1.0
    traffic: float = 1.0
    reason: str = "its test says so"

    @property
    def kept(self) -> bool:
        """Whether its control stays without it after the launch."""
        return self.action == "launch_with_holdback"

    @property
    def launched(self) -> bool:
        return self.action in ("launch", "launch_with_holdback")


_NOVELTY = tuple(round(0.01 + 0.06 * float(np.exp(-age / 3)), 4) for age in range(14))
_AUTOPLAY = (*(0.05,) * 4, 0.03, 0.01, -0.01, -0.02, -0.03)
_FEED = (*(0.06,) * 3, 0.04, 0.02, 0.0, -0.02, -0.04)

MEMBERS = (
    Launch("winter-cards", "Larger cards", 2, 12, "launch", (0.03,)),
    Launch("winter-reminders", "Weekly reminders", 2, 12, "launch", _NOVELTY, met=0.6),
    Launch("winter-autoplay", "Autoplay", 3, 8, "launch_with_holdback", _AUTOPLAY, traffic=0.5, reason="an early win"),
    Launch("winter-feed", "Endless feed", 4, 9, "launch", _FEED, reason="four weeks are enough for us"),
    Launch("winter-search", "Search box on top", 5, 15, "launch", (0.05,), met=0.5),
    Launch("winter-checkout", "Shorter checkout", 6, 16, "launch", (0.02,)),
    Launch("winter-tips", "Tips of the day", 8, 18, "stop", (0.0,)),
    Launch("winter-bundles", "Bundles", 19, None, None, (0.02,), met=0.8, traffic=0.5),
)


@dataclass(frozen=True)
class World:
    """All units of the holdout, held out or not.

    Attributes:
        held_out: shape (n,).
        cohort: shape (n,), the week in which a unit enters.
        sides: by member, shape (n,): 0 never meets it, 1 meets it outside the experiment, 2 control, 3 treatment.
        multiplier: shape (n, WEEKS), of the lines of each week.
    """

    held_out: NDArray[np.bool_]
    cohort: NDArray[np.int64]
    sides: dict[str, NDArray[np.int64]]
    multiplier: Floats


def season() -> Floats:
    """Lines a week against the average, by calendar week; shape (WEEKS,)."""
    return np.asarray(1 + 0.15 * np.cos(2 * np.pi * (np.arange(WEEKS) - 11) / 52))


def draw(rng: np.random.Generator, units: int = UNITS) -> World:
    """Draw who is held out, who meets which member, and what that multiplies."""
    held_out = rng.random(units) < read_definition(KEY)["fraction"]
    cohort = rng.choice(len(ENTRY), size=units, p=ENTRY)
    sides, multiplier = {}, np.ones((units, WEEKS))
    for member in MEMBERS:
        met = ~held_out & (rng.random(units) < member.met)
        inside = met & (rng.random(units) < member.traffic) & (cohort <= member.start)
        treated = rng.random(units) < 0.5
        side = np.select([inside & treated, inside, met], [3, 2, 1], 0)
        sides[member.key] = side
        for week in range(WEEKS):
            multiplier[:, week] *= 1 + _lift(member, side, cohort, week)
    return World(held_out, cohort, sides, multiplier)


def _lift(member: Launch, side: NDArray[np.int64], cohort: NDArray[np.int64], week: int) -> Floats:
    """The lift that each unit has of a member in a calendar week; shape (n,)."""
    decided = member.decided
    begins = np.full(len(side), 10**6)
    if member.launched and decided is not None:
        gets_it = (side == 1) | (side == 3) | ((side == 2) & (not member.kept))
        begins[gets_it] = np.maximum(decided, cohort[gets_it])
    begins[side == 3] = member.start
    age = week - begins
    path = np.array(member.lifts)
    lift = np.where(age >= 0, path[np.clip(age, 0, len(path) - 1)], 0.0)
    if decided is not None and not member.launched and week >= decided:
        lift = np.zeros(len(side))
    return np.asarray(lift)


def true_lift(world: World, start: int, end: int) -> float:
    """The exact lift of lines in calendar weeks [start, end) given who meets what: habits are independent of that.

    Of all units exposed before a week, as a holdout's estimate is.
    """
    total = np.zeros(2)
    for week in range(start, end):
        followed = ~world.held_out & (world.cohort < week)
        waiting = world.held_out & (world.cohort < week)
        weight = season()[week]
        total += weight * np.array(
            [world.multiplier[followed, week].sum() / followed.sum() * waiting.sum(), waiting.sum()]
        )
    return float(total[0] / total[1] - 1)


def tables(rng: np.random.Generator, world: World) -> dict[str, pa.Table]:
    """Return the exposures of the holdout and of each member, and the facts of all weeks, the pre-period among them."""
    definition = read_definition(KEY)
    first = np.datetime64(definition["start_date"], "D")
    units, before = len(world.cohort), definition["pre_weeks"]
    numbers = np.arange(1, units + 1)
    day = rng.integers(7, size=units)
    made = {
        "exposures": pa.table(
            {
                "unit_id": numbers,
                "variant": np.where(world.held_out, "held_out", "launched"),
                "exposed_at": first + 7 * world.cohort + day,
            }
        )
    }
    for member in MEMBERS:
        inside = np.flatnonzero(world.sides[member.key] >= 2)
        made[f"exposures-{member.key}"] = pa.table(
            {
                "unit_id": numbers[inside],
                "variant": np.where(world.sides[member.key][inside] == 3, "treatment", "control"),
                "exposed_at": np.full(len(inside), first + 7 * member.start) + day[inside],
            }
        )
    habit = rng.gamma(1.5, 2.0, size=units)
    past = 1 + 0.15 * np.cos(2 * np.pi * (np.arange(-before, 0) - 11) / 52)
    rate = habit[:, None] * np.hstack([np.tile(past, (units, 1)), season() * world.multiplier])
    lines = rng.poisson(rate)
    # Each unit's facts begin with its own pre-period; a week's row is dated on its last day.
    unit, week = np.nonzero(lines * (np.arange(before + WEEKS) >= world.cohort[:, None]))
    made["facts"] = pa.table(
        {
            "unit_id": numbers[unit],
            "at": first + 7 * (week - before) + 6,
            "lines": lines[unit, week].astype(np.int32),
        }
    )
    return made


def definition_of(member: Launch) -> dict[str, Any]:
    """A member's definition: calendar weeks as its holdout's, an early and a late window within its weeks."""
    start: date = read_definition(KEY)["start_date"] + timedelta(days=7 * member.start)
    horizon = 10 if member.decided is None or member.kept else min(10, member.decided - member.start)
    late = [max(4, horizon - 4), horizon] if horizon > 5 else [4, horizon]
    extra = {} if member.traffic == 1 else {"share": member.traffic}
    return {
        "version": 1, "experiment": member.key, "name": member.name, "owner": OWNER, "unit": "user",
        "variants": [{"key": "control", "weight": 50, "control": True}, {"key": "treatment", "weight": 50}],
        "start_date": start, "enrollment_weeks": 1, "horizon_weeks": horizon, "pre_weeks": 4, "clock": "calendar",
        "source": {"kind": "files", "exposures": f"exposures-{member.key}.parquet", "facts": "facts.parquet"},
        "windows": {"early": [0, 4], "late": late},
        "metrics": [
            {"key": "lines", "kind": "mean", "column": "lines", "better": "higher", "role": "primary", "term": "short"},
            {
                "key": "active", "kind": "active", "column": "lines", "better": "higher", "role": "guardrail",
                "margin": 0.02,
            },
        ],
        "holdout": KEY, **extra,
    }  # fmt: skip


def decision_day(member: Launch) -> date | None:
    """The day on which a member was decided, None while it runs."""
    start: date = read_definition(KEY)["start_date"]
    return None if member.decided is None else start + timedelta(days=7 * member.decided)


def build(folder: Path, progress: Progress | None = None, *, units: int = UNITS) -> list[Path]:
    """Build the example if it is missing or out of date; return its definition files, the holdout's first."""
    report: Callable[[str], None] = progress or (lambda _: None)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / KEY
    recipe = {
        "version": VERSION, "units": units, "seed": SEED, "holdout": definition_path(KEY).read_text(encoding="utf-8"),
        "members": [{**asdict(member), "lifts": list(member.lifts)} for member in MEMBERS],
    }  # fmt: skip
    with locked(folder):
        if is_current(target, recipe):
            report(f"{KEY}: up to date")
        else:
            rng = np.random.default_rng(SEED)
            made = tables(rng, draw(rng, units))
            report(f"{KEY}: writing {units:,} units and {made['facts'].num_rows:,} facts, with {len(MEMBERS)} members")
            put_in_place(target, recipe, lambda new: _fill(new, made))
    return [target / f"{key}.yaml" for key in (KEY, *(member.key for member in MEMBERS))]


def _fill(folder: Path, made: dict[str, pa.Table]) -> None:
    for name, table in made.items():
        write_table(table, folder / f"{name}.parquet")
    (folder / f"{KEY}.yaml").write_bytes(definition_path(KEY).read_bytes())
    for member in MEMBERS:
        text = yaml.safe_dump(definition_of(member), sort_keys=False)
        (folder / f"{member.key}.yaml").write_text(text, encoding="utf-8")


def decide(members: Sequence[Launch], by: Person) -> Iterator[str]:
    """Take the decisions of the season that have not been taken yet, each on its day; yield what was decided.

    A member needs its look as of that day. Raises CannotDecide.
    """
    for member in members:
        day, experiment = decision_day(member), find_experiment(member.key)
        if day is None or member.action is None or experiment.decisions.exists():
            continue
        look = decisions.situation(member.key, "treatment").look_id
        decisions.decide(
            member.key, "treatment", member.action, reason=member.reason, look_id=look, revision=experiment.revision,
            by=by, now=datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        )  # fmt: skip
        yield f"{member.key}: {member.action.replace('_', ' ')} on {day}"


def members_of(keys: Sequence[str]) -> tuple[Launch, ...]:
    """The members among some keys."""
    return tuple(member for member in MEMBERS if member.key in keys)
