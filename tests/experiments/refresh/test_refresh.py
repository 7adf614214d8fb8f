"""Looks from beginning to end, looking back, and the day a look is taken as of."""

from datetime import date, timedelta
from typing import Any

import pytest

from analysis import scorecard as scorecards
from experiments.definitions import load
from experiments.models import (
    CurrentTriangle,
    EffectRow,
    Experiment,
    Look,
    LookCell,
    MomentsCell,
    Plan,
    TrajectoryRow,
    read_scorecard,
)
from experiments.services import cells, results
from experiments.services.apply import apply
from experiments.services.refresh import CannotRefresh, plan_look
from tests.experiments import small_data
from tests.experiments.looks import AS_OF, NOW, Mailbox, applied, assert_same, fresh, look_of, taken
from tests.experiments.small_data import SmallData

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_stored_scorecard_is_what_analyze_says(key: str, data: SmallData, box: Mailbox) -> None:
    look = taken(box, key)
    assert (look.state, look.as_of, look.number) == ("done", AS_OF, 8)
    assert_same(results.stored_scorecard(key), fresh(data, AS_OF))


def test_several_partitions_say_the_same_as_one(key: str, data: SmallData, box: Mailbox, settings: Any) -> None:
    settings.HOLDFAST_MIN_PARTITIONS = 3
    look = taken(box, key)
    assert look.cells.filter(kind="moments").count() == 3
    assert_same(results.stored_scorecard(key), fresh(data, AS_OF), relative=1e-9)


def test_results_that_are_packed_for_the_way_are_cleared_at_the_end(key: str, box: Mailbox) -> None:
    look = taken(box, key)
    assert {cell.state for cell in look.cells.all()} == {"done"}
    assert not look.cells.filter(result__isnull=False).exists()


def test_a_look_that_is_done_is_not_taken_again(key: str, box: Mailbox) -> None:
    taken(box, key)
    rows = list(EffectRow.objects.values())
    again = plan_look(key, AS_OF, NOW)
    assert again.outcome == "done"
    assert not box.waiting
    assert list(EffectRow.objects.values()) == rows


def test_delivering_every_message_again_changes_nothing(key: str, box: Mailbox) -> None:
    look = taken(box, key)
    before = [list(model.objects.values()) for model in (Look, LookCell, EffectRow, TrajectoryRow, MomentsCell)]
    box.waiting = [*box.sent, *reversed(box.sent)]
    box.deliver_all()
    assert [list(model.objects.values()) for model in (Look, LookCell, EffectRow, TrajectoryRow, MomentsCell)] == before
    assert look.cells.count() == 3


def test_messages_that_come_too_early_do_nothing(key: str, box: Mailbox) -> None:
    planned = plan_look(key, None, NOW)
    for kind in ("finish", "moments"):
        cells.run(LookCell.objects.get(look=planned.look_id, kind=kind).pk, NOW)
    assert set(LookCell.objects.values_list("state", flat=True)) == {"waiting"}
    box.deliver_all()
    assert look_of(planned).state == "done"


def test_changed_data_are_another_look_and_its_triangle_replaces_the_first(
    key: str, data: SmallData, box: Mailbox
) -> None:
    first = taken(box, key)
    data.facts["lines"] = [value + 1 for value in data.facts["lines"]]
    data.write()
    second = taken(box, key)
    assert first.pk != second.pk
    assert CurrentTriangle.objects.get().look == second
    assert_same(results.stored_scorecard(key), fresh(data, AS_OF))


def test_an_amended_plan_has_looks_of_its_own(key: str, data: SmallData, box: Mailbox) -> None:
    old = taken(box, key)
    data.metric(2, margin=0.1)
    apply([load(data.write())], NOW, amend="a typo")
    with pytest.raises(results.NoLookYet, match="was amended, and has no look yet"):
        results.stored_scorecard(key)
    new = taken(box, key)
    assert new.plan.version == 2
    assert results.stored_scorecard(key).plan.metrics[2].margin == 0.1
    assert read_scorecard(old).plan.metrics[2].margin == 0.02


