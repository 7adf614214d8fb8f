"""A scorecard that is stored and read again is the same one, whatever its rows hold."""

from dataclasses import fields, replace
from datetime import date
from math import inf, nan
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from analysis import results
from analysis.results import Flip, Scorecard
from experiments.models import FlipRow, Look, read_scorecard, write_scorecard
from experiments.models.scorecard import TABLES
from tests.experiments import cards, survival_rows
from tests.experiments.stored import applied, new_look

pytestmark = pytest.mark.django_db

DAY = date(2017, 9, 11)
ESTIMATE = {
    "n_control": 11, "n_treatment": 12, "control_mean": 1.25, "treatment_mean": 1.5, "adjusted": True, "effect": 0.25,
    "effect_se": 0.1, "effect_low": 0.05, "effect_high": 0.45, "p_value": 1e-300, "lift": 0.2, "lift_low": 0.04,
    "lift_high": 0.36, "unadjusted_effect": 0.3, "unadjusted_se": 1 / 3, "state": "ok", "reason": "an odd one",
}  # fmt: skip

#: A row of every kind in which every field has a value, and no two fields of a row the same number.
FULL: dict[str, Any] = {
    "checks": results.CheckRow(check="srm", state="alarm", p_value=1e-9, detail="not as designed"),
    "effects": results.EffectRow(
        **ESTIMATE, metric="lines", role="guardrail", term="short", variant="treatment", window="early", start_week=0,
        end_week=4, readable_from=DAY, segment="country=DE", p_value_adjusted=0.013, sequential_look=2,
        sequential_looks=4, sequential_critical=2.9, sequential_effect_low=-0.04, sequential_effect_high=0.54,
        sequential_lift_low=-0.03, sequential_lift_high=0.43, sequential_significant=False, margin=0.02,
        verdict="undecided",
    ),
    "trajectory": results.TrajectoryRow(
        **ESTIMATE, metric="lines", variant="treatment", kind="calendar", week=7, readable_from=DAY, band_low=-0.1,
        band_high=0.5,
    ),
    "reversals": results.ReversalRow(
        metric="lines", variant="treatment", state="turned", readable_from=DAY, n_control=13, n_treatment=14,
        p_value=0.011, p_value_adjusted=0.022, late_loss_probability=0.97, early_effect=0.5, late_effect=-0.75,
        contrast=-1.25, contrast_se=0.15, contrast_p_value=1e-17, early_lift=0.03, late_lift=-0.06,
        lift_contrast=-0.095, lift_contrast_low=-0.12, lift_contrast_high=-0.07, lift_contrast_p_value=1e-16,
        late_start_week=8, late_end_week=12, first_seen=DAY, turned_start_week=7, turned_end_week=11,
        turned_lift=-0.021, turned_p_value=0.0013, turned_first_seen=date(2017, 9, 4), reason="better, then worse",
    ),
    "conflicts": results.ConflictRow(
        variant="treatment", short_metric="lines", long_metric="active", state="confirmed", readable_from=DAY,
        p_value=0.001, p_value_adjusted=0.003, first_seen=date(2017, 9, 4), reason="one wins, one loses",
    ),
    "heterogeneity": results.HeterogeneityRow(
        metric="lines", variant="treatment", window="late", segment="country", values=3, p_value=0.2,
        p_value_adjusted=0.4, reason="two countries were left out",
    ),
    "oec": results.OecRow(
        variant="treatment", value=-0.02, se=0.004, low=-0.028, high=-0.012,
        flips=(Flip("lines", 0.65), Flip("active", 0.35)), dominated_by=("second", "first"), reason="an odd one",
    ),
    "rollback": results.RollbackRow(
        metric="lines", variant="treatment", window="latest", below=-0.05, met=True, start_week=25, end_week=26,
        lift=-0.09, lift_high=-0.06, distance=-0.04, reason="an odd one",
    ),
    "survival": survival_rows.CURVE,
    "survival_comparisons": survival_rows.COMPARED,
    "recommendations": results.RecommendationRow(
        variant="treatment", action="roll_back", reasons=("it is worse: -9 %", 'so "they" say, {really}'),
        changes_on=DAY,
    ),
    "holdout": results.HoldoutRow(
        metric="lines", role="guardrail", kind="cumulative", start_week=1, end_week=9, readable_from=DAY,
        n_control=950, n_treatment=19_050, control_mean=15.5, treatment_mean=15.2, adjusted=True, effect=-0.3,
        effect_se=0.1, effect_low=-0.5, effect_high=-0.1, p_value=0.003, lift=-0.019, lift_low=-0.03, lift_high=-0.006,
        unadjusted_effect=-0.2, unadjusted_se=0.2, band_low=-0.06, band_high=0.03, p_value_adjusted=0.02,
        sequential_look=8, sequential_looks=25, sequential_critical=2.9, sequential_effect_low=-0.59,
        sequential_effect_high=-0.01, sequential_lift_low=-0.04, sequential_lift_high=-0.001,
        sequential_significant=True, margin=0.02, verdict="inferior", reason="an odd one",
    ),
    "contamination": results.ContaminationRow(
        member="ranker", variant="treatment", launched=True, held_out=950, met=19, weekly=(0.001, 0.02),
        reason="an odd one",
    ),
}  # fmt: skip

