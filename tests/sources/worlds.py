"""Seeded worlds of messy data: exposures and facts as frames, the plan to read them with, and their files.

Every world has units exposed several times, before the start, after enrollment, in two variants (later, and at the
same instant), in unknown variants and in none; units without facts and facts without units; facts before the
pre-period; duplicate rows, negative values and nulls; and times within a second of midnight.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.plan import Event, Metric, Plan, Variant, Window
from experiments.sources.base import Columns, SourceSpec

#: A Monday. Clocks change in New York in the second week, in Berlin in the fifth, in Auckland in the sixth.
START = date(2024, 2, 26)
ENROLLMENT_WEEKS, HORIZON_WEEKS = 3, 6
LAST_DAY = 7 * (ENROLLMENT_WEEKS + HORIZON_WEEKS) + 6
SECONDS = 24 * 3600

DECIMAL = pa.decimal128(18, 2)

#: The last day that data of a world may carry.
TODAY = START + timedelta(days=LAST_DAY + 30)

#: Days from the start, lag left out, of a look while only the first cohort's early window can be read, of one off
#: the weekly grid, and of one at which everything is mature.
LOOKS = {"early": 21, "mid": 45, "full": 7 * (ENROLLMENT_WEEKS + HORIZON_WEEKS)}


@dataclass(frozen=True)
class Names:
    """What the columns are called. ``lines``, ``sales`` and ``used`` are facts."""

    columns: Columns = field(default_factory=Columns)
    lines: str = "lines"
    sales: str = "sales"
    used: str = "used"


@dataclass(frozen=True)
class Files:
    """How the tables are written: the kind of file, and how many of them a glob has to find."""

    format: str = "parquet"
    parts: int = 1


@dataclass(frozen=True)
class Recipe:
    """What sets a world apart. ``times`` is the type of the time columns, ``ids`` that of unit ids."""

    name: str
    seed: int
    units: int = 330
    clock: str = "unit"
    timezone: str = "UTC"
    pre_weeks: int = 8
    lag_days: int = 0
    weights: tuple[float, ...] = (50, 50)
    times: str = "date"
    ids: str = "text"
    values: str = "counts"
    names: Names = field(default_factory=Names)
    files: Files = field(default_factory=Files)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class World:
    """A plan with the rows it is to be read with. Time columns hold dates, times or text, unit columns plain ids."""

    recipe: Recipe
    plan: Plan
    exposures: pd.DataFrame
    facts: pd.DataFrame

    @property
    def columns(self) -> Columns:
        return self.recipe.names.columns

    def with_rows(self, exposures: pd.DataFrame | None = None, facts: pd.DataFrame | None = None) -> "World":
        """The same world with other rows."""
        return replace(
            self,
            exposures=self.exposures if exposures is None else exposures,
            facts=self.facts if facts is None else facts,
        )


RESERVED = Names(Columns(unit="select", variant="group", exposed_at="order", at="at"), "from", "table", "week")
INTERNAL = Names(Columns(unit="day", variant="cohort", exposed_at="row", at="unit"), "code", "instant", 'x"y; --')
SPACED = Names(Columns(unit="Unit Id", variant="Größe", exposed_at="x.y", at="DROP TABLE facts"), "%s", "{}", "/* x")

RECIPES = (
    Recipe("plain", 1),
    Recipe("calendar", 2, clock="calendar"),
    Recipe("calendar without pre-period", 3, clock="calendar", pre_weeks=0, times="timestamp", lag_days=2),
    Recipe("times without a zone", 4, times="timestamp", timezone="Europe/Berlin", ids="int"),
    Recipe("times with a zone", 5, times="timestamptz", timezone="America/New_York", pre_weeks=2),
    Recipe("calendar in another zone", 6, times="timestamptz", timezone="Pacific/Auckland", clock="calendar"),
    Recipe("dates as text in CSV", 7, times="text_date", ids="int", files=Files("csv", 3)),
    Recipe("times as text in CSV", 8, times="text_time", timezone="Europe/Berlin", files=Files("csv", 2)),
    Recipe("times with offsets as text", 9, times="text_zone", timezone="Asia/Kolkata", files=Files(parts=3)),
    Recipe("times with offsets in CSV", 10, times="text_zone", timezone="America/New_York", files=Files("csv")),
    Recipe("three variants without pre-period", 11, weights=(80, 10, 10), pre_weeks=0, ids="uuid", units=900),
    Recipe("90:10 with a lag", 12, weights=(90, 10), lag_days=3, units=900),
    Recipe("reserved words", 13, names=RESERVED, times="timestamp", files=Files(parts=2)),
    Recipe("our own names", 14, names=INTERNAL, clock="calendar", ids="int"),
    Recipe("names that are SQL", 15, names=SPACED, files=Files("csv")),
    Recipe("whole numbers", 16, values="whole", ids="uuid"),
    Recipe("decimals", 17, values="decimal", clock="calendar"),
    Recipe("small floats", 18, values="float32"),
    Recipe("values of 1e15", 19, values="huge"),
)

#: Every unit has one row a week of 1e8 with a standard deviation of 1: raw sums of squares would be noise.
FAR_FROM_ZERO = Recipe("mean of 1e8, standard deviation of 1", 20, values="far", pre_weeks=2, clock="calendar")


def as_of(recipe: Recipe, when: str) -> date:
    """The day of one of the ``LOOKS``."""
    return START + timedelta(days=LOOKS[when] + recipe.lag_days)


def plan_of(recipe: Recipe) -> Plan:
    """A plan with every kind of metric that has an effect, and one event."""
    names = recipe.names
    keys = ("control", "treatment", "other")
    size = 1e15 if recipe.values == "huge" else 1.0
    metrics = (
        Metric("lines", "mean", "higher", "primary", "short", column=names.lines),
        Metric("capped", "mean", "higher", "secondary", column=names.lines, cap=4.5 * size),
        Metric("active", "active", "higher", "primary", "long", column=names.used),
        Metric("price", "ratio", "higher", "guardrail", numerator=names.sales, denominator=names.lines, margin=0.02),
        Metric(
            "capped-price", "ratio", "lower", "secondary", numerator=names.sales, denominator=names.used, cap=6.0 * size
        ),
        Metric("sale", "ratio", "higher", "secondary", numerator=names.sales, denominator="rows"),
        Metric("churn", "event", "lower", "diagnostic", event=Event("inactivity", names.used, 2)),
    )
    return Plan(
        key=f"world-{recipe.seed}",
        name=recipe.name,
        unit="unit",
        variants=tuple(
            Variant(key, weight / sum(recipe.weights), key == "control")
            for key, weight in zip(keys, recipe.weights, strict=False)
        ),
        metrics=metrics,
        windows=(Window("early", 0, 2), Window("late", 3, 6), Window("middle", 1, 4), Window("first", 0, 1)),
        start_date=START,
        enrollment_weeks=ENROLLMENT_WEEKS,
        horizon_weeks=HORIZON_WEEKS,
        pre_weeks=recipe.pre_weeks,
        clock=recipe.clock,  # type: ignore[arg-type]
        timezone=recipe.timezone,
        lag_days=recipe.lag_days,
    )


@cache
def world(recipe: Recipe) -> World:
    """Draw a world. The same recipe always gives the same rows."""
    random = np.random.default_rng(recipe.seed)
    plan = plan_of(recipe)
    exposures = _exposures(random, recipe)
    facts = _facts(random, recipe, exposures)
    ids = _ids(recipe, int(max(exposures["unit"].max(), facts["unit"].max())) + 1)
    names = recipe.names
    return World(
        recipe,
        plan,
        pd.DataFrame({
            names.columns.exposed_at: _times(recipe, exposures["day"], exposures["second"]),
            names.columns.unit: [ids[unit] for unit in exposures["unit"]],
            names.columns.variant: exposures["variant"],
        }),
        pd.DataFrame({
            names.sales: facts["sales"],
            names.columns.at: _times(recipe, facts["day"], facts["second"]),
            names.lines: facts["lines"],
            names.columns.unit: [ids[unit] for unit in facts["unit"]],
            names.used: facts["used"],
        }),
    )  # fmt: skip


def of_rows(
    exposures: Sequence[tuple[Any, Any, Any]], facts: Sequence[tuple[Any, ...]], recipe: Recipe, **changes: Any
) -> World:
    """A world of the given rows: exposures (unit, variant, exposed_at), facts (unit, at, lines, sales, used).

    Facts may leave out their last columns, which are then 1.0. Changes are made to the recipe's plan.
    """
    columns, names = recipe.names.columns, recipe.names
    whole = [(*row, *[1.0] * (5 - len(row))) for row in facts]
    return World(
        recipe,
        replace(plan_of(recipe), **changes),
        pd.DataFrame(exposures, columns=[columns.unit, columns.variant, columns.exposed_at]),
        pd.DataFrame(whole, columns=[columns.unit, columns.at, names.lines, names.sales, names.used]),
    )


def day(number: int) -> date:
    """A day counted from the start."""
    return START + timedelta(days=number)


def _seconds(random: np.random.Generator, size: int) -> np.ndarray:
    """Times of day, a third of them within a second of midnight."""
    return np.where(
        random.random(size) < 1 / 3, random.choice([0, 1, SECONDS - 1], size), random.integers(0, SECONDS, size)
    )


def _exposures(random: np.random.Generator, recipe: Recipe) -> pd.DataFrame:
    """Rows of (unit, day from the start, second, variant), shuffled."""
    keys = ("control", "treatment", "other")[: len(recipe.weights)]
    share = np.array(recipe.weights) / sum(recipe.weights)
    rows: list[tuple[int, int, int, str | None]] = []
    enrolled = 7 * ENROLLMENT_WEEKS
    for unit in range(recipe.units):
        variant: str | None = str(random.choice(keys, p=share))
        kind = random.random()
        first = int(random.integers(0, enrolled))
        if kind < 0.04:
            first = int(random.integers(-20, 0))
        elif kind < 0.08:
            first = int(random.integers(enrolled, LAST_DAY))
        elif kind < 0.12:
            variant = "ghost" if random.random() < 0.5 else None
        elif kind < 0.14:
            first = int(random.choice([0, enrolled - 1, 6, 7]))
        second = int(_seconds(random, 1)[0])
        rows.append((unit, first, second, variant))
        again = int(random.integers(0, 3))
        rows += [(unit, first + int(random.integers(0, 25)), SECONDS - 1, variant) for _ in range(again)]
        others = [key for key in (*keys, "ghost") if key != variant]
        crossing = random.random()
        if crossing < 0.06:
            rows.append((unit, first + int(random.integers(0, 40)), SECONDS - 1, str(random.choice(others))))
        elif crossing < 0.08:
            rows.append((unit, first, second, str(random.choice(others))))
        elif crossing < 0.10:
            rows += [(unit, first + shift, SECONDS - 1, str(random.choice(others))) for shift in (9, 16, 30)]
    frame = pd.DataFrame(rows, columns=["unit", "day", "second", "variant"])
    return frame.iloc[random.permutation(len(frame))].reset_index(drop=True)


def _facts(random: np.random.Generator, recipe: Recipe, exposures: pd.DataFrame) -> pd.DataFrame:
    """Rows of (unit, day, second, lines, sales, used), shuffled, with duplicates, negative values and nulls."""
    first_day = -7 * (recipe.pre_weeks + 5)
    everyone = recipe.units + 10
    weeks = (LAST_DAY - first_day) // 7
    if recipe.values == "far":
        return _one_row_a_week(random, everyone, first_day)
    size = np.maximum(random.gamma(2.0, 0.5, everyone), 0.05)
    size[::9] = 0
    count = random.poisson(size * weeks)
    unit = np.repeat(np.arange(everyone), count)
    day = random.integers(first_day, LAST_DAY + 1, len(unit))
    if recipe.clock == "calendar":
        day = day // 7 * 7 + random.choice([0, 0, 0, 6, 3], len(unit))
    lines = np.round(random.gamma(2.0, 1.0, len(unit)) * (1 + size[unit]), 2)
    lines[random.random(len(unit)) < 0.05] *= -1
    sales = np.round(lines * random.gamma(4.0, 0.25, len(unit)), 2)
    used = 0.5 * random.poisson(0.8, len(unit)) - (random.random(len(unit)) < 0.03)
    second = _seconds(random, len(unit))
    frame = pd.DataFrame({"unit": unit, "day": day, "second": second, "lines": lines, "sales": sales, "used": used})
    for name in ("lines", "sales", "used"):
        frame.loc[random.random(len(frame)) < 0.02, name] = np.nan
    frame = pd.concat([frame, frame.sample(len(frame) // 20, random_state=recipe.seed)])
    frame = frame.iloc[random.permutation(len(frame))].reset_index(drop=True)
    return frame.assign(**{name: _typed(recipe.values, frame[name]) for name in ("lines", "sales", "used")})


def _one_row_a_week(random: np.random.Generator, units: int, first_day: int) -> pd.DataFrame:
    """Every unit has its own level about 1e8 and exactly one row in each calendar week."""
    unit, week = np.meshgrid(np.arange(units), np.arange(first_day // 7, LAST_DAY // 7 + 1), indexing="ij")
    frame = pd.DataFrame({"unit": unit.ravel(), "day": 7 * week.ravel(), "second": 0})
    own = np.repeat(random.normal(0, 0.8, units), week.shape[1])
    for name in ("lines", "sales", "used"):
        frame[name] = 1e8 + own + random.normal(0, 0.6, len(frame))
    return frame


def _typed(values: str, column: pd.Series) -> pd.Series:
    if values == "whole":
        return column.round().astype("Int64")
    if values == "decimal":
        return column.map(lambda value: None if pd.isna(value) else pa.scalar(f"{value:.2f}").cast(DECIMAL).as_py())
    if values == "float32":
        return column.astype("float32")
    return column * 1e15 if values == "huge" else column


def _ids(recipe: Recipe, count: int) -> list[Any]:
    """Ids that differ late: beyond 2^53 for numbers, in letter case and blanks for text."""
    if recipe.ids == "int":
        return [2**53 + number if number % 3 else -number for number in range(count)]
    if recipe.ids == "uuid":
        return [str(uuid.UUID(int=(7 << 120) + number)) for number in range(count)]
    return [("u" if number % 2 else "U") + f"-{number // 2}" + (" é" if number % 5 else "") for number in range(count)]


def _times(recipe: Recipe, days: pd.Series, seconds: pd.Series) -> list[Any]:
    """Local days and seconds as the recipe's type of time. Seconds count from local midnight on the clock."""
    written = _WRITTEN[recipe.times]
    zone = ZoneInfo(recipe.timezone)
    return [
        written(datetime.combine(START, time()) + timedelta(days=int(day), seconds=int(second)), zone)
        for day, second in zip(days, seconds, strict=True)
    ]