@pytest.mark.parametrize("weeks", [0, 1, 2, 3, 5, 7])
def test_an_earlier_week_comes_from_the_stored_triangle_and_equals_a_fresh_read(
    key: str, data: SmallData, box: Mailbox, weeks: int
) -> None:
    taken(box, key)
    earlier = small_data.START + timedelta(days=7 * weeks)
    planned = plan_look(key, earlier, NOW)
    look = look_of(planned)
    assert set(look.cells.values_list("kind", "state")) == {("moments", "done"), ("finish", "waiting")}
    box.deliver_all()
    assert_same(results.stored_scorecard(key, earlier), fresh(data, earlier), relative=1e-9)
    assert CurrentTriangle.objects.get().as_of == AS_OF


def test_a_day_off_the_weekly_grid_is_read_from_the_data(key: str, data: SmallData, box: Mailbox) -> None:
    taken(box, key)
    look = taken(box, key, AS_OF - timedelta(days=3))
    assert set(look.cells.values_list("kind", flat=True)) == {"check", "moments", "finish"}
    assert_same(results.stored_scorecard(key, look.as_of), fresh(data, look.as_of))


def test_changed_data_are_read_again_for_an_earlier_week_too(key: str, data: SmallData, box: Mailbox) -> None:
    taken(box, key)
    data.facts["lines"] = [value * 2 for value in data.facts["lines"]]
    data.write()
    look = taken(box, key, small_data.START + timedelta(days=28))
    assert look.cells.filter(kind="check").exists()
    assert_same(results.stored_scorecard(key, look.as_of), fresh(data, look.as_of))


def test_the_stored_triangle_comes_back_as_it_was(key: str, box: Mailbox) -> None:
    taken(box, key)
    stored = CurrentTriangle.objects.get().load()
    assert_same(scorecards.build(stored), results.stored_scorecard(key), relative=0)


def test_the_default_day_is_the_one_after_the_data_and_today_at_most(key: str) -> None:
    assert plan_look(key, None, NOW).as_of == AS_OF
    assert plan_look(key, None, NOW.replace(year=2024, month=2, day=25)).as_of == date(2024, 2, 25)


@pytest.mark.parametrize(
    ("as_of", "message"),
    [
        (date(2023, 12, 31), "as_of 2023-12-31 is before start_date 2024-01-01"),
        (date(2024, 6, 2), "as_of 2024-06-02 is after today, 2024-06-01"),
    ],
)
def test_a_day_that_cannot_be_is_refused_with_both_dates(key: str, as_of: date, message: str) -> None:
    with pytest.raises(CannotRefresh, match=message):
        plan_look(key, as_of, NOW)
    assert not Look.objects.exists()


def test_data_that_end_before_the_start_are_refused(data: SmallData) -> None:
    data.definition["start_date"] = date(2024, 5, 1)
    with pytest.raises(CannotRefresh, match="the data end on 2024-02-25, so as_of would be 2024-02-26"):
        plan_look(applied(data), None, NOW)


def test_an_experiment_that_has_not_started_is_refused(data: SmallData) -> None:
    data.definition["start_date"] = date(2024, 7, 1)
    with pytest.raises(CannotRefresh, match="small starts on 2024-07-01, and today is 2024-06-01"):
        plan_look(applied(data), None, NOW)
    assert Plan.objects.get().frozen_at is None


def test_the_first_refresh_of_an_experiment_whose_day_has_come_freezes_its_plan(data: SmallData, box: Mailbox) -> None:
    before = NOW.replace(year=2023)
    apply([load(data.write())], before)
    assert Plan.objects.get().frozen_at is None
    taken(box, "small")
    assert Plan.objects.get().frozen_at == NOW
    assert Experiment.objects.get().state == "enrollment_closed"  # two weeks long, and it is June


def test_on_the_first_day_nothing_is_mature_and_that_is_no_error(key: str, data: SmallData, box: Mailbox) -> None:
    look = taken(box, key, small_data.START)
    assert look.state == "done"
    rows = results.stored_scorecard(key).effects
    assert {row.state for row in rows} == {"not_yet"}
    assert all(row.reason for row in rows)


def test_data_that_cannot_be_opened_plan_no_look(key: str, data: SmallData) -> None:
    (data.folder / "facts.parquet").unlink()
    with pytest.raises(CannotRefresh, match=r"facts\.parquet"):
        plan_look(key, None, NOW)
    assert not Look.objects.exists()


def test_a_number_that_is_not_finite_is_never_stored(key: str, box: Mailbox) -> None:
    look = taken(box, key)
    row = results.stored_scorecard(key).effects[0]
    object.__setattr__(row, "lift", float("nan"))
    with pytest.raises(ValueError, match=r"EffectRow\.lift is nan"):
        EffectRow.of(look, 0, row)
