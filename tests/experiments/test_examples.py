"""The examples' data: exact truth inside the error of the drawn data, files made once, repaired when interrupted."""

import hashlib
import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from experiments.definitions import load
from experiments.examples import build as building
from experiments.examples.build import KEYS, STAMP, build
from experiments.examples.households import Households, _dates, load_households
from experiments.examples.truth import document
from experiments.examples.worlds import (
    HONEYMOON,
    PLACEBO,
    SLOWBURN,
    UNITS,
    WORLDS,
    World,
    definition_path,
    tables,
    truth,
)

#: Standard errors an estimate may be away from the exact truth. Seeds are fixed, so this guards the code and not luck.
STANDARD_ERRORS = 4.0

#: The designed share is .5 and the seed is fixed: a sample ratio mismatch would be read below p = .001.
SRM_Z = 3.29

WINDOWS = {"early": (0, 4), "late": (13, 26)}
SMALL = 500


@pytest.fixture(scope="module")
def households() -> Households:
    return load_households()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All examples at full size; tests that change a folder build their own."""
    path = tmp_path_factory.mktemp("examples")
    build(path)
    return path


@pytest.fixture
def quick(households: Households, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test that builds often the second that reading the transactions takes."""
    monkeypatch.setattr(building, "load_households", lambda: households)


@cache
def weekly_facts(folder: Path, key: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Exposures indexed by unit, and facts with the week since the unit's exposure."""
    exposures = pd.read_parquet(folder / key / "exposures.parquet").set_index("unit_id")
    facts = pd.read_parquet(folder / key / "facts.parquet")
    exposed = facts["unit_id"].map(pd.to_datetime(exposures["exposed_at"]))
    return exposures, facts.assign(week=(pd.to_datetime(facts["at"]) - exposed).dt.days // 7)


def window_values(exposures: pd.DataFrame, facts: pd.DataFrame, column: str, window: tuple[int, int]) -> pd.Series:
    """Average a week of every exposed unit, zeros included."""
    inside = facts[(facts["week"] >= window[0]) & (facts["week"] < window[1])]
    if column == "active":
        values = inside.groupby("unit_id")["week"].nunique()
    else:
        values = inside.groupby("unit_id")[column].sum()
    return values.reindex(exposures.index, fill_value=0) / (window[1] - window[0])


def log_lift(values: pd.Series, variants: pd.Series) -> tuple[float, float]:
    """Log of treatment over control, with the standard error of the delta method."""
    by_variant = {name: values[variants == name] for name in ("control", "treatment")}
    variance = sum(part.var() / len(part) / part.mean() ** 2 for part in by_variant.values())
    return float(np.log(by_variant["treatment"].mean() / by_variant["control"].mean())), float(np.sqrt(variance))


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.key)
def test_observed_lifts_cover_the_exact_truth(folder: Path, households: Households, world: World) -> None:
    exposures, facts = weekly_facts(folder, world.key)
    expected = truth(world, households)
    assert expected.windows == WINDOWS
    for name, window in WINDOWS.items():
        for metric in ("lines", "sales", "active"):
            estimate, error = log_lift(window_values(exposures, facts, metric, window), exposures["variant"])
            lift = expected.metrics[metric].window(*window).lift
            assert abs(estimate - np.log1p(lift)) < STANDARD_ERRORS * error, (metric, name)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.key)
def test_observed_head_shares_cover_the_exact_truth(folder: Path, households: Households, world: World) -> None:
    exposures, facts = weekly_facts(folder, world.key)
    for name, window in WINDOWS.items():
        lines = window_values(exposures, facts, "lines", window)
        head = window_values(exposures, facts, "head_lines", window)
        expected = truth(world, households).metrics["head_share"].window(*window)
        for variant, share in (("control", expected.control), ("treatment", expected.treatment)):
            chosen = exposures["variant"] == variant
            ratio = head[chosen].mean() / lines[chosen].mean()
            rest = head[chosen] - ratio * lines[chosen]
            error = rest.std() / np.sqrt(chosen.sum()) / lines[chosen].mean()
            assert abs(ratio - share) < STANDARD_ERRORS * error, (name, variant)