#: The rows that have as little as a row may have: a reason for the rest.
ESSENTIAL = {"metric": "lines", "variant": "treatment", "readable_from": DAY}
EMPTY: dict[str, Any] = {
    "checks": results.CheckRow(check="attrition", state="unknown"),
    "effects": results.EffectRow(
        **ESSENTIAL, role="primary", term=None, window="late", start_week=4, end_week=6, state="not_yet", reason="wait"
    ),
    "trajectory": results.TrajectoryRow(**ESSENTIAL, kind="weekly", week=0, state="not_yet", reason="wait"),
    "reversals": results.ReversalRow(**ESSENTIAL | {"metric": "active"}, state="immature", reason="wait"),
    "conflicts": results.ConflictRow(
        variant="treatment", short_metric="lines", long_metric="sales", state="immature", readable_from=DAY,
        reason="wait",
    ),
    "heterogeneity": results.HeterogeneityRow(
        metric="lines", variant="treatment", window="early", segment="country", values=0, reason="wait"
    ),
    "oec": results.OecRow(variant="other", reason="wait"),
    "rollback": results.RollbackRow(
        metric="lines", variant="treatment", window="late", below=-0.05, met=False, reason="wait"
    ),
    "survival": survival_rows.CURVE_START,
    "survival_comparisons": survival_rows.UNREAD,
    "recommendations": results.RecommendationRow(variant="other", action="keep_running", reasons=("wait",)),
    "holdout": results.HoldoutRow(
        metric="lines", role="primary", kind="weekly", start_week=9, end_week=10, readable_from=DAY, state="not_yet",
        reason="wait",
    ),
    "contamination": results.ContaminationRow(
        member=None, variant=None, launched=True, held_out=950, met=None, reason="wait"
    ),
}  # fmt: skip


def full() -> Scorecard:
    """A holdout's, so that no part is empty."""
    card = cards.honeymoon()
    plan = replace(card.plan, kind="holdout", fraction=0.05, planned_end_date=DAY)
    return replace(card, plan=plan, **{part: (FULL[part], EMPTY[part]) for part in TABLES})


def stored(card: Scorecard) -> Look:
    look = new_look(applied(card), card.as_of, card.look)
    write_scorecard(look, card)
    look.save()
    return Look.objects.get(pk=look.pk)


def test_the_full_example_leaves_no_field_empty() -> None:
    assert FULL.keys() == EMPTY.keys() == TABLES.keys()
    for row in FULL.values():
        assert all(getattr(row, field.name) not in (None, "", ()) for field in fields(row) if field.type != "bool"), row


@pytest.mark.parametrize("card", [full(), cards.honeymoon(), cards.placebo(), cards.not_yet(), cards.srm_alarm()])
def test_what_is_stored_is_read_again_as_it_was(card: Scorecard) -> None:
    assert read_scorecard(stored(card)) == card


def test_a_scorecard_takes_the_place_of_the_one_before() -> None:
    look = stored(full())
    other = replace(full(), oec=(), conflicts=(), effects=full().effects[:1])
    write_scorecard(look, other)
    assert read_scorecard(look) == other
    assert not FlipRow.objects.exists()


def test_the_scorecard_of_another_look_stays_as_it_is() -> None:
    look = stored(full())
    write_scorecard(new_look("honeymoon", DAY), cards.placebo())
    assert read_scorecard(look) == full()


def test_the_number_of_queries_does_not_depend_on_the_number_of_rows() -> None:
    counts = []
    for card in (full(), large()):
        look = stored(card)
        for work in (lambda look=look, card=card: write_scorecard(look, card), lambda look=look: read_scorecard(look)):
            with transaction.atomic(), CaptureQueriesContext(connection) as queries:
                work()
            counts.append(len(queries))
        look.delete()
    assert counts[:2] == counts[2:]
    assert counts[1] <= 21


def large() -> Scorecard:
    """Every kind of row thirty times."""
    card, treatments = full(), [f"treatment-{number}" for number in range(30)]
    named = {
        part: tuple(replace(row, variant=name) for row in getattr(card, part) for name in treatments)
        for part in TABLES
        if part not in ("checks", "oec", "recommendations", "holdout", "contamination")
    }
    alone = {
        part: tuple(replace(FULL[part], variant=name) for name in treatments) for part in ("oec", "recommendations")
    }
    weeks = tuple(replace(FULL["holdout"], end_week=10 + number) for number in range(30))
    members = tuple(replace(FULL["contamination"], variant=name) for name in treatments)
    return replace(card, **named, **alone, holdout=weeks, contamination=members)


@pytest.mark.parametrize("broken", [nan, inf, -inf])
@pytest.mark.parametrize(
    ("part", "field"),
    [("effects", "sequential_critical"), ("reversals", "turned_lift"), ("oec", "se"), ("rollback", "distance"),
     ("conflicts", "p_value"), ("heterogeneity", "p_value")],
)  # fmt: skip
def test_a_number_that_is_not_finite_is_not_stored(part: str, field: str, broken: float) -> None:
    card = full()
    broken_row = replace(FULL[part], **{field: broken})
    with pytest.raises(ValueError, match=rf"\.{field} is (nan|-?inf)"):
        stored(replace(card, **{part: (broken_row,)}))
