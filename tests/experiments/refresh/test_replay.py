"""The replay of an experiment: past looks from the newest one's triangle, and the two-week test beside them."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from experiments.services.replays import replay
from experiments.services.results import stored_scorecard
from tests.experiments.looks import Mailbox, applied, taken
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