def test_observed_survival_without_a_four_week_gap_covers_the_exact_truth(folder: Path, households: Households) -> None:
    exposures, facts = weekly_facts(folder, HONEYMOON.key)
    inside = facts[(facts["week"] >= 0) & (facts["week"] < 26)]
    active = np.zeros((UNITS, 26), dtype=bool)
    active[inside["unit_id"] - 1, inside["week"]] = True
    gap = ~np.any([active[:, shift : shift + 23] for shift in range(4)], axis=0)
    duration = np.where(gap.any(axis=1), gap.argmax(axis=1) + 1, 99)
    expected = truth(HONEYMOON, households).churn
    for variant, curve in (("control", expected.control), ("treatment", expected.treatment)):
        chosen = duration[(exposures["variant"] == variant).to_numpy()]
        for t, survival in enumerate(curve, start=1):
            error = np.sqrt(survival * (1 - survival) / len(chosen))
            assert abs((chosen > t).mean() - survival) <= STANDARD_ERRORS * error, (variant, t)


def test_the_truth_is_the_story_that_the_examples_tell(households: Households) -> None:
    lines = {world.key: truth(world, households).metrics["lines"] for world in WORLDS}
    assert lines["honeymoon"].window(0, 4).lift == pytest.approx(0.03, rel=1e-9)
    assert lines["honeymoon"].window(13, 26).lift == pytest.approx(-0.064, abs=0.001)
    for week, found in enumerate(lines["honeymoon"].weekly()):
        assert found.lift == pytest.approx(1.03 * 0.994 ** max(0, week - 3) - 1, rel=1e-9)
    assert lines["slowburn"].window(0, 4).lift == pytest.approx(-0.03, rel=1e-9)
    assert lines["slowburn"].window(13, 26).lift == pytest.approx(0.04, rel=1e-9)
    for metric in truth(PLACEBO, households).metrics.values():
        assert [week.lift for week in metric.weekly()] == pytest.approx([0.0] * 26, abs=1e-12)


def test_the_readme_shows_the_truth_as_computed(households: Households) -> None:
    readme = (definition_path("honeymoon").parent / "README.md").read_text(encoding="utf-8")
    assert document(households, weekly=False) in readme
    assert "| 8 | -0.053 % | -2.964 % |" in document(households, weekly=True)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.key)
def test_the_split_is_no_sample_ratio_mismatch(folder: Path, world: World) -> None:
    variants = pd.read_parquet(folder / world.key / "exposures.parquet")["variant"]
    assert set(variants) == {"control", "treatment"}
    assert len(variants) == UNITS
    assert abs((variants == "treatment").sum() - UNITS / 2) < SRM_Z * np.sqrt(UNITS) / 2


@pytest.mark.parametrize("key", [world.key for world in WORLDS])
def test_files_have_the_documented_columns_order_and_days(folder: Path, key: str) -> None:
    exposures = pq.read_table(folder / key / "exposures.parquet")
    facts = pq.read_table(folder / key / "facts.parquet")
    assert [(field.name, str(field.type)) for field in exposures.schema] == [
        ("unit_id", "int64"),
        ("variant", "string"),
        ("exposed_at", "date32[day]"),
    ]
    assert [(field.name, str(field.type)) for field in facts.schema] == [
        ("unit_id", "int64"),
        ("at", "date32[day]"),
        ("lines", "int32"),
        ("head_lines", "int32"),
        ("sales", "double"),
    ]
    assert exposures["unit_id"].to_pylist() == list(range(1, UNITS + 1))
    start, exposed = date(2017, 5, 29), exposures["exposed_at"].to_pylist()
    assert (min(exposed), max(exposed)) == (start, start + timedelta(days=27))
    rows = facts.to_pandas()
    days = pd.to_datetime(rows["at"])
    assert (days.min(), days.max()) == (pd.Timestamp("2017-04-03"), pd.Timestamp("2017-12-30"))
    assert np.all(np.diff(rows["unit_id"].to_numpy() * 400 + days.dt.dayofyear.to_numpy()) > 0)
    assert rows["lines"].min() == 1
    assert ((rows["head_lines"] >= 0) & (rows["head_lines"] <= rows["lines"])).all()
    # Decimals with two places survive in binary to far less than a hundredth of a cent.
    assert np.abs(rows["sales"] * 100 - np.rint(rows["sales"] * 100)).max() < 1e-6


