"""``manage.py plan``: the whole command on the example and on small data, its numbers against rows, what it refuses."""

import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.sample_size import distance, holdout_factor, needed_events
from experiments.examples.build import build
from experiments.models import Experiment
from experiments.services import metrics, planner
from tests.experiments import traffic_world
from tests.experiments.commands import CHECKOUT, run, run_apart
from tests.experiments.small_data import (
    ENROLLMENT_WEEKS,
    HORIZON_WEEKS,
    PRE_WEEKS,
    START,
    SmallData,
    rows_of,
    stacked,
)
from tests.experiments.test_commands import NOWHERE

#: n - 1 against n in variances: parts in a thousand at some hundred units.
ONE_PART_IN_N = 5e-3

#: A start at which the whole history fits before it: the last unit needs 7 (1 + 5) + 13 = 55 days.
LATER = START + timedelta(days=56)


def plan(path: Path, *options: object) -> dict[str, Any]:
    """``manage.py plan`` with the result as JSON."""
    return run("plan", path, "--format", "json", *options).json


def refused(path: Path, *fragments: str, options: tuple[object, ...] = (), code: int = 1) -> None:
    """Plan what cannot be: nothing on stdout, no traceback, and one message with all the fragments."""
    done = run("plan", path, *options)
    assert (done.code, done.out) == (code, ""), (done.code, done.out[:500], done.err)
    assert "Traceback" not in done.err
    assert "should not happen" not in done.err
    assert all(fragment in done.err for fragment in fragments), done.err


def row(found: dict[str, Any], metric: str, window: str) -> dict[str, Any]:
    return next(one for one in found["metrics"] if (one["metric"], one["window"]) == (metric, window))


@pytest.fixture
def data(tmp_path: Path) -> SmallData:
    """The small experiment, planned for the day its recorded weeks are over: all its facts are history then."""
    small = SmallData(tmp_path / "small")
    small.definition["start_date"] = LATER
    return small