def _offset(local: datetime, zone: ZoneInfo) -> str:
    """ISO text in one of three zones, so that its own date is often not the local one."""
    abroad = ("UTC", "America/Los_Angeles", "Asia/Tokyo")[local.second % 3]
    return local.replace(tzinfo=zone).astimezone(UTC).astimezone(ZoneInfo(abroad)).isoformat()


_WRITTEN: Mapping[str, Callable[[datetime, ZoneInfo], Any]] = {
    "date": lambda local, zone: local.date(),
    "timestamp": lambda local, zone: local,
    "timestamptz": lambda local, zone: local.replace(tzinfo=zone).astimezone(UTC),
    "text_date": lambda local, zone: local.date().isoformat(),
    "text_time": lambda local, zone: local.isoformat(sep=" "),
    "text_zone": _offset,
}


def write(drawn: World, folder: Path) -> SourceSpec:
    """Write a world's files and return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {}
    for table in ("exposures", "facts"):
        frame = getattr(drawn, table)
        files = drawn.recipe.files
        for part, rows in enumerate(np.array_split(np.arange(len(frame)), files.parts)):
            write_table(
                folder / f"{table}-{part}.{files.format}", frame.iloc[rows], drawn.recipe.ids, drawn.columns.unit
            )
        names[table] = f"{table}-{'0' if files.parts == 1 else '*'}.{files.format}"
    return SourceSpec("files", names["exposures"], names["facts"], folder, drawn.columns)


def write_table(
    path: Path, frame: pd.DataFrame, ids: str = "text", unit: str = "unit_id", nan_as_null: bool = True
) -> None:
    """Write a frame as Parquet or CSV, as the file's name says."""
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
        return
    arrays = {str(name): _arrow(column, nan_as_null) for name, column in frame.items()}
    if ids == "uuid":
        arrays[unit] = pa.array([uuid.UUID(text).bytes for text in frame[unit]], pa.uuid())
    pq.write_table(pa.table(arrays), path)


def _arrow(column: pd.Series, nan_as_null: bool) -> pa.Array:
    sample = next((value for value in column if not pd.isna(value)), None)
    if isinstance(sample, datetime):
        return pa.array(
            [None if pd.isna(value) else value for value in column],
            pa.timestamp("us", tz="UTC" if sample.tzinfo else None),
        )
    if len(column) == 0 or column.dtype != object:
        return pa.array(column.to_numpy(), from_pandas=nan_as_null) if column.dtype == float else pa.array(column)
    return pa.array(list(column), from_pandas=True)