def test_every_exposed_unit_is_followed_for_all_weeks_by_the_last_day(folder: Path) -> None:
    exposed = pd.to_datetime(pd.read_parquet(folder / "honeymoon" / "exposures.parquet")["exposed_at"])
    assert exposed.max() + pd.Timedelta(weeks=26) <= pd.Timestamp("2017-12-31")


def test_units_of_the_treatment_fall_silent_for_good_in_honeymoon_only(folder: Path) -> None:
    """Silence until the end is commoner in the treatment by about what the hazard removes; in the Placebo it is not."""
    silent = {}
    for key in ("honeymoon", "placebo"):
        exposures, facts = weekly_facts(folder, key)
        last = facts.groupby("unit_id")["week"].max().reindex(exposures.index)
        silent[key] = (last < 20).groupby(exposures["variant"]).mean()
    # 16 weeks of hazard .006 before week 20 take away 9.2 % of the units; the standard error is .004.
    added = (silent["honeymoon"]["treatment"] - silent["honeymoon"]["control"]) / (1 - silent["honeymoon"]["control"])
    assert added == pytest.approx(1 - 0.994**16, abs=0.02)
    assert abs(silent["placebo"]["treatment"] - silent["placebo"]["control"]) < STANDARD_ERRORS * 0.004


def test_the_control_of_every_example_is_made_by_the_placebo_process(households: Households) -> None:
    """With the Placebo's seed, Honeymoon and SlowBurn draw the same units and the same control facts."""
    placebo = {name: table.to_pandas() for name, table in tables(PLACEBO, households, SMALL).items()}
    for world in (HONEYMOON, SLOWBURN):
        other = World(world.key, PLACEBO.seed, world.injection)
        drawn = {name: table.to_pandas() for name, table in tables(other, households, SMALL).items()}
        pd.testing.assert_frame_equal(drawn["exposures"], placebo["exposures"])
        exposures = placebo["exposures"]
        control = set(exposures.loc[exposures["variant"] == "control", "unit_id"])
        facts = [frame["facts"][frame["facts"]["unit_id"].isin(control)] for frame in (drawn, placebo)]
        pd.testing.assert_frame_equal(facts[0].reset_index(drop=True), facts[1].reset_index(drop=True))


def test_head_items_make_about_fifteen_percent_of_all_lines(households: Households) -> None:
    assert households.trajectories.lines.shape == (2_469, 365)
    assert households.head_share == pytest.approx(0.1498, abs=0.0001)
    # All 1,469,307 recorded lines but the 534 of the night into 2018.
    assert households.trajectories.lines.sum() == 1_469_307 - 534


def test_a_time_zone_in_the_transactions_is_refused_and_not_guessed() -> None:
    local = pd.Series(pd.to_datetime(["2017-01-01 23:30"]))
    assert _dates(local).tolist() == [date(2017, 1, 1)]
    with pytest.raises(ValueError, match="time zone"):
        _dates(local.dt.tz_localize("UTC"))


def test_rossi_is_the_trial_as_published(folder: Path) -> None:
    exposures = pd.read_parquet(folder / "rossi" / "exposures.parquet")
    facts = pd.read_parquet(folder / "rossi" / "facts.parquet").merge(exposures, on="unit_id")
    assert list(exposures.columns) == ["unit_id", "variant", "exposed_at", "age", "race", "wexp", "mar", "paro", "prio"]
    assert exposures["variant"].value_counts().to_dict() == {"control": 216, "aid": 216}
    assert facts["variant"].value_counts().to_dict() == {"control": 66, "aid": 48}
    assert facts["arrested"].eq(1).all()
    assert facts["unit_id"].is_unique
    week = (pd.to_datetime(facts["at"]) - pd.to_datetime(facts["exposed_at"])).dt.days // 7
    from lifelines.datasets import load_rossi

    source = load_rossi()
    arrested = source[source["arrest"] == 1]
    assert sorted(week + 1) == sorted(arrested["week"])
    assert sorted(facts["age"]) == sorted(arrested["age"])
    # The day after the last fact is the first on which all 52 calendar weeks are complete.
    assert max(facts["at"]) + timedelta(days=1) == date(2001, 1, 1) + timedelta(weeks=52)


