"""The weekly schedule: what is due, what is done about it, and that asking again does nothing twice."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from analysis import windows
from experiments import definitions, tasks
from experiments.models import AuditEntry, Experiment, Look, LookCell
from experiments.services import results, schedule
from experiments.services.apply import apply
from experiments.services.refresh import plan_look
from experiments.services.schedule import DueLook, due, due_day, take_due
from tests.experiments import small_data
from tests.experiments.looks import AS_OF, NOW, Mailbox, applied, look_of, run_out, taken
from tests.experiments.small_data import START, SmallData

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


def day(number: int, hour: int = 12) -> datetime:
    """A moment on a day since the start."""
    return datetime(START.year, START.month, START.day, hour, tzinfo=UTC) + timedelta(days=number)


def dues(now: datetime) -> list[DueLook]:
    return list(due(now))


# --- which day is due -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("lag_days", "today", "expected"),
    [
        (0, 6, None),  # the first week is not over
        (0, 7, 7),
        (0, 13, 7),
        (0, 14, 14),
        (2, 8, None),  # over, and its last two days are not complete
        (2, 9, 9),
        (2, 15, 9),
        (2, 16, 16),
        (0, 56, 56),  # two enrollment weeks and six to live: eight looks are planned
        (0, 700, 56),
        (2, 58, 58),
    ],
)
def test_a_look_is_due_each_week_once_its_days_are_complete(lag_days: int, today: int, expected: int | None) -> None:
    raw = small_data.definition()
    raw["source"]["lag_days"] = lag_days
    plan = definitions.parse(yaml.safe_dump(raw).encode(), "small.yaml", Path()).plan
    found = due_day(plan, START + timedelta(days=today))
    assert found == (None if expected is None else START + timedelta(days=expected))


def test_the_last_due_look_is_the_first_at_which_everything_is_mature(data: SmallData) -> None:
    data.write()
    plan = definitions.load(data.path).plan
    last = due_day(plan, date(2030, 1, 1))
    assert last is not None
    assert windows.mature_weeks(plan, plan.enrollment_weeks - 1, last) == plan.horizon_weeks
    assert windows.look_number(plan, last) == windows.planned_looks(plan)


def test_the_day_is_the_one_where_the_experiment_is(data: SmallData) -> None:
    data.definition["timezone"] = "Pacific/Auckland"
    applied(data)
    evening = datetime(2024, 1, 7, 12, tzinfo=UTC)  # one o'clock at night on the eighth in Auckland
    assert dues(evening) == [DueLook("small", START + WEEK)]
    assert dues(evening - 2 * HOUR) == []


# --- what is due ------------------------------------------------------------------------------------------------------
def test_only_the_newest_due_look_is_taken_and_then_nothing_is_due(key: str, box: Mailbox) -> None:
    assert dues(NOW) == [DueLook(key, AS_OF)]
    assert take_due(NOW) == (DueLook(key, AS_OF),)
    assert dues(NOW) == []  # it is in work
    box.deliver_all()
    assert Look.objects.get().state == "done"
    assert take_due(NOW + 10 * WEEK) == ()
    assert not box.waiting
    assert results.stored_scorecard(key).as_of == AS_OF


def test_a_week_later_the_next_one_is_due(key: str, data: SmallData, box: Mailbox) -> None:
    whole = data.facts
    for today in (30, 37):  # the data grow by a week
        data.facts = small_data.rows_of(whole, [at < START + timedelta(days=today) for at in whole["at"]])
        data.write()
        assert take_due(day(today)) == (DueLook(key, START + timedelta(days=today - 2)),)
        box.deliver_all()
        assert dues(day(today + 4)) == []
    assert [(look.number, look.state) for look in Look.objects.order_by("as_of")] == [(4, "done"), (5, "done")]


def test_a_look_of_a_later_day_stands_for_the_one_that_was_due(key: str, box: Mailbox) -> None:
    taken(box, key, START + timedelta(days=31))
    assert dues(day(33)) == []
    assert dues(day(35)) == [DueLook(key, START + 5 * WEEK)]


@pytest.mark.parametrize(
    ("state", "is_due"),
    [("running", True), ("enrollment_closed", True), ("decided", True), ("archived", False)],
)
def test_reading_goes_on_after_a_decision_and_ends_with_the_archive(key: str, state: str, is_due: bool) -> None:
    experiment = Experiment.objects.get()
    if state != "running":
        experiment.close_enrollment(by="owner@example.com", now=NOW)
    if state in ("decided", "archived"):
        experiment.decide("treatment", "stop", by="owner@example.com", now=NOW)
    if state == "archived":
        experiment.archive(by="owner@example.com", now=NOW)
    assert bool(dues(NOW)) is is_due


def test_an_amended_plan_needs_a_look_of_its_own(key: str, data: SmallData, box: Mailbox) -> None:
    taken(box, key)
    assert dues(NOW) == []
    data.metric(2, margin=0.1)
    data.write()
    apply([definitions.load(data.path)], NOW, amend="the margin was a typo")
    assert dues(NOW) == [DueLook(key, AS_OF)]


# --- what else the question does --------------------------------------------------------------------------------------
def test_drafts_whose_day_has_come_start_and_enrollments_that_are_over_close(data: SmallData) -> None:
    apply([definitions.load(data.write())], day(-1))
    states = []
    for moment in (day(-1), day(0), day(13), day(14)):
        take_due(moment)
        states.append(Experiment.objects.get().state)
    assert states == ["draft", "running", "running", "enrollment_closed"]
    by = AuditEntry.objects.order_by("pk").values_list("actor", "verb")
    assert ("holdfast", "started") in by
    assert ("holdfast", "enrollment closed") in by


def test_one_in_review_waits(data: SmallData) -> None:
    apply([definitions.load(data.write())], day(-1))
    Experiment.objects.get().submit(by="editor@example.com", now=day(-1))
    assert take_due(day(30)) == ()
    assert Experiment.objects.get().state == "in_review"


def test_a_draft_that_cannot_start_holds_up_nobody(data: SmallData, tmp_path: Path, box: Mailbox) -> None:
    path = data.write()
    apply([definitions.load(path)], day(-1))
    for metric in data.definition["metrics"]:
        metric.update({"role": "secondary", "margin": None})
    data.definition["experiment"] = "aimless"
    data.definition["metrics"] = [
        {key: value for key, value in metric.items() if value is not None} for metric in data.definition["metrics"]
    ]
    apply([definitions.load(data.write())], day(-1))
    assert take_due(day(30)) == (DueLook("small", START + 4 * WEEK),)
    assert Experiment.objects.get(key="aimless").state == "draft"


# --- nothing is lost, and nothing is done twice -----------------------------------------------------------------------
def test_a_lost_message_is_sent_again_and_the_look_is_there_once(key: str, box: Mailbox) -> None:
    take_due(NOW)
    box.waiting.clear()  # the broker has lost everything
    take_due(NOW)
    box.deliver()
    box.waiting.clear()  # and once more, in the middle
    take_due(NOW)
    box.deliver_all()
    assert Look.objects.get().state == "done"
    assert set(LookCell.objects.values_list("attempts", flat=True)) == {1}


def test_a_question_that_is_delivered_twice_changes_nothing(key: str, box: Mailbox) -> None:
    tasks.take_due_looks()
    tasks.take_due_looks()
    box.deliver_all()
    tasks.take_due_looks()
    assert Look.objects.get().state == "done"
    assert set(LookCell.objects.values_list("attempts", flat=True)) == {1}
    assert not box.waiting


def test_a_look_in_a_workers_hands_is_left_to_it(key: str, box: Mailbox) -> None:
    take_due(NOW)
    box.waiting.clear()
    cell = LookCell.objects.get(kind="check")
    assert LookCell.objects.claim(cell.pk, 30)
    schedule.wake_stranded()
    assert not box.waiting
    run_out()  # the worker is dead
    schedule.wake_stranded()
    assert box.waiting == [cell.pk]


def test_data_that_cannot_be_read_are_told_on_the_page_and_tried_again_later(
    key: str, data: SmallData, box: Mailbox
) -> None:
    facts = data.folder / "facts.parquet"
    shutil.move(facts, data.folder / "away.parquet")
    assert take_due(NOW) == (DueLook(key, AS_OF),)
    status = results.look_status(key)
    assert status.state == "failed"
    assert "facts.parquet" in status.error
    assert take_due(NOW + 0.9 * HOUR) == ()
    shutil.move(data.folder / "away.parquet", facts)
    assert take_due(NOW + 1.1 * HOUR) == (DueLook(key, AS_OF),)
    box.deliver_all()
    assert results.look_status(key).state == "done"
    assert take_due(NOW + 5 * HOUR) == ()


def test_a_look_that_failed_is_tried_again_later(key: str, box: Mailbox) -> None:
    look = look_of(plan_look(key, AS_OF, NOW))
    look.fail("the disk is full")
    Look.objects.update(finished_at=NOW)
    assert take_due(NOW + 0.9 * HOUR) == ()
    assert take_due(NOW + 1.1 * HOUR) == (DueLook(key, AS_OF),)
    box.waiting = [cell for cell in box.waiting if LookCell.objects.filter(pk=cell).exists()]
    box.deliver_all()
    assert Look.objects.get().state == "done"


def test_the_trouble_of_one_experiment_is_its_own(
    key: str, data: SmallData, tmp_path: Path, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SmallData(tmp_path / "other")
    other.definition["experiment"] = "another"
    applied(other)

    def broken(key: str, as_of: date, now: datetime, by: str) -> object:
        if key == "another":
            raise RuntimeError("out of luck\nand more")
        return plan_look(key, as_of, now, by=by)

    monkeypatch.setattr(schedule, "plan_look", broken)
    assert [look.key for look in take_due(NOW)] == ["another", "small"]
    box.deliver_all()
    assert results.look_status("small").state == "done"
    error = results.look_status("another").error
    assert error.startswith("something unexpected happened (RuntimeError: out of luck)")
    assert "and more" not in error


def test_looks_of_the_schedule_are_logged_as_its_own(key: str) -> None:
    take_due(NOW)
    assert AuditEntry.objects.get(verb="look asked for").actor == "schedule"