@pytest.fixture(scope="module")
def honeymoon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example at its full size."""
    folder = tmp_path_factory.mktemp("examples")
    build(folder, keys=["honeymoon"])
    return folder / "honeymoon" / "honeymoon.yaml"


# --- On the example ---------------------------------------------------------------------------------------------------
def test_the_example_is_planned_on_the_facts_of_its_year(honeymoon: Path) -> None:
    found = plan(honeymoon, "--start-date", "2018-01-01")
    assert (found["version"], found["key"], found["kind"]) == (1, "honeymoon", "experiment")
    assert found["history"]["kind"] == "facts"
    assert (found["history"]["start_date"], found["history"]["as_of"]) == ("2017-06-05", "2017-12-31")
    assert (found["history"]["weeks"], found["horizon_weeks"]) == (26, 26)
    facts = pd.read_parquet(honeymoon.parent / "facts.parquet")
    days = pd.to_datetime(facts["at"])
    enrolled = facts[(days >= "2017-06-05") & (days < "2017-07-03")].assign(day=days).groupby("unit_id")["day"].min()
    counts = ((enrolled - pd.Timestamp("2017-06-05")).dt.days // 7).value_counts().sort_index()
    assert found["history"]["enrolled"] == counts.tolist()
    assert found["history"]["units"] == len(enrolled) == sum(counts)
    assert found["units_per_week"] == len(enrolled) / 4
    assert sum(found["units"].values()) == pytest.approx(len(enrolled), abs=1)
    weekly = facts.assign(week=(days - facts["unit_id"].map(enrolled)).dt.days // 7)
    late = weekly[(weekly["week"] >= 13) & (weekly["week"] < 26)].groupby("unit_id")["lines"].sum()
    known = late.reindex(enrolled.index, fill_value=0) / 13
    assert row(found, "lines", "late")["control_mean"] == pytest.approx(known.mean(), rel=1e-9)
    assert {(one["metric"], one["window"]) for one in found["metrics"]} == {
        ("churn", "horizon"),
        *((metric, window) for metric in ("lines", "active", "sales", "head_share") for window in ("early", "late")),
    }
    assert all(one["mde_lift"] > 0 and one["weeks_needed"] > 0 for one in found["metrics"])
    assert found["dates"]["late_all"] == "2018-07-29"
    assert [one["hazard"] for one in found["reversals"] if one["metric"] == "lines"] == [None] * 3 + [0.003, 0.006]
    assert all(0 < one["power"] <= 1 for one in found["reversals"])


def test_the_readme_shows_what_is_printed(honeymoon: Path) -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("--wanted lines=0.02\n")[2].partition("  ...\n")[0]
    assert shown.startswith("Engagement-first ranker")
    done = run_apart(
        "plan", honeymoon, "--start-date", "2018-01-01", "--wanted", "lines=0.02", COLUMNS="80"
    )  # fmt: skip
    assert done.out.startswith(shown)


def test_the_example_before_its_own_start_has_too_short_a_history(honeymoon: Path) -> None:
    refused(
        honeymoon, "facts.parquet: the history is too short: before 2017-05-29 there are facts from 2017-04-03 on",
        "a plan needs 90 days", "pre_weeks 8", "--start-date", "--history control",
    )  # fmt: skip


def test_the_example_is_planned_on_its_own_control(honeymoon: Path) -> None:
    found = plan(honeymoon, "--history", "control", "--wanted", "lines=0.02")
    scorecard = run("analyze", honeymoon, "--format", "json").json
    churn, read = row(found, "churn", "horizon"), scorecard["survival_comparison"][0]
    assert churn["control_mean"] == pytest.approx(read["rmst_control"], rel=1e-9)
    assert (churn["end_week"], churn["readable_from"]) == (read["tau"], read["readable_from"])
    # The treatment loses more units, whose weeks vary more.
    assert churn["se"] == pytest.approx(read["rmst_se"] / read["rmst_control"], rel=0.05)
    allowed = next(one for one in found["events"] if one["is_margin"])
    assert 1.05 < allowed["hazard_ratio"] < 1.15
    assert allowed["lift"] == pytest.approx(-0.02)
    assert found["history"]["kind"] == "control"
    assert found["history"]["units"] == scorecard["units"]["control"]
    assert found["units_per_week"] == sum(scorecard["units"].values()) / 4
    assert found["plan"] == scorecard["plan"]
    for effect in scorecard["effects"]:
        planned = row(found, effect["metric"], effect["window"])
        assert planned["control_mean"] == pytest.approx(effect["control_mean"], rel=1e-9)
        assert planned["readable_from"] == effect["readable_from"]
        if effect["window"] == "early":
            # Later on the treatment loses units, and its variance grows.
            assert planned["se"] == pytest.approx(effect["effect_se"] / effect["control_mean"], rel=0.05)
    assert [row(found, "lines", window)["wanted_lift"] for window in ("early", "late")] == [0.02, 0.02]
    assert row(found, "sales", "late")["wanted_lift"] == pytest.approx(row(found, "sales", "late")["mde_lift"] / 2)
    assert found["warnings"] == []


def test_the_table_says_what_a_product_manager_asks(honeymoon: Path) -> None:
    options = ("--start-date", "2018-01-01", "--units-per-week", "10000")
    done, found = run("plan", honeymoon, *options), plan(honeymoon, *options)
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    lines = done.out.splitlines()
    assert lines[0] == "Engagement-first ranker (honeymoon): what it can find"
    assert lines[1].startswith("From 2018-01-01 on, 10,000 units a week for 4 weeks: control 20,000, treatment")
    for title in (
        "Readable from",
        "Smallest lifts",
        "Guardrails",
        "Early win, later loss",
        "Time to event",
        "Take care",
    ):
        assert title in lines
    late = row(found, "lines", "late")
    shown = next(line for line in lines if line.split()[:2] == ["lines", "late,"])
    assert shown.split()[:5] == ["lines", "late,", "weeks", "13-25", f"+{100 * late['mde_lift']:.1f}"]
    assert shown.split()[-1] == "2018-07-29"
    assert f"{round(late['units_needed']):,}" in shown
    assert "late, weeks 13-25   2018-07-08  2018-07-29" in done.out
    churn = next(one for one in found["events"] if one["hazard_ratio"] == 1.2)
    assert churn["events"] == pytest.approx(needed_events(1.2, 0.05, 0.8))
    assert "0.60 % of units leave each week after early" in done.out
    assert "Smallest lifts of other holdouts" not in done.out


# --- On small data ----------------------------------------------------------------------------------------------------
def weekly_values(data: SmallData, first: date) -> pd.DataFrame:
    """Lines of each unit by week since its first fact from day ``first`` on (-1: the average of the two before)."""
    facts = pd.DataFrame({key: data.facts[key] for key in ("unit_id", "at", "lines")})
    inside = facts[(facts["at"] >= first) & (facts["at"] < first + timedelta(weeks=ENROLLMENT_WEEKS))]
    exposed = inside.groupby("unit_id")["at"].min()
    facts = facts[facts["unit_id"].isin(exposed.index)]
    week = [(at - day).days // 7 for at, day in zip(facts["at"], facts["unit_id"].map(exposed), strict=True)]
    table = facts.assign(week=week).pivot_table(index="unit_id", columns="week", values="lines", aggfunc="sum")
    table = table.reindex(index=exposed.index, columns=range(-PRE_WEEKS, HORIZON_WEEKS)).fillna(0.0)
    return table.assign(before=table[[-2, -1]].mean(axis=1))


def test_numbers_are_those_of_the_rows(data: SmallData) -> None:
    found = plan(data.write(), "--units-per-week", 5_000)
    values = weekly_values(data, START)
    assert found["history"] == {
        "kind": "facts", "start_date": START.isoformat(), "as_of": LATER.isoformat(), "units": len(values), "weeks": 6,
        "enrolled": found["history"]["enrolled"],
    }  # fmt: skip
    assert sum(found["history"]["enrolled"]) == len(values) == 200
    for name, weeks in (("early", [0, 1]), ("late", [4, 5])):
        value = values[weeks].mean(axis=1)
        left = 1 - np.corrcoef(value, values["before"])[0, 1] ** 2
        planned = row(found, "lines", name)
        assert planned["control_mean"] == pytest.approx(value.mean(), rel=1e-9)
        assert planned["units"] == 10_000
        known = math.sqrt(value.var() * left * (2 / 5_000)) / value.mean()
        assert planned["se"] == pytest.approx(known, rel=ONE_PART_IN_N)
        # Three judged pairs share alpha; two looks cost little more than one.
        assert planned["alpha"] == pytest.approx(0.05 / 3)
        assert planned["mde_lift"] == pytest.approx(distance(0.05 / 3, 0.8) * known, rel=0.02)
    assert row(found, "price", "late")["margin"] == 0.02


def test_a_draft_needs_no_exposures_no_database_and_stores_nothing(data: SmallData, tmp_path: Path) -> None:
    path = data.write()
    (data.folder / "exposures.parquet").unlink()
    before = sorted(path.parent.iterdir())
    home = tmp_path / "home"
    done = run_apart("plan", path, "--format", "json", HOLDFAST_HOME=str(home), **NOWHERE)
    assert (done.code, done.err) == (0, "")
    assert done.json["history"]["units"] == 200
    assert sorted(path.parent.iterdir()) == before
    assert not home.exists() or {file.name for file in home.iterdir()} <= {"secret-key"}


def test_a_short_history_plans_the_windows_it_has(data: SmallData) -> None:
    first = LATER - timedelta(days=7 * (PRE_WEEKS + ENROLLMENT_WEEKS + 3))
    data.facts = rows_of(data.facts, [at >= first for at in data.facts["at"]])
    path = data.write()
    found = plan(path, "--units-per-week", 5_000)
    # All but two of the units come in the first week, and have lived a week more than the last ones.
    assert (found["history"]["enrolled"], found["history"]["weeks"], found["history"]["units"]) == ([198, 2], 4, 198)
    assert row(found, "lines", "early")["mde_lift"] > 0
    late = row(found, "lines", "late")
    assert (late["mde_lift"], late["units_needed"], late["readable_from"]) == (None, None, "2024-04-21")
    assert late["reason"] == "the history has 4 of the 6 weeks since exposure that are needed"
    assert {one["reason"] for one in found["reversals"]} == {late["reason"]}
    assert found["warnings"][0].startswith("the history follows units for 4 of 6 weeks")
    shown = " ".join(run("plan", path).out.split())
    assert "price late: the history has 4 of the 6 weeks since exposure that are needed." in shown
    assert "- The history follows units for 4 of 6 weeks; windows that end later cannot be planned." in shown


@pytest.mark.django_db(transaction=True)
def test_a_share_of_the_traffic_is_planned_for(data: SmallData) -> None:
    whole = plan(data.write())
    data.definition["share"] = 0.25
    path = data.write()
    part = plan(path)
    assert part["units_per_week"] == whole["units_per_week"] / 4
    assert part["warnings"][0] == "the definition's share 0.25 of the units in the history is planned for"
    given = plan(path, "--units-per-week", 77)
    assert given["units_per_week"] == 77
    assert not any("share" in warning for warning in given["warnings"])


def test_a_running_experiment_is_planned_on_the_cohorts_that_have_lived(data: SmallData) -> None:
    data.definition["start_date"] = START
    last = START + timedelta(days=7 * 3 + 12)  # the second cohort has lived three weeks the day after, less a day
    data.facts = rows_of(data.facts, [at <= last for at in data.facts["at"]])
    found = plan(data.write(), "--history", "control")
    assert found["history"]["kind"] == "control"
    assert (found["history"]["weeks"], found["history"]["units"]) == (3, 100)
    assert found["history"]["enrolled"] == [102, 98]
    assert (found["start_date"], found["units_per_week"]) == (START.isoformat(), 100)
    moved = plan(data.path, "--history", "control", "--start-date", LATER)
    assert moved["start_date"] == LATER.isoformat()
    assert moved["history"] == found["history"]
    assert row(moved, "lines", "early")["mde_lift"] == row(found, "lines", "early")["mde_lift"]


def test_an_experiment_of_events_alone_has_dates_and_events(data: SmallData) -> None:
    data.definition["metrics"] = [
        {"key": "churn", "kind": "event", "event": {"type": "inactivity", "gap_weeks": 2, "column": "lines"},
         "better": "lower", "role": "primary", "term": "long"},
    ]  # fmt: skip
    path = data.write()
    found = plan(path)
    assert ([one["window"] for one in found["metrics"]], found["reversals"]) == (["horizon"], [])
    assert [one["hazard_ratio"] for one in found["events"]] == [1.1, 1.2, 1.5]
    assert all(one["units"] > one["events"] and one["lift"] < 0 for one in found["events"])
    shown = run("plan", path).out
    assert "Time to event" in shown
    assert "Guardrails" not in shown


# --- A holdout --------------------------------------------------------------------------------------------------------
def holdout(data: SmallData, **changes: Any) -> Path:
    for key in ("experiment", "variants", "clock"):
        data.definition.pop(key, None)
    given = {"holdout": "winter", "fraction": 0.2, "planned_end_date": LATER + timedelta(days=100), "pre_weeks": 2}
    data.definition.update({**given, **changes})
    return data.write()


@pytest.mark.django_db(transaction=True)
def test_a_holdout_has_a_table_of_sizes(data: SmallData) -> None:
    path = holdout(data)
    found = plan(path, "--units-per-week", 50_000)
    assert found["kind"] == "holdout"
    assert found["units"] == {"held_out": 20_000, "launched": 80_000}
    rows = [one for one in found["holdouts"] if one["metric"] == "active"]
    assert [one["fraction"] for one in rows] == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    assert [round(one["factor"], 1) for one in rows] == [5.0, 3.6, 2.3, 1.7, 1.2, 1.0]
    even = rows[-1]["mde_lift"]
    for one in rows:
        assert one["mde_lift"] / even == pytest.approx(holdout_factor(one["fraction"]), rel=1e-3)
        assert one["units"] == 100_000 * one["fraction"]
    assert rows[4]["mde_lift"] == pytest.approx(row(found, "active", "late")["mde_lift"], rel=1e-9)
    shown = run("plan", path, "--units-per-week", "50000").out
    assert "Of all units\n  holds out 20 % of all units from 2024-02-26 on, before any layer" in shown
    assert "Smallest lifts of other holdouts of the same units" in shown
    assert any(line.split()[:4] == ["1", "%", "1,000", "active"] and line.endswith("5.0 x")
               for line in shown.splitlines())  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_a_late_window_after_the_planned_end_is_warned_of(data: SmallData) -> None:
    path = holdout(data, planned_end_date=LATER + timedelta(days=30))
    warning = plan(path, "--units-per-week", 500)["warnings"][0]
    assert warning.startswith("the late window is readable from 2024-04-15 on, after the planned end 2024-03-27")
    assert "  - The late window is readable from 2024-04-15 on" in run("plan", path).out


def test_a_start_after_the_planned_end_is_refused(data: SmallData) -> None:
    path = holdout(data)
    refused(path, "start_date 2025-01-01 is not before planned_end_date", options=("--start-date", "2025-01-01"))


@pytest.mark.django_db(transaction=True)
def test_a_holdout_is_planned_until_its_end_or_as_far_as_the_past_goes(data: SmallData) -> None:
    path = holdout(data, planned_end_date=LATER + timedelta(days=7 * 4))
    found = plan(path, "--units-per-week", 500)["until_end"]
    assert [one["metric"] for one in found] == ["lines", "active", "price"]
    assert {(one["start_week"], one["end_week"], one["planned_weeks"]) for one in found} == {(1, 4, 4)}
    assert all(0 < one["mde_lift"] < 1 and one["reason"] is None for one in found)
    shown = run("plan", path, "--units-per-week", "500").out
    assert "Until the planned end" in shown
    smaller = plan(holdout(data, fraction=0.05), "--units-per-week", 500)["until_end"]
    assert smaller[0]["mde_lift"] > found[0]["mde_lift"]


# --- What the database knows ------------------------------------------------------------------------------------------
USE = {"use": "lines", "role": "primary", "term": "short"}


@pytest.mark.django_db(transaction=True)
def test_metrics_of_the_catalog_are_planned_as_if_they_were_written_out(data: SmallData) -> None:
    written = plan(data.write())
    assert written["traffic"] == {"lines": [], "reason": None}
    measured = {"key": "lines", "kind": "mean", "better": "higher", "column": "lines"}
    metrics.publish(measured, "", by="owner@example.com", now=traffic_world.NOW)
    data.definition["metrics"][0] = dict(USE)
    assert plan(data.write()) == written
    data.definition["metrics"][0] = {**USE, "use": "line"}
    refused(data.write(), "metrics[0].use: there is no metric `line` in the catalog; did you mean `lines`?")


def test_without_the_database_shared_metrics_are_refused_and_traffic_is_not_known(data: SmallData) -> None:
    data.definition |= {"layer": "search", "share": 0.4}
    done = run_apart("plan", data.write(), "--format", "json", **NOWHERE)
    assert done.json["traffic"]["lines"] == []
    assert done.json["traffic"]["reason"].startswith("the database that knows cannot be used (connection")
    data.definition["metrics"][0] = dict(USE)
    done = run_apart("plan", data.write(), **NOWHERE)
    assert (done.code, done.out) == (1, "")
    assert "metrics[0].use: `lines` is in the catalog, and the database that keeps it cannot be used" in done.err
    assert "write out what it measures" in done.err


@pytest.mark.django_db(transaction=True)
def test_what_a_layer_and_holdouts_leave_is_told_as_apply_does(data: SmallData) -> None:
    traffic_world.put(
        traffic_world.holdout(fraction=0.1, start_date=START),
        traffic_world.experiment("other", layer="search", share=0.5),
    )
    data.definition |= {"layer": "search", "share": 0.4, "holdout": "winter", "unit": "user"}
    lines = plan(data.write())["traffic"]["lines"]
    told = run("apply", "--dry-run", data.path).out
    assert lines[-1] == "effective traffic: 36 % of all units"
    assert all(f"  {line}\n" in told for line in lines)
    assert "Of all units\n  layer search: buckets 5,000-8,999 (40 %)" in run("plan", data.path).out
    data.definition["share"] = 0.6
    reason = plan(data.write())["traffic"]["reason"]
    assert "it would be refused" in reason
    assert "has no 60 % of its buckets free" in reason
    assert not Experiment.objects.filter(key="small").exists()


# --- Refused ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            "line=0.02",
            "wanted line=0.02: `line` is not one of the metrics lines, active, price",
        ),
        ("price=0.02", "`price` is a guardrail, which is planned for its margin 0.02"),
        ("lines=-0.02", "wanted lines=-0.02: a wanted lift is a fraction above 0 and up to 1, such as 0.02 for 2 %"),
        ("lines=0", "wanted lines=0: a wanted lift is a fraction above 0"),
        ("lines=2", "wanted lines=2: a wanted lift is a fraction above 0 and up to 1"),
    ],
)
def test_wanted_lifts_that_cannot_be_are_refused(wanted: str, said: str, data: SmallData) -> None:
    refused(data.write(), f"Error: {data.path}: ", said, options=("--wanted", wanted))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--wanted", "lines"), "'lines' is not METRIC=LIFT, such as lines=0.02 for 2 %"),
        (("--wanted", "lines=two"), "'lines=two' is not METRIC=LIFT"),
        (("--wanted", "lines=nan"), "'lines=nan' is not METRIC=LIFT"),
        (("--wanted", "=0.1"), "'=0.1' is not METRIC=LIFT"),
        (("--units-per-week", "-5"), "'-5' is not a number of units; write a whole number above 0"),
        (("--units-per-week", "0"), "'0' is not a number of units"),
        (("--units-per-week", "1e4"), "'1e4' is not a number of units"),
        (("--units-per-week", "9" * 30), "is not a number of units"),
        (("--start-date", "soon"), "'soon' is not a date"),
        (("--history", "guess"), "'guess'"),
        (("--format", "csv"), "'csv'"),
    ],
)
def test_wrong_usage_exits_with_two(options: tuple[str, ...], said: str, data: SmallData) -> None:
    refused(data.write(), said, options=options, code=2)


@pytest.mark.parametrize("units", [0, -1, math.inf, math.nan])
def test_units_a_week_that_cannot_be_are_refused_whoever_asks(units: float, data: SmallData) -> None:
    with pytest.raises(planner.CannotPlan, match="a number above 0"):
        planner.plan(data.write(), lambda plan: LATER, units_per_week=units)


def test_two_lifts_of_one_metric_are_wrong_usage(data: SmallData) -> None:
    options = ("--wanted", "lines=0.02", "--wanted", "lines=0.03")
    refused(data.write(), "names a metric twice", options=options, code=2)


def test_no_facts_before_the_start_are_refused(data: SmallData) -> None:
    data.definition["start_date"] = START
    data.facts = rows_of(data.facts, [at >= START for at in data.facts["at"]])
    refused(
        data.write(), "facts.parquet: the history is too short",
        "before 2024-01-01 there are no facts (the first is of 2024-01-01)", "Load older facts",
    )  # fmt: skip


def test_weeks_in_which_nobody_came_are_refused(data: SmallData) -> None:
    old = {"unit_id": ["old"], "at": [START - timedelta(days=900)], "lines": [1.0], "sales": [1.0]}
    data.facts = stacked(old, rows_of(data.facts, [at > LATER - timedelta(days=20) for at in data.facts["at"]]))
    refused(data.write(), "no unit has a fact in the 2 weeks from 2024-01-01 on", "Load older facts")


def test_an_experiment_of_which_nobody_has_lived_a_week_has_no_control_to_plan_on(data: SmallData) -> None:
    data.definition["start_date"] = START
    last = START + timedelta(days=3)
    data.facts = rows_of(data.facts, [at <= last for at in data.facts["at"]])
    data.exposures = rows_of(data.exposures, [at <= last for at in data.exposures["exposed_at"]])
    refused(
        data.write(), "as of 2024-01-05 no unit has lived a week; the first ones have on 2024-01-14",
        options=("--history", "control"),
    )  # fmt: skip


def test_an_experiment_that_has_not_started_has_no_control_to_plan_on(data: SmallData) -> None:
    data.definition["start_date"] = LATER + timedelta(days=20)
    refused(data.write(), "which is before start_date", options=("--history", "control"))


def test_a_control_is_planned_on_with_its_exposures_only(data: SmallData) -> None:
    path = data.write()
    (data.folder / "exposures.parquet").unlink()
    refused(path, "exposures.parquet: there is no such file", options=("--history", "control"))


def test_a_start_at_the_end_of_the_calendar_is_refused(data: SmallData) -> None:
    refused(data.write(), "start_date 9999-12-31 is too late", options=("--start-date", "9999-12-31"))


def test_a_registered_source_and_a_broken_definition_are_refused(data: SmallData) -> None:
    data.definition["source"] = {"name": "shop"}
    path = data.path
    data.folder.mkdir()
    path.write_text(yaml.safe_dump(data.definition, sort_keys=False))
    refused(path, "`shop` names a registered source", "plan needs `exposures` and `facts`")
    path.write_text("version: 1\n")
    refused(path, "neither `experiment:` nor `holdout:`")


def test_help_tells_the_options() -> None:
    done = run_apart("plan", "--help")
    assert (done.code, done.err) == (0, "")
    for option in ("--start-date DATE", "--wanted METRIC=LIFT", "--units-per-week N", "--history {facts,control}"):
        assert option in done.out
