"""The replay of an experiment: past looks from the newest one's triangle, and the two-week test beside them."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analysis.replay import replay as replayed
from experiments.models import CurrentTriangle, NaiveLaunchRow, ReplayStepRow, read_replay
from experiments.services import past
from experiments.services.replays import replay
from experiments.services.results import NoLookYet, stored_scorecard
from tests.experiments import small_data
from tests.experiments.looks import Mailbox, applied, assert_same, taken
from tests.experiments.small_data import SmallData

pytestmark = pytest.mark.django_db(transaction=True)


def printed(key: str, **options: Any) -> str:
    out = StringIO()
    call_command("replay", key, stdout=out, **options)
    return out.getvalue()


def harmed(data: SmallData) -> None:
    """Treated units double their lines in the first weeks, and stop after the fourth."""
    treated = {unit for unit, variant in zip(data.exposures["unit_id"], data.exposures["variant"], strict=True)
               if variant == "treatment"}  # fmt: skip
    first = dict(zip(data.exposures["unit_id"], data.exposures["exposed_at"], strict=True))
    lines = data.facts["lines"]
    for row, (unit, at) in enumerate(zip(data.facts["unit_id"], data.facts["at"], strict=True)):
        if unit in treated and at >= first[unit]:
            lines[row] *= 2 if (at - first[unit]).days < 21 else 0.2


def test_every_look_says_what_a_look_taken_then_says(key: str, box: Mailbox) -> None:
    newest = taken(box, key)
    found, as_of = replay(key)
    assert as_of == newest.as_of
    assert [step.look for step in found.steps] == list(range(1, newest.number + 1))
    for step in (found.steps[2], found.steps[5], found.steps[-1]):
        taken(box, key, step.as_of)
        (row,) = stored_scorecard(key, step.as_of).recommendations
        assert (row.action, row.reasons) == (step.action, step.reasons)


def test_a_replay_is_stored_with_its_look_and_equals_the_one_computed_from_its_triangle(key: str, box: Mailbox) -> None:
    look = taken(box, key)
    stored = read_replay(look)
    assert stored == replayed(CurrentTriangle.objects.get().load())
    assert replay(key) == (stored, look.as_of)


def test_a_look_of_an_earlier_version_has_its_replay_computed(key: str, box: Mailbox) -> None:
    taken(box, key)
    stored, _ = replay(key)
    ReplayStepRow.objects.all().delete()
    NaiveLaunchRow.objects.all().delete()
    assert replay(key)[0] == stored


@pytest.mark.parametrize("weeks", [1, 3, 6])
def test_a_past_look_is_rebuilt_exactly_as_one_that_is_taken_then(key: str, box: Mailbox, weeks: int) -> None:
    newest = taken(box, key)
    day = small_data.START + timedelta(days=7 * weeks)
    rebuilt, rebuilt_from = past.scorecard_as_of(key, day)
    assert rebuilt_from == newest.as_of
    taken(box, key, day)
    found, nothing = past.scorecard_as_of(key, day)
    assert nothing is None
    assert_same(rebuilt, found)


def test_days_off_the_weekly_grid_and_days_to_come_cannot_be_rebuilt(key: str, box: Mailbox) -> None:
    newest = taken(box, key)
    for day in (small_data.START + timedelta(days=10), newest.as_of + timedelta(days=7), small_data.START):
        with pytest.raises(NoLookYet, match=f"there is no look of .* as of {day} yet"):
            past.scorecard_as_of(key, day)


def test_the_history_has_what_looks_said_and_what_the_others_would_have(key: str, box: Mailbox) -> None:
    newest = taken(box, key)
    third = small_data.START + timedelta(days=21)
    taken(box, key, third)
    found = past.history(key)
    assert [look.number for look in found.looks] == list(range(1, newest.number + 1))
    assert [look.as_of for look in found.looks if look.taken] == [third, newest.as_of]
    steps = {step.as_of: step for step in replay(key)[0].steps}
    for look in found.looks:
        assert look.advice["treatment"].action == steps[look.as_of].action
        assert look.advice["treatment"].reasons == steps[look.as_of].reasons
    assert found.naive == replay(key)[0].naive


def test_a_look_inside_a_week_stands_for_its_week(key: str, box: Mailbox) -> None:
    inside = small_data.START + timedelta(days=7 * 7 + 3)
    look = taken(box, key, inside)
    assert look.number == 7
    found = past.history(key)
    assert [(one.number, one.as_of, one.taken) for one in found.looks[-2:]] == [
        (6, small_data.START + timedelta(days=42), False),
        (7, inside, True),
    ]


def test_without_a_look_there_is_no_history(key: str) -> None:
    assert past.history(key) == past.History()


def test_a_two_week_test_that_would_have_launched_is_told_with_what_became_of_it(data: SmallData, box: Mailbox) -> None:
    harmed(data)
    key = applied(data)
    taken(box, key)
    found, _ = replay(key)
    (naive,) = found.naive
    assert naive.launched
    assert naive.metric == "lines"
    lines = next(outcome for outcome in naive.outcomes if outcome.metric == "lines")
    assert (lines.start_week, lines.end_week, lines.loss) == (4, 6, True)
    assert lines.effect < 0
    text = printed(key)
    assert "A two-week test, read on 2024-01-" in text
    assert "would have LAUNCHED: lines +" in text
    assert "lines in weeks 4-5: -" in text
    assert "asks for a rollback at look" in text


def test_the_json_has_every_look_and_the_two_week_test(key: str, box: Mailbox) -> None:
    newest = taken(box, key)
    value = json.loads(printed(key, format="json"))
    assert (value["key"], value["as_of"]) == (key, newest.as_of.isoformat())
    assert [look["look"] for look in value["looks"]] == list(range(1, newest.number + 1))
    assert {"variant", "as_of", "launched", "metric", "lift", "p_value", "outcomes", "reason"} == set(
        value["two_week_test"][0]
    )


def test_without_a_look_there_is_a_sentence_that_says_what_to_do(key: str) -> None:
    with pytest.raises(CommandError, match="refresh small --wait"):
        call_command("replay", key)
    with pytest.raises(CommandError, match="did you mean `small`"):
        call_command("replay", "smal")
