"""What the panel beside the form says: the numbers of ``manage.py plan``, warnings, overlaps, and nothing made up."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis import power
from analysis.plan import Plan
from experiments.definitions import Definition, parse
from experiments.models import Experiment, Source
from experiments.services import consequences as service
from experiments.services import planner
from experiments.services.apply import apply
from experiments.services.consequences import Consequences, consequences
from tests.experiments import small_data
from tests.experiments.configuring import begun, filled, registered, typed
from tests.experiments.looks import NOW
from tests.experiments.pages import tables, words
from tests.experiments.small_data import SmallData
from tests.people import signed_in

pytestmark = pytest.mark.django_db

#: All recorded weeks of the small data are over on this day.
LATER = small_data.START + timedelta(days=56)


def today(plan: Plan) -> date:
    return NOW.date()


@pytest.fixture
def lake(tmp_path: Path) -> Source:
    service._kept.clear()
    return registered(tmp_path / "lake")


def defined(**changes: Any) -> Definition:
    """The small experiment on the registered source, planned after its recorded weeks."""
    merged = {**small_data.definition(), "start_date": LATER, "source": {"name": "lake"}, **changes}
    text = yaml.safe_dump({key: value for key, value in merged.items() if value is not None}, sort_keys=False)
    return parse(text.encode(), "small.yaml", Path())


def found(source: Source, but: Experiment | None = None, **changes: Any) -> Consequences:
    return consequences(defined(**changes), source, today, but=but)


def met(told: Consequences) -> dict[str, bool]:
    return {check.words: check.met for check in told.checks}


def test_the_panel_has_the_numbers_of_the_plan_command(lake: Source, tmp_path: Path) -> None:
    data = SmallData(tmp_path / "lake")
    data.definition["start_date"] = LATER
    alone = planner.plan(data.write(), today)
    told = found(lake)
    assert told.planned is not None
    assert told.planned.rows == alone.rows
    assert told.planned.reversals == alone.reversals
    assert told.dates == alone.dates
    assert any(row.mde_lift for row in alone.rows)


def test_the_past_is_read_once_for_what_reads_it_alike(lake: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Plan] = []
    read = planner.read_history

    def counted(definition: Definition, plan: Plan, *rest: Any) -> Any:
        reads.append(plan)
        return read(definition, plan, *rest)

    monkeypatch.setattr(planner, "read_history", counted)
    first = found(lake)
    metrics = [{**metric, "role": "primary", "margin": None} for metric in small_data.definition()["metrics"]]
    other = found(
        lake, experiment="other", windows={"early": [0, 1], "late": [3, 5]}, decision={"alpha": 0.1}, metrics=metrics
    )
    assert len(reads) == 1
    assert first.planned != other.planned
    fresh = planner.plan_on(read(replace(defined(), source=lake.spec), other.plan, today), other.plan)
    assert other.planned == fresh
    found(lake, pre_weeks=1)
    found(lake, metrics=[{**metrics[0], "cap": 5}])
    assert len(reads) == 3


def test_changed_files_are_read_again(lake: Source, tmp_path: Path) -> None:
    before = found(lake).planned
    data = SmallData(tmp_path / "lake")
    data.facts["lines"] = data.facts["lines"] * 2 + 1
    data.write()
    after = found(lake).planned
    assert before is not None
    assert after is not None
    assert before.rows[0].control_mean != after.rows[0].control_mean


def test_a_late_window_after_the_planned_end_is_warned_of_until_it_is_mended(lake: Source) -> None:
    last = LATER + timedelta(days=7 * (1 + 5) + 13)
    late = found(lake, planned_end_date=last - timedelta(days=1))
    assert f"readable from {last} on, after the planned end" in late.warnings[0]
    assert sum("planned end" in warning for warning in late.warnings) == 1
    mended = found(lake, planned_end_date=last)
    assert not any("planned end" in warning for warning in mended.warnings)
    point = "the late window is readable before the planned end"
    assert (met(late)[point], met(mended)[point], met(found(lake))[point]) == (False, True, False)


def test_too_short_a_horizon_is_warned_of(lake: Source) -> None:
    assert any("the late window ends before week 6" in warning for warning in found(lake).warnings)
    gap = {"key": "churn", "kind": "event", "event": {"type": "inactivity", "gap_weeks": 4, "column": "lines"},
           "better": "lower", "role": "secondary"}  # fmt: skip
    told = found(lake, metrics=[*small_data.definition()["metrics"], gap])
    assert any("too short for churn: a gap of 4 weeks" in warning for warning in told.warnings)


def test_the_checklist_says_what_is_missing(lake: Source) -> None:
    bare = [{"key": "lines", "kind": "mean", "column": "lines", "better": "higher", "role": "primary", "term": "short"}]
    all_told = found(lake, metrics=bare, pre_weeks=0, decision={"rollback": []})
    assert any("no metric is a guardrail" in warning for warning in all_told.warnings)
    told = met(all_told)
    missing = {point.split(":")[0] for point, good in told.items() if not good}
    assert missing == {
        "it has a hypothesis", "a primary metric is long-term", "a guardrail says what must not get worse",
        "the late window is readable before the planned end", "a pre-period makes the intervals narrower",
        "something asks for a rollback",
    }  # fmt: skip


def test_facts_without_a_past_give_a_reason_and_the_dates_all_the_same(lake: Source) -> None:
    told = found(lake, start_date=small_data.START)
    assert told.planned is None
    assert "the history is too short" in told.why
    assert "--" not in told.why
    assert told.dates.early_from > small_data.START
    assert not met(told)["its power is known from the past of the source"]


def test_files_that_are_gone_give_a_reason(lake: Source, tmp_path: Path) -> None:
    (tmp_path / "lake" / "facts.parquet").unlink()
    assert "there is no such file" in found(lake).why


# --- overlaps ---------------------------------------------------------------------------------------------------------
def other(**changes: Any) -> Experiment:
    apply([defined(**{"experiment": "other", "name": "Other", **changes})], NOW)
    return Experiment.objects.get(key="other")


def test_experiments_on_the_same_data_in_the_same_days_are_told(lake: Source) -> None:
    other()
    (overlap,) = found(lake).overlaps
    assert (overlap.key, overlap.standing, overlap.apart) == ("other", "running", False)
    assert "the same data; give both one layer" in overlap.why
    assert not met(found(lake))["no other experiment is on the same units"]


def test_days_that_do_not_meet_are_no_overlap(lake: Source) -> None:
    running = other()
    (told,) = found(lake).overlaps
    assert found(lake, start_date=told.until).overlaps == ()
    assert [one.key for one in found(lake, start_date=told.until - timedelta(days=1)).overlaps] == ["other"]
    assert found(lake, but=running).overlaps == ()


def test_one_layer_keeps_units_apart_if_its_shares_fit(lake: Source) -> None:
    other(layer="home", share=0.5)
    (fits,) = found(lake, layer="home", share=0.5).overlaps
    (too_much,) = found(lake, layer="home", share=0.6).overlaps
    (elsewhere,) = found(lake, layer="search", share=0.5).overlaps
    assert (fits.apart, too_much.apart, elsewhere.apart) == (True, False, False)
    assert "their shares add up to 1.1" in too_much.why


# --- on the page ------------------------------------------------------------------------------------------------------
def test_the_panel_of_the_page_says_it_as_the_service_does(lake: Source) -> None:
    owner = signed_in("owner")
    draft = filled(owner, lake, timing={"start_date": LATER.isoformat(), "planned_end_date": "2024-03-01"})
    page = words(owner.get(f"/drafts/{draft.pk}/review/"))
    assert "The late window is readable from 2024-04-21 on, after the planned end 2024-03-01" in page
    assert "lines early, weeks 0-1" in page
    table = tables(owner.get(f"/drafts/{draft.pk}/review/"))["reversals"][0]
    assert table[0] == ["Metric", "Early", "Late", "Flagged"]
    assert len(table) == 1 + 2 * len(power.MULTIPLES)
    assert "No power" not in page
    empty = begun(owner)
    told = words(owner.get(f"/drafts/{empty.pk}/basics/"))
    assert "Readable from" in told
    assert "Once every step is filled in" in told
    typed(owner, empty, "timing", planned_end_date="2024-02-01")
    told = words(owner.get(f"/drafts/{empty.pk}/basics/"))
    assert "The late window is readable from 2024-02-25 on, after the planned end 2024-02-01" in told
    typed(owner, empty, "timing", start_date="9999-12-01")
    assert "Readable from" not in words(owner.get(f"/drafts/{empty.pk}/basics/"))


def test_more_than_a_panel_can_plan_on_is_refused_before_it_is_read(lake: Source) -> None:
    told = found(lake, horizon_weeks=520, enrollment_weeks=100)
    assert told.planned is None
    assert "too many to be planned on while one types" in told.why