@pytest.mark.parametrize("key", KEYS)
def test_definitions_are_valid_and_lie_beside_their_data(folder: Path, key: str) -> None:
    built = folder / key / f"{key}.yaml"
    assert built.read_bytes() == definition_path(key).read_bytes()
    definition = load(built)
    assert definition.plan.key == key
    assert {path.name for path in built.parent.iterdir()} == {built.name, "exposures.parquet", "facts.parquet", STAMP}


def test_a_second_build_is_instant_and_changes_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}
    said: list[str] = []
    started = time.perf_counter()
    paths = build(folder, said.append)
    # It takes milliseconds; a second leaves room for a busy machine and none for reading the transactions.
    assert time.perf_counter() - started < 1
    after = {path: path.stat().st_mtime_ns for path in before}
    assert {path: after[path] for path in after if path.name != ".lock"} == {
        path: before[path] for path in before if path.name != ".lock"
    }
    assert said == [f"{key}: up to date" for key in KEYS]
    assert paths == [folder / key / f"{key}.yaml" for key in KEYS]


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build(tmp_path / name, units=SMALL)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 4 * len(KEYS)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "damage", ["missing facts", "cut facts", "no stamp", "broken stamp", "foreign stamp", "leftover"]
)
def test_an_interrupted_or_damaged_build_is_repaired(tmp_path: Path, damage: str) -> None:
    build(tmp_path, units=SMALL, keys=["placebo"])
    expected = contents(tmp_path)
    placebo = tmp_path / "placebo"
    match damage:
        case "missing facts":
            (placebo / "facts.parquet").unlink()
        case "cut facts":
            (placebo / "facts.parquet").write_bytes((placebo / "facts.parquet").read_bytes()[:1_000])
        case "no stamp":
            (placebo / STAMP).unlink()
        case "broken stamp":
            (placebo / STAMP).write_text("{", encoding="utf-8")
        case "foreign stamp":
            (placebo / STAMP).write_text("[]", encoding="utf-8")
        case "leftover":
            shutil.move(placebo, tmp_path / ".building-abc")
    build(tmp_path, units=SMALL, keys=["placebo"])
    assert contents(tmp_path) == expected


@pytest.mark.usefixtures("quick")
def test_a_build_that_fails_halfway_leaves_the_old_data_and_the_next_one_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, units=SMALL, keys=["placebo"])
    expected = contents(tmp_path)
    with monkeypatch.context() as patch:

        def fail(table: object, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError("no space left on device")

        patch.setattr(building, "write_table", fail)
        with pytest.raises(OSError, match="no space left"):
            build(tmp_path, units=SMALL + 1, keys=["placebo"])
    build(tmp_path, units=SMALL, keys=["placebo"])
    assert contents(tmp_path) == expected


@pytest.mark.usefixtures("quick")
def test_other_units_or_another_version_make_the_data_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path, units=SMALL, keys=["placebo"])
    said: list[str] = []
    build(tmp_path, said.append, units=SMALL + 1, keys=["placebo"])
    assert any("501 units" in line for line in said)
    said.clear()
    monkeypatch.setattr(building, "VERSION", building.VERSION + 1)
    build(tmp_path, said.append, units=SMALL + 1, keys=["placebo"])
    assert any("writing" in line for line in said)
    stamp = json.loads((tmp_path / "placebo" / STAMP).read_text(encoding="utf-8"))
    assert stamp["recipe"]["units"] == SMALL + 1


def test_rossi_alone_does_not_read_the_transactions(tmp_path: Path) -> None:
    said: list[str] = []
    build(tmp_path, said.append, keys=["rossi"])
    assert said == ["rossi: writing 432 units and 114 facts"]


def test_an_unknown_example_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown example 'honeymon', there are honeymoon, slowburn, placebo, rossi"):
        build(tmp_path, keys=["honeymon"])


def test_two_builds_at_a_time_wait_for_each_other(tmp_path: Path) -> None:
    # A fresh interpreter each: forking a process that has threads is not safe.
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=build, args=(tmp_path,), kwargs={"units": SMALL}) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(timeout=120)
    assert [job.exitcode for job in jobs] == [0, 0]
    assert {path.name for path in tmp_path.iterdir()} == {*KEYS, ".lock"}


def test_the_examples_need_no_django() -> None:
    code = "import sys, experiments.examples.build, experiments.examples.truth; sys.exit('django.db' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
