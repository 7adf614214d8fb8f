"""Reading what looks have said, and how far they are."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.models import (
    LookCell,
)
from experiments.models.results import LookUnits
from experiments.services import portfolio, results
from experiments.services.refresh import plan_look
from tests.experiments import small_data
from tests.experiments.looks import AS_OF, NOW, Mailbox, taken
from tests.experiments.small_data import SmallData

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_unknown_key_is_told_with_the_closest_one(key: str) -> None:
    with pytest.raises(results.NoSuchExperiment, match=r"no experiment `smal`; did you mean `small`\?"):
        results.stored_scorecard("smal")
    with pytest.raises(results.NoSuchExperiment, match="there is only `small`"):
        results.looks("zzzzzz")


def test_without_any_experiment_the_message_says_to_apply_one() -> None:
    with pytest.raises(results.NoSuchExperiment, match="nor any other yet: apply a definition file first"):
        results.look_status("small")


def test_without_a_look_the_message_says_how_to_take_one(key: str, box: Mailbox) -> None:
    with pytest.raises(
        results.NoLookYet, match=r"there is no look of small yet\. Take one with: .*refresh small --wait"
    ):
        results.stored_scorecard(key)
    with pytest.raises(results.NoLookYet, match="refresh small --as-of 2024-02-05 --wait"):
        results.look_status(key, date(2024, 2, 5))
    assert results.looks(key) == ()
    plan_look(key, None, NOW)
    with pytest.raises(results.NoLookYet, match=r"is not finished yet\. Wait for it"):
        results.stored_scorecard(key)


def test_the_status_says_in_words_how_far_a_look_is(key: str, box: Mailbox, settings: Any) -> None:
    settings.HOLDFAST_MIN_PARTITIONS = 3
    plan_look(key, None, NOW)
    seen = []
    while True:
        status = results.look_status(key)
        seen.append((status.state, status.percent, status.step))
        if not box.waiting:
            break
        box.deliver()
    assert seen == [
        ("planned", 0, "waiting for a worker (checking the rows)"),
        ("running", 20, "waiting for a worker (reading the data, 0 of 3 parts done)"),
        ("running", 40, "waiting for a worker (reading the data, 1 of 3 parts done)"),
        ("running", 60, "waiting for a worker (reading the data, 2 of 3 parts done)"),
        ("running", 80, "waiting for a worker (estimating the effects)"),
        ("done", 100, "finished"),
    ]
    assert (status.number, status.planned, status.as_of) == (8, 8, AS_OF)


def test_a_claimed_cell_is_named_in_the_status(key: str, box: Mailbox) -> None:
    planned = plan_look(key, None, NOW)
    LookCell.objects.claim(LookCell.objects.ready(planned.look_id)[0], 30)
    assert results.look_status(key).step == "checking the rows"


def test_looks_are_listed_by_day_each_with_its_newest_data(key: str, data: SmallData, box: Mailbox) -> None:
    taken(box, key)
    taken(box, key, small_data.START + timedelta(days=28))
    data.facts["lines"] = [value + 1 for value in data.facts["lines"]]
    data.write()
    plan_look(key, AS_OF, NOW)
    assert [(look.as_of, look.state) for look in results.looks(key)] == [
        (small_data.START + timedelta(days=28), "done"),
        (AS_OF, "planned"),
    ]
    assert results.look_status(key).state == "planned"
    assert results.stored_scorecard(key).as_of == AS_OF


def test_the_portfolio_has_the_rows_that_decide_of_the_newest_finished_look(
    key: str, data: SmallData, box: Mailbox
) -> None:
    (entry,) = portfolio.portfolio(NOW)
    assert (entry.look, entry.as_of, entry.shown, portfolio.courses([entry])) == (None, None, None, {})
    taken(box, key)
    taken(box, key, small_data.START + timedelta(days=28))
    card = results.stored_scorecard(key)
    (entry,) = portfolio.portfolio(NOW)
    assert (entry.key, entry.state, entry.owner, entry.as_of) == (key, "enrollment closed", "owner@example.com", AS_OF)
    course = portfolio.courses([entry])[key]
    assert [(row.metric, row.window) for row in course.effects] == [("lines", "early"), ("active", "late")]
    assert set(course.effects) <= set(card.effects)
    weeks = [row for row in card.trajectory if (row.metric, row.kind) == ("lines", "weekly") and row.lift is not None]
    assert course.weekly == {
        "treatment": tuple((row.week, row.lift, row.lift_low, row.lift_high) for row in weeks)
    }  # fmt: skip
    assert entry.recommendations == card.recommendations
    states = {(row.metric, row.state) for row in card.reversals}
    assert set(entry.reversals) <= states
    assert entry.alarms == tuple(row for row in card.checks if row.state == "alarm")
    assert entry.look is not None
    assert entry.look.state == "done"


@pytest.mark.parametrize(("days", "due"), [(9, None), (10, date(2024, 1, 29)), (30, date(2024, 1, 29))])
def test_a_weekly_look_is_overdue_a_few_days_after_its_day(key: str, box: Mailbox, days: int, due: date | None) -> None:
    third = small_data.START + timedelta(days=21)
    taken(box, key, third)
    (entry,) = portfolio.portfolio(datetime.combine(third + timedelta(days=days), time(12), UTC))
    assert entry.due == due


def test_no_look_is_due_once_all_planned_ones_are_taken(key: str, box: Mailbox) -> None:
    taken(box, key)
    (entry,) = portfolio.portfolio(NOW + timedelta(days=300))
    assert entry.due is None


def test_a_scorecard_takes_few_queries(key: str, box: Mailbox) -> None:
    taken(box, key)
    with CaptureQueriesContext(connection) as queries:
        results.stored_scorecard(key)
    assert len(queries) <= 15


def test_units_are_in_the_order_of_the_variants(key: str, box: Mailbox) -> None:
    taken(box, key)
    assert list(LookUnits.objects.values_list("variant", "n")) == [("control", 99), ("treatment", 99)]
