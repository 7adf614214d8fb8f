"""Looks of an experiment with segments, times to event, leavers and covariates, stored and rebuilt."""

from datetime import date, timedelta
from typing import Any

import pytest

from experiments.models import CurrentTriangle
from experiments.services import results
from experiments.services.refresh import plan_look
from tests.experiments import small_data
from tests.experiments.looks import AS_OF, NOW, Mailbox, assert_same, fresh, look_of, taken
from tests.experiments.small_data import SmallData

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS: list[dict[str, Any]] = [
    {
        "key": "pause", "kind": "event", "event": {"type": "inactivity", "column": "lines", "gap_weeks": 1},
        "better": "lower", "role": "guardrail", "margin": 0.02,
    },
    {
        "key": "sale", "kind": "event", "event": {"type": "occurrence", "column": "sales"}, "better": "higher",
        "role": "secondary",
    },
]  # fmt: skip


@pytest.fixture
def data(data: SmallData) -> SmallData:
    """Units that stop one after the other, of two countries, some of whom close their accounts."""
    units = [int(unit[-4:]) for unit in data.exposures["unit_id"]]
    last = {unit: small_data.START + timedelta(days=7 + unit % 60) for unit in units}
    rows = zip(data.facts["unit_id"], data.facts["at"], strict=True)
    data.facts = small_data.rows_of(data.facts, [day <= last[int(unit[-4:])] for unit, day in rows])
    data.exposures |= {
        "country": [("de", "fr", None)[unit % 3] for unit in units],
        "age": [float(20 + unit % 40) for unit in units],
        "left_at": [last[unit] if unit % 5 == 0 else None for unit in units],
    }
    data.definition["segments"] = ["country"]
    data.definition["source"]["columns"] = {"left_at": "left_at"}
    data.definition["metrics"] += [dict(metric) for metric in EVENTS]
    return data


def test_everything_is_stored_and_read_again(key: str, data: SmallData, box: Mailbox) -> None:
    taken(box, key)
    card = results.stored_scorecard(key)
    assert_same(card, fresh(data, AS_OF))
    assert {row.segment for row in card.effects} == {None, "country=de", "country=fr", "country=(none)"}
    assert [row.metric for row in card.survival_comparisons] == ["pause", "sale"]
    assert all(row.rmst_difference is not None for row in card.survival_comparisons)
    assert {row.segment for row in card.heterogeneity} == {"country"}
    attrition = next(row for row in card.checks if row.check == "attrition")
    assert attrition.state == "ok"
    assert "have left" in attrition.detail


@pytest.mark.parametrize("weeks", [1, 3, 5, 7])
def test_an_earlier_week_is_rebuilt_with_all_of_it(key: str, data: SmallData, box: Mailbox, weeks: int) -> None:
    taken(box, key)
    earlier = small_data.START + timedelta(days=7 * weeks)
    look = taken(box, key, earlier)
    assert not look.cells.filter(kind="check").exists(), "it was rebuilt"
    assert_same(results.stored_scorecard(key, earlier), fresh(data, earlier), relative=1e-9)


def test_the_stored_triangle_is_the_one_that_was_read(key: str, data: SmallData, box: Mailbox) -> None:
    taken(box, key)
    found = CurrentTriangle.objects.get().load()
    assert found.left
    for variant in ("control", "treatment"):
        for event in found.plan.events:
            counts = [found.event_counts(event, variant, cohort) for cohort in range(2)]
            assert sum(each.n for each in counts) == found.units(variant)
        assert found.left_units(variant) == leavers(data, variant)


def leavers(data: SmallData, variant: str) -> int:
    """Units of a variant that have left by the look, without those that were seen in both."""
    units = data.exposures["unit_id"]
    rows = zip(units, data.exposures["variant"], data.exposures["left_at"], strict=True)
    return sum(
        name == variant and left is not None and left < AS_OF and units.count(unit) == 1 for unit, name, left in rows
    )  # fmt: skip


class TestCovariates:
    """A metric that adjusts for a covariate is read from rows, which are not kept: earlier looks read the data."""

    @pytest.fixture
    def data(self, data: SmallData) -> SmallData:
        data.definition["metrics"][-1]["adjust"] = ["age"]
        return data

    def test_an_earlier_look_reads_the_data_again_and_has_the_adjusted_estimate(
        self, key: str, data: SmallData, box: Mailbox
    ) -> None:
        taken(box, key)
        earlier: date = small_data.START + timedelta(days=49)
        planned = plan_look(key, earlier, NOW)
        assert look_of(planned).cells.filter(kind="check").exists()
        box.deliver_all()
        card = results.stored_scorecard(key, earlier)
        assert_same(card, fresh(data, earlier))
        assert card.survival_comparisons[1].adjusted_hazard is not None
