"""A launch that keeps a holdback is read on: at 30, 60 and 90 days, with its rollback criteria live."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from analysis import windows
from analysis.plan import Plan
from experiments import definitions
from experiments.holdback_table import foreseen
from experiments.models import Experiment, Look
from experiments.services import decisions, holdbacks, portfolio, schedule
from experiments.services.apply import apply
from experiments.services.holdbacks import Reading
from experiments.services.past import scorecard_as_of
from tests.experiments import small_data
from tests.experiments.commands import run
from tests.experiments.looks import Mailbox, definition, mailbox
from tests.experiments.small_data import START, SmallData
from tests.experiments.test_views import words
from tests.people import person, signed_in

pytestmark = pytest.mark.django_db(transaction=True)

#: Days since the start: the launch, the first day of harm, and the looks that have read 30 and 60 days since then.
LAUNCH, HARM, AT_30, AT_60 = 42, 82, 77, 105

#: With 16 weeks the last unit has lived all of them on day 125, and the look of day 126 is the last one.
HORIZON, LAST = 16, 126


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with mailbox(monkeypatch) as opened:
        yield opened


def moment(day: int) -> datetime:
    return datetime(START.year, START.month, START.day, 12, tzinfo=UTC) + timedelta(days=day)


def turning(folder: Path, key: str = "small") -> SmallData:
    """A treatment that wins by a third until 40 days after its launch, and from then on loses a half."""
    data = SmallData(folder)
    data.definition |= {"experiment": key, "horizon_weeks": HORIZON, "windows": {"early": [0, 2], "late": [12, 16]}}
    random = np.random.default_rng(20240107)
    first = -7 * (small_data.PRE_WEEKS + 1)
    unit, day = np.meshgrid(np.arange(small_data.UNITS), np.arange(first, LAST), indexing="ij")
    kept = random.random(unit.shape) < 0.7
    unit, day = unit[kept], day[kept]
    change = np.where(unit % 2 == 0, 1.0, np.where(day < 0, 1.0, np.where(day < HARM, 1.33, 0.5)))
    lines = random.poisson((3 + unit % 5) * change).astype(float)
    data.facts = {
        "unit_id": [f"user-{number:04d}" for number in unit],
        "at": [START + timedelta(days=int(number)) for number in day],
        "lines": lines,
        "sales": 2 * lines,
    }
    return data


def schedule_takes(data: SmallData, box: Mailbox, day: int) -> None:
    """The data have come as far as a day, and beat asks what is due."""
    whole = data.facts
    data.facts = small_data.rows_of(whole, [at < START + timedelta(days=day) for at in whole["at"]])
    data.write()
    data.facts = whole
    schedule.take_due(moment(day))
    box.deliver_all()
    assert Look.objects.filter(plan__experiment__key=key_of(data), as_of=on(day), state="done").exists()


def key_of(data: SmallData) -> str:
    return str(data.definition["experiment"])


def on(day: int) -> date:
    return START + timedelta(days=day)


def launched(data: SmallData, box: Mailbox) -> str:
    """Applied, read until week six, and launched with a holdback as is recommended."""
    data.write()
    apply([definitions.load(data.path)], moment(0))
    schedule_takes(data, box, LAUNCH)
    decide(key_of(data), "launch_with_holdback", LAUNCH)
    return key_of(data)


def decide(key: str, action: str, day: int) -> None:
    found = decisions.situation(key, "treatment")
    assert found.recommended == action
    decisions.decide(
        key, "treatment", action, reason="", look_id=found.look_id, revision=found.experiment.revision,  # type: ignore[arg-type]
        by=person("owner"), now=moment(day),
    )  # fmt: skip


def readings(key: str) -> list[Reading]:
    (found,) = holdbacks.holdbacks(key)
    assert (found.launched, found.read_until) == (on(LAUNCH), on(LAST))
    return list(found.readings)


def said(reading: Reading) -> tuple[object, ...]:
    return reading.due.as_of, reading.advice and reading.advice.action, reading.met


def test_a_launch_that_turns_harmful_is_rolled_back_at_the_60_day_reading_and_not_at_30(
    tmp_path: Path, box: Mailbox
) -> None:
    data = turning(tmp_path)
    key = launched(data, box)
    assert [one.why for one in readings(key)][:2] == [f"readable from {on(AT_30)}", f"readable from {on(AT_60)}"]

    schedule_takes(data, box, AT_30)
    first, second, _ = readings(key)
    assert said(first) == (on(AT_30), "launch_with_holdback", False)
    assert second.why == f"readable from {on(AT_60)}"
    assert not portfolio.portfolio(moment(AT_30))[0].met

    schedule_takes(data, box, AT_60)
    first, second, third = readings(key)
    assert said(first) == (on(AT_30), "launch_with_holdback", False)
    assert said(second) == (on(AT_60), "roll_back", True)
    card, rebuilt = scorecard_as_of(key, on(AT_60))
    assert rebuilt is None
    assert second.criteria == card.rollback
    assert {(row.metric, row.window) for row in second.effects} == {("lines", "early"), ("active", "late")}
    assert third.why == (
        f"cannot be read: units are followed for 16 weeks since their exposure, until {on(LAST)}; this needs "
        "horizon_weeks of at least 17 (an amendment)"
    )
    assert "lines" in portfolio.portfolio(moment(AT_60))[0].met


def test_the_readings_are_shown_on_the_page_in_the_terminal_and_in_the_portfolio(tmp_path: Path, box: Mailbox) -> None:
    data = turning(tmp_path)
    key = launched(data, box)
    schedule_takes(data, box, AT_60)
    client = signed_in("viewer")
    page = words(client.get(f"/experiments/{key}/"))
    assert "After the launch treatment, with a holdback since 2024-02-12" in page
    assert f"30 days look of {on(AT_30)} Launch with holdback" in page
    assert f"60 days look of {on(AT_60)} Roll back" in page
    assert "this needs horizon_weeks of at least 17" in page
    assert "After the launch" not in words(client.get(f"/experiments/{key}/?as_of={on(LAUNCH)}"))
    table = run("scorecard", key).out
    assert "treatment was launched with a holdback on 2024-02-12." in " ".join(table.split())
    assert f"After 60 days, as of {on(AT_60)}, recommended: ROLL BACK" in table
    assert "  - roll back if lines below -5.0 % in latest: MET" in table
    assert "After 30 days" not in run("scorecard", key, "--format", "csv").out
    assert "Harm after the launch" in words(client.get("/"))


def test_a_reading_that_was_missed_is_rebuilt_from_the_next_look(tmp_path: Path, box: Mailbox) -> None:
    data = turning(tmp_path)
    key = launched(data, box)
    schedule_takes(data, box, LAST - 7)
    assert not Look.objects.filter(as_of__in=[on(AT_30), on(AT_60)]).exists()
    first, second, _ = readings(key)
    assert said(first) == (on(AT_30), "launch_with_holdback", False)
    assert said(second) == (on(AT_60), "roll_back", True)


def test_after_a_rollback_and_in_the_archive_nothing_is_read_any_more(tmp_path: Path, box: Mailbox) -> None:
    data = turning(tmp_path)
    key = launched(data, box)
    schedule_takes(data, box, AT_30 + 21)
    decide(key, "roll_back", AT_30 + 22)
    first, second, third = readings(key)
    assert said(first)[1] == "launch_with_holdback"
    assert second.why == third.why == f"not read: roll back was decided on {on(AT_30 + 22)}"


def test_without_a_launch_with_a_holdback_there_is_nothing_to_show(tmp_path: Path) -> None:
    data = turning(tmp_path)
    data.write()
    apply([definitions.load(data.path)], moment(0))
    assert holdbacks.holdbacks("small") == ()
    Experiment.objects.get().decide("treatment", "stop", by="x", now=moment(1))
    assert holdbacks.holdbacks("small") == ()


# --- How far the horizon reaches --------------------------------------------------------------------------------------
def plan_of(tmp_path: Path, horizon: int, lag_days: int = 0, clock: str = "unit") -> Plan:
    plan = definition(tmp_path, horizon_weeks=horizon).plan
    return replace(plan, lag_days=lag_days, clock=clock)  # type: ignore[arg-type]


@pytest.mark.parametrize("lag_days", [0, 2, 9])
@pytest.mark.parametrize("clock", ["unit", "calendar"])
@pytest.mark.parametrize("day", [0, 20, LAUNCH, 61])
def test_a_reading_has_read_all_its_days_and_names_the_smallest_horizon_that_reaches_it(
    tmp_path: Path, lag_days: int, clock: str, day: int
) -> None:
    """By search: the smallest horizon whose last planned look is not before the reading, tried one by one."""
    plan = plan_of(tmp_path, 6, lag_days, clock)
    for due in holdbacks.ahead(plan, on(day)):
        assert windows.read_until(plan, due.as_of) >= on(day) + timedelta(days=due.days)
        assert windows.read_until(plan, due.as_of - timedelta(days=7)) < on(day) + timedelta(days=due.days)
        reaching = next(
            weeks for weeks in range(6, 60)
            if schedule.due_day(replace(plan, horizon_weeks=weeks), due.as_of) == due.as_of
        )  # fmt: skip
        assert (due.needs or 6) == reaching


@pytest.mark.parametrize(("horizon", "expected"), [
    (16, ("30 days after it, on 2024-03-18; 60 days after it, on 2024-04-15, with the rollback criteria live",
          "could not be read after 90 days: units are followed for 16 weeks", "horizon_weeks of at least 17")),
    (17, ("90 days after it, on 2024-05-13",)),
    (6, ("could not be read after 30, 60, 90 days", "horizon_weeks of at least 9, 13, 17 would be needed")),
])  # fmt: skip
def test_what_the_horizon_allows_is_said_before_the_decision(
    tmp_path: Path, horizon: int, expected: tuple[str, ...]
) -> None:
    plan = plan_of(tmp_path, horizon)
    text = " ".join(foreseen(plan, holdbacks.ahead(plan, on(LAUNCH))))
    for words_ in expected:
        assert words_ in text


def test_the_decision_page_says_it(tmp_path: Path, box: Mailbox) -> None:
    data = turning(tmp_path)
    data.write()
    apply([definitions.load(data.path)], moment(0))
    schedule_takes(data, box, LAUNCH)
    page = words(signed_in("owner").get("/experiments/small/decide/treatment/"))
    assert "could not be read after 30, 60, 90 days" in page  # today is long after the data of this test
