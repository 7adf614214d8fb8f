"""Every rule that the database keeps is broken here once, and a rule nobody tried to break fails the last test."""

from collections.abc import Callable
from dataclasses import fields
from datetime import date
from math import inf, nan
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import IntegrityError, models, transaction

from analysis.replay import Replay
from analysis.results import Scorecard
from experiments.models import (
    Amendment,
    CheckRow,
    ConflictRow,
    ContaminationRow,
    CurrentTriangle,
    Decision,
    DepartureRow,
    Draft,
    EffectRow,
    EventCell,
    EventName,
    Experiment,
    FactCountRow,
    FlipRow,
    HeterogeneityRow,
    HoldoutRow,
    Look,
    LookCell,
    LookExclusion,
    LookUnits,
    Metric,
    MetricUse,
    MomentsCell,
    OecRow,
    Plan,
    RecommendationRow,
    ReversalRow,
    RollbackRow,
    Source,
    SurvivalComparisonRow,
    SurvivalRow,
    TallyExclusion,
    TallyRow,
    TrajectoryRow,
    Variant,
    write_replay,
)
from experiments.models.scorecard import TABLES
from experiments.services import tokens
from experiments.services.apply import apply
from tests.experiments import broken_lives, broken_traffic, replay_rows, source_rows, survival_rows
from tests.experiments.looks import NOW, definition
from tests.people import person

DAY = date(2024, 2, 26)
SHA = "0123456789abcdef" * 4
COMPARISON = {
    "n_control": 10, "n_treatment": 10, "adjusted": False, "effect": 0.5, "effect_se": 0.1, "effect_low": 0.3,
    "effect_high": 0.7, "p_value": 0.01, "lift": 0.05, "lift_low": 0.03, "lift_high": 0.07, "state": "ok",
    "position": 0,
}  # fmt: skip
CLAIM = {
    "p_value_adjusted": 0.02, "sequential_look": 2, "sequential_looks": 2, "sequential_critical": 2.2,
    "sequential_effect_low": 0.28, "sequential_effect_high": 0.72, "sequential_lift_low": 0.028,
    "sequential_lift_high": 0.072, "sequential_significant": True,
}  # fmt: skip
REVERSAL = {
    "n_control": 10, "n_treatment": 10, "state": "none", "p_value": 0.5, "p_value_adjusted": 0.5,
    "late_loss_probability": 0.5, "early_lift": 0.1, "late_lift": 0.1, "contrast_p_value": 0.5,
    "lift_contrast_low": -0.1, "lift_contrast_high": 0.1, "lift_contrast_p_value": 0.5, "position": 0,
}  # fmt: skip
TURNED = {
    "turned_start_week": 4, "turned_end_week": 8, "turned_lift": -0.1, "turned_p_value": 0.01,
    "turned_first_seen": DAY,
}  # fmt: skip

#: Column values that a rule refuses, tried with an UPDATE of a valid row; several where a rule has several ends.
REFUSED: list[tuple[str, type[models.Model], dict[str, Any]]] = [
    ("source_names_its_data", Source, {"kind": ""}),
    ("source_names_its_data", Source, {"exposures": ""}),
    ("source_names_its_data", Source, {"facts": ""}),
    ("source_key_is_not_empty", Source, {"key": ""}),
    ("event_name_has_a_type", EventName, {"type": "text"}),
    ("experiment_kind_is_known", Experiment, {"kind": "test"}),
    ("experiment_key_is_well_formed", Experiment, {"key": "Upper Case"}),
    ("experiment_key_is_well_formed", Experiment, {"key": ""}),
    ("experiment_state_fits_its_dates", Experiment, {"state": "paused"}),
    ("experiment_state_fits_its_dates", Experiment, {"state": "draft"}),
    ("experiment_state_fits_its_dates", Experiment, {"started_at": None}),
    ("experiment_state_fits_its_dates", Experiment, {"plan": None}),
    ("variant_weight_is_positive", Variant, {"weight": 0}),
    ("variant_weight_is_positive", Variant, {"weight": -1}),
    ("variant_weight_is_positive", Variant, {"weight": nan}),
    ("variant_weight_is_positive", Variant, {"weight": inf}),
    ("metric_versions_begin_at_one", Metric, {"version": 0}),
    ("metric_better_is_known", Metric, {"better": "sideways"}),
    ("metric_cap_is_positive", Metric, {"cap": 0}),
    ("metric_cap_is_positive", Metric, {"cap": nan}),
    ("metric_kind_has_its_columns", Metric, {"kind": "percentile"}),
    ("metric_kind_has_its_columns", Metric, {"kind": "mean", "column": ""}),
    ("metric_kind_has_its_columns", Metric, {"kind": "ratio", "numerator": "a", "denominator": ""}),
    ("metric_kind_has_its_columns", Metric, {"kind": "event", "event_type": "", "event_column": "a"}),
    ("metric_use_role_is_known", MetricUse, {"role": "hero", "margin": None}),
    ("metric_use_term_is_known", MetricUse, {"term": "medium"}),
    ("metric_use_margin_belongs_to_guardrails", MetricUse, {"role": "guardrail", "margin": None}),
    ("metric_use_margin_belongs_to_guardrails", MetricUse, {"role": "guardrail", "margin": 0}),
    ("metric_use_margin_belongs_to_guardrails", MetricUse, {"role": "guardrail", "margin": nan}),
    ("metric_use_margin_belongs_to_guardrails", MetricUse, {"role": "primary", "margin": 0.02}),
    ("metric_use_weight_is_not_negative", MetricUse, {"weight": -0.1}),
    ("metric_use_weight_is_not_negative", MetricUse, {"weight": nan}),
    ("plan_digest_is_sha256", Plan, {"digest": "short"}),
    ("plan_versions_begin_at_one", Plan, {"version": 0}),
    ("amendment_has_a_reason", Amendment, {"reason": ""}),
    ("amendment_changes_the_plan", Amendment, {"before": models.F("after")}),
    ("look_is_finished_when_it_ends", Look, {"state": "paused"}),
    ("look_is_finished_when_it_ends", Look, {"finished_at": None}),
    ("look_is_finished_when_it_ends", Look, {"state": "planned"}),
    ("look_fails_with_a_reason", Look, {"state": "failed", "error": ""}),
    ("look_fails_with_a_reason", Look, {"error": "but it is done"}),
    ("look_facts_are_in_order", Look, {"first_fact": date(2024, 2, 2), "last_fact": date(2024, 2, 1)}),
    ("look_facts_are_in_order", Look, {"first_fact": date(2024, 2, 2), "last_fact": None}),
    ("look_cell_kind_is_known", LookCell, {"kind": "think"}),
    ("look_cell_lease_fits_its_state", LookCell, {"state": "leased"}),
    ("look_cell_lease_fits_its_state", LookCell, {"state": "leased", "token": uuid4()}),
    ("look_cell_lease_fits_its_state", LookCell, {"state": "asleep"}),
    ("look_cell_lease_fits_its_state", LookCell, {"token": uuid4()}),
    ("look_cell_lease_fits_its_state", LookCell, {"lease_until": NOW}),
    ("look_cell_only_moments_have_partitions", LookCell, {"kind": "check", "partition": 1}),
    ("look_cell_result_is_of_done_work", LookCell, {"result": b"early"}),
    ("look_units_are_not_negative", LookUnits, {"n": -1}),
    ("look_exclusion_is_known", LookExclusion, {"reason": "a bad mood"}),
    ("moments_cell_counts_units", MomentsCell, {"n": -1}),
    ("tally_is_not_negative", TallyRow, {"rows": -1}),
    ("tally_is_not_negative", TallyRow, {"nulls": -1}),
    ("tally_exclusion_is_known", TallyExclusion, {"reason": "a bad mood"}),
    ("fact_count_is_not_negative", FactCountRow, {"before_pre_period": -1}),
    ("fact_count_is_not_negative", FactCountRow, {"rows": 1, "before_pre_period": 2}),
    ("effect_is_finite", EffectRow, {"lift": nan}),
    ("effect_is_finite", EffectRow, {"effect_se": inf}),
    ("effect_p_is_a_share", EffectRow, {"p_value": 1.5}),
    ("effect_p_is_a_share", EffectRow, {"p_value": nan}),
    ("effect_effect_is_ordered", EffectRow, {"effect_low": 1.0, "effect_high": 0.5}),
    ("effect_effect_is_ordered", EffectRow, {"effect_low": 1.0, "effect_high": None}),
    ("effect_lift_is_ordered", EffectRow, {"lift_low": 1.0, "lift_high": 0.5}),
    ("effect_counts_units", EffectRow, {"n_control": -1}),
    ("effect_state_is_known", EffectRow, {"state": "fine"}),
    ("effect_is_a_number_or_a_reason", EffectRow, {"effect": None}),
    ("effect_is_a_number_or_a_reason", EffectRow, {"effect": None, "reason": ""}),
    ("effect_window_has_weeks", EffectRow, {"start_week": 4, "end_week": 4}),
    ("effect_adjusted_p_is_a_share", EffectRow, {"p_value_adjusted": -0.1}),
    ("effect_verdict_is_known", EffectRow, {"verdict": "splendid"}),
    *(
        ("effect_is_a_number_or_a_reason", EffectRow, {low: None, high: None})
        for low, high in (
            ("effect_low", "effect_high"),
            ("lift_low", "lift_high"),
            ("effect_se", "unadjusted_se"),
            ("p_value", "margin"),
            ("sequential_effect_low", "sequential_effect_high"),
        )
    ),
    *(
        ("effect_claim_is_whole", EffectRow, {name: None, "reason": "x"})
        for name in ("sequential_look", "sequential_looks", "sequential_significant", "p_value_adjusted")
    ),
    ("effect_look_is_planned", EffectRow, {"sequential_look": 3}),
    ("effect_look_is_planned", EffectRow, {"sequential_look": 0}),
    ("effect_sequential_is_finite", EffectRow, {"sequential_critical": inf}),
    ("effect_sequential_is_finite", EffectRow, {"sequential_critical": 0}),
    ("effect_sequential_is_finite", EffectRow, {"sequential_lift_high": nan}),
    ("effect_sequential_effect_is_ordered", EffectRow, {"sequential_effect_low": 0.8}),
    ("effect_sequential_effect_is_ordered", EffectRow, {"sequential_effect_high": None}),
    ("effect_sequential_lift_is_ordered", EffectRow, {"sequential_lift_low": 0.8}),
    ("trajectory_is_finite", TrajectoryRow, {"lift_high": inf, "lift_low": 0.0}),
    ("trajectory_p_is_a_share", TrajectoryRow, {"p_value": -1}),
    ("trajectory_effect_is_ordered", TrajectoryRow, {"effect_low": 1.0, "effect_high": 0.5}),
    ("trajectory_lift_is_ordered", TrajectoryRow, {"lift_low": None, "reason": "x"}),
    ("trajectory_counts_units", TrajectoryRow, {"n_treatment": -1}),
    ("trajectory_state_is_known", TrajectoryRow, {"state": "fine"}),
    ("trajectory_is_a_number_or_a_reason", TrajectoryRow, {"effect": None}),
    ("holdout_kind_is_known", HoldoutRow, {"kind": "daily"}),
    ("holdout_span_has_weeks", HoldoutRow, {"end_week": 1}),
    ("holdout_band_is_ordered", HoldoutRow, {"band_low": 2.0, "band_high": 1.0}),
    ("holdout_band_is_ordered", HoldoutRow, {"band_low": nan, "band_high": nan}),
    ("contamination_names_a_treatment", ContaminationRow, {"variant": None}),
    ("contamination_names_a_treatment", ContaminationRow, {"member": None}),
    ("contamination_is_a_part", ContaminationRow, {"met": 11}),
    ("contamination_is_a_part", ContaminationRow, {"met": -1}),
    ("contamination_is_a_part", ContaminationRow, {"met": None, "held_out": -1, "reason": "why"}),
    ("contamination_is_a_number_or_a_reason", ContaminationRow, {"met": None}),
    ("contamination_is_a_number_or_a_reason", ContaminationRow, {"met": None, "reason": ""}),
    *(
        (rule.replace("effect_", "holdout_", 1), HoldoutRow, values)
        for rule, values in [
            ("effect_is_finite", {"lift": nan}),
            ("effect_p_is_a_share", {"p_value": -1}),
            ("effect_effect_is_ordered", {"effect_low": 1.0, "effect_high": 0.5}),
            ("effect_lift_is_ordered", {"lift_low": None, "reason": "x"}),
            ("effect_counts_units", {"n_treatment": -1}),
            ("effect_state_is_known", {"state": "fine"}),
            ("effect_is_a_number_or_a_reason", {"effect": None}),
            ("effect_adjusted_p_is_a_share", {"p_value_adjusted": 1.5}),
            ("effect_verdict_is_known", {"verdict": "nice"}),
            ("effect_claim_is_whole", {"sequential_look": None}),
            ("effect_look_is_planned", {"sequential_look": 3}),
            ("effect_sequential_is_finite", {"sequential_critical": 0.0}),
            ("effect_sequential_effect_is_ordered", {"sequential_effect_low": 0.8}),
            ("effect_sequential_lift_is_ordered", {"sequential_lift_low": 0.08}),
        ]
    ),
    ("trajectory_kind_is_known", TrajectoryRow, {"kind": "daily"}),
    ("trajectory_band_is_ordered", TrajectoryRow, {"band_low": 2.0, "band_high": 1.0}),
    ("trajectory_band_is_ordered", TrajectoryRow, {"band_low": nan, "band_high": nan}),
    ("reversal_state_is_known", ReversalRow, {"state": "maybe"}),
    ("reversal_p_is_a_share", ReversalRow, {"late_loss_probability": 1.1}),
    ("reversal_is_finite", ReversalRow, {"contrast": nan}),
    ("reversal_contrast_is_ordered", ReversalRow, {"lift_contrast_low": 1.0, "lift_contrast_high": 0.0}),
    ("reversal_p_is_a_share", ReversalRow, {**TURNED, "turned_p_value": 1.1}),
    ("reversal_is_finite", ReversalRow, {**TURNED, "turned_lift": nan}),
    ("reversal_counts_units", ReversalRow, {"n_treatment": -1}),
    ("reversal_late_weeks_are_in_order", ReversalRow, {"late_start_week": 4, "late_end_week": 4}),
    ("reversal_late_weeks_are_in_order", ReversalRow, {"late_start_week": 4}),
    ("reversal_turned_is_whole", ReversalRow, {**TURNED, "turned_end_week": 4}),
    *(("reversal_turned_is_whole", ReversalRow, {**TURNED, name: None}) for name in TURNED),
    ("reversal_is_a_number_or_a_reason", ReversalRow, {"p_value": None}),
    ("reversal_is_a_number_or_a_reason", ReversalRow, {"late_loss_probability": None, "reason": ""}),
    ("reversal_is_a_number_or_a_reason", ReversalRow, {"lift_contrast_low": None, "lift_contrast_high": None}),
    ("conflict_is_of_two_metrics", ConflictRow, {"short_metric": models.F("long_metric")}),
    ("conflict_state_is_known", ConflictRow, {"state": "warning"}),
    ("conflict_p_is_a_share", ConflictRow, {"p_value": -0.1}),
    ("conflict_p_is_a_share", ConflictRow, {"p_value_adjusted": nan}),
    ("conflict_is_a_number_or_a_reason", ConflictRow, {"p_value": None}),
    ("conflict_is_a_number_or_a_reason", ConflictRow, {"p_value_adjusted": None, "reason": ""}),
    ("heterogeneity_p_is_a_share", HeterogeneityRow, {"p_value": 1.1}),
    ("heterogeneity_p_is_a_share", HeterogeneityRow, {"p_value_adjusted": 1.1}),
    ("heterogeneity_is_a_number_or_a_reason", HeterogeneityRow, {"p_value": None}),
    ("heterogeneity_is_a_number_or_a_reason", HeterogeneityRow, {"p_value_adjusted": None, "reason": ""}),
    ("oec_is_finite", OecRow, {"value": nan}),
    ("oec_is_finite", OecRow, {"se": inf}),
    ("oec_is_ordered", OecRow, {"low": 2.0}),
    ("oec_is_ordered", OecRow, {"high": None}),
    ("oec_is_a_number_or_a_reason", OecRow, {"value": None}),
    ("oec_is_a_number_or_a_reason", OecRow, {"se": None, "low": None, "high": None, "reason": ""}),
    ("flip_weight_is_positive", FlipRow, {"weight": 0}),
    ("flip_weight_is_positive", FlipRow, {"weight": inf}),
    ("rollback_is_finite", RollbackRow, {"below": nan}),
    ("rollback_is_finite", RollbackRow, {"distance": inf}),
    ("rollback_weeks_are_in_order", RollbackRow, {"start_week": 6}),
    ("rollback_weeks_are_in_order", RollbackRow, {"end_week": None, "reason": "x"}),
    ("rollback_is_met_below_only", RollbackRow, {"met": True}),
    ("rollback_is_met_below_only", RollbackRow, {"met": True, "lift_high": None, "reason": "x"}),
    ("rollback_is_a_number_or_a_reason", RollbackRow, {"lift": None}),
    ("rollback_is_a_number_or_a_reason", RollbackRow, {"distance": None, "reason": ""}),
    ("rollback_is_a_number_or_a_reason", RollbackRow, {"start_week": None, "end_week": None}),
    ("recommendation_action_is_known", RecommendationRow, {"action": "celebrate"}),
    ("recommendation_has_reasons", RecommendationRow, {"reasons": []}),
    ("recommendation_has_reasons", RecommendationRow, {"reasons": ["a reason", ""]}),
    ("check_state_is_known", CheckRow, {"state": "perhaps"}),
    ("check_p_is_a_share", CheckRow, {"p_value": 2.0}),
    *survival_rows.REFUSED,
    *broken_lives.REFUSED,
    *replay_rows.REFUSED,
    *source_rows.REFUSED,
]

#: Rules of uniqueness, tried with a copy of a valid row that differs in these columns only.
TWICE: list[tuple[str, type[models.Model], dict[str, Any]]] = [
    ("event_name_is_unique", EventName, {}),
    ("metric_version_is_unique", Metric, {"column": "other"}),
    ("metric_is_used_once", MetricUse, {"position": 99}),
    ("metric_use_position_is_unique", MetricUse, {"metric_id": 0}),
    ("plan_version_is_unique", Plan, {"digest": SHA}),
    ("plan_digest_is_unique", Plan, {"version": 99}),
    ("variant_key_is_unique", Variant, {"position": 99, "control": False}),
    ("variant_position_is_unique", Variant, {"key": "other", "control": False}),
    ("experiment_has_one_control", Variant, {"key": "other", "position": 99}),
    ("look_is_unique", Look, {"number": 99}),
    ("look_cell_is_unique", LookCell, {}),
    ("look_units_are_unique", LookUnits, {"n": 99}),
    ("look_exclusion_is_unique", LookExclusion, {"n": 99}),
    ("moments_cell_is_unique", MomentsCell, {"n": 99}),
    ("tally_week_is_unique", TallyRow, {"rows": 99}),
    ("tally_exclusion_is_unique", TallyExclusion, {"units": 99}),
    ("fact_count_is_unique", FactCountRow, {"rows": 99}),
    ("effect_is_unique", EffectRow, {"position": 99}),
    ("trajectory_week_is_unique", TrajectoryRow, {"position": 99}),
    ("holdout_week_is_unique", HoldoutRow, {"position": 99}),
    ("contamination_is_unique", ContaminationRow, {"position": 99}),
    ("reversal_is_unique", ReversalRow, {"position": 99}),
    ("conflict_is_unique", ConflictRow, {"position": 99}),
    ("heterogeneity_is_unique", HeterogeneityRow, {"position": 99}),
    ("oec_is_unique", OecRow, {"position": 99}),
    ("flip_is_unique", FlipRow, {"position": 99}),
    ("rollback_is_unique", RollbackRow, {"position": 99}),
    ("recommendation_is_unique", RecommendationRow, {"position": 99}),
    ("check_is_unique", CheckRow, {"position": 99}),
    *survival_rows.TWICE,
    *broken_lives.TWICE,
    *replay_rows.TWICE,
    *source_rows.TWICE,
]

pytestmark = pytest.mark.django_db


@pytest.fixture
def everything(tmp_path: Path) -> Experiment:
    """A started experiment and one valid row in every table."""
    apply([definition(tmp_path)], NOW)
    experiment = Experiment.objects.get()
    plan = experiment.current_plan
    after = Plan(experiment=experiment, version=2, body=plan.body, digest=SHA)
    after.save()
    Amendment.objects.create(experiment=experiment, before=plan, after=after, reason="a typo", amended_at=NOW)
    look = Look.objects.create(
        plan=plan, as_of=DAY, number=8, planned_looks=8, fingerprint="f", state="done", planned_at=NOW, finished_at=NOW
    )
    LookCell.objects.create(look=look, kind="moments")
    LookUnits.objects.create(look=look, variant="control", n=10)
    LookExclusion.objects.create(look=look, reason="nulls", n=0)
    Metric.objects.create(key="unused", version=1, kind="mean", better="higher", column="unused")
    results(look)
    head = CurrentTriangle.objects.create(plan=plan, look=look, as_of=DAY, fingerprint="f")
    MomentsCell.objects.create(
        triangle=head, variant="control", cohort=0, n=1, columns=1, shift=b"0" * 8, sums=b"0" * 8, products=b"0" * 8
    )
    TallyRow.objects.create(triangle=head, week=0, rows=1, nulls=0)
    TallyExclusion.objects.create(triangle=head, week=0, reason="two_variants", units=1)
    FactCountRow.objects.create(triangle=head, week=0, exposure_week=0, rows=1, before_pre_period=0)
    DepartureRow.objects.create(triangle=head, variant="control", cohort=0, week=3, n=1)
    EventCell.objects.create(
        triangle=head, type="inactivity", column="lines", gap_weeks=4, variant="control", cohort=0, counts={}
    )
    Decision.objects.create(
        experiment=experiment, revision=1, variant="treatment", action="roll_back", recommended="roll_back",
        by=person("owner"), decided_at=NOW, look=look, document={"version": 1},
    )  # fmt: skip
    assert experiment.source is not None
    source_rows.one_check(experiment.source)
    return experiment


def results(look: Look) -> None:
    """One valid row in every table of a look's results."""
    metric = {"metric": "lines", "variant": "treatment"}
    row = {**metric, "readable_from": DAY}
    EffectRow.objects.create(
        look=look, role="primary", window="early", start_week=0, end_week=2, **row, **COMPARISON, **CLAIM
    )
    TrajectoryRow.objects.create(look=look, kind="weekly", week=0, **row, **COMPARISON)
    HoldoutRow.objects.create(
        look=look, metric="m", role="primary", kind="cumulative", start_week=1, end_week=2, readable_from=DAY,
        **COMPARISON, **CLAIM,
    )  # fmt: skip
    ContaminationRow.objects.create(
        look=look, position=0, member="ranker", variant="treatment", launched=True, held_out=10, met=4, weekly=[0, 0.4]
    )
    ReversalRow.objects.create(look=look, **row, **REVERSAL)
    ConflictRow.objects.create(
        look=look, position=0, variant="treatment", short_metric="lines", long_metric="active", state="none",
        readable_from=DAY, p_value=0.5, p_value_adjusted=0.5,
    )  # fmt: skip
    HeterogeneityRow.objects.create(
        look=look, position=0, window="early", segment="country", values=2, p_value=0.5, p_value_adjusted=0.5, **metric
    )
    oec = OecRow.objects.create(
        look=look, position=0, variant="treatment", value=0.5, se=0.1, low=0.3, high=0.7, dominated_by=[]
    )
    FlipRow.objects.create(oec=oec, position=0, metric="lines", weight=0.5)
    RollbackRow.objects.create(
        look=look, position=0, window="latest", below=-0.05, met=False, start_week=5, end_week=6, lift=0.1,
        lift_high=0.2, distance=0.15, **metric,
    )  # fmt: skip
    RecommendationRow.objects.create(
        look=look, position=0, variant="treatment", action="keep_running", reasons=["it is early"]
    )
    CheckRow.objects.create(look=look, position=0, name="srm", state="ok")
    SurvivalRow.store(look, [survival_rows.CURVE])
    write_replay(look, Replay((replay_rows.STEP,), (replay_rows.LAUNCHED,)))
    SurvivalComparisonRow.store(look, [survival_rows.COMPARED])
    EventName.objects.create(kind="value", name="lines", type="number")
    tokens.create(person("owner"), "a token", ["read"], None, by="owner@example.com", now=NOW)
    Draft.objects.create(text="{}", author=person("owner"), created_at=NOW, updated_at=NOW)
    EventName.objects.create(kind="value", name="orders", type="number")


def refused(constraint: str, write: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match=f'"{constraint}"'), transaction.atomic():
        write()


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("constraint", "model", "values"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_database_refuses_a_row_that_breaks_its_rules(
    constraint: str, model: type[models.Model], values: dict[str, Any]
) -> None:
    row = model._default_manager.order_by("pk").last()
    assert row is not None
    refused(constraint, lambda: model._default_manager.filter(pk=row.pk).update(**values))


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("constraint", "model", "values"), TWICE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_database_refuses_a_second_row_for_the_same_thing(
    constraint: str, model: type[models.Model], values: dict[str, Any]
) -> None:
    row = model._default_manager.order_by("pk").first()
    assert row is not None
    row.pk = None
    for name, value in values.items():
        setattr(row, name, Metric.objects.latest("pk").pk if name == "metric_id" else value)
    refused(constraint, lambda: row.save(force_insert=True))


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("constraint", "model", "values"),
    broken_lives.REFUSED_NEW,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_database_refuses_a_new_row_that_breaks_its_rules(
    constraint: str, model: type[models.Model], values: dict[str, Any]
) -> None:
    row = model._default_manager.order_by("pk").last()
    assert row is not None
    row.pk = None
    if isinstance(row, Decision):
        row.revision = 99
    for name, value in values.items():
        setattr(row, name, value)
    refused(constraint, lambda: row.save(force_insert=True))


@pytest.mark.parametrize("values", broken_lives.PROPER, ids=str)
def test_lives_that_are_not_spoiled_are_taken(everything: Experiment, values: dict[str, Any]) -> None:
    assert Experiment.objects.filter(pk=everything.pk).update(**values) == 1


@pytest.mark.parametrize("model", [Source, Experiment])
@pytest.mark.usefixtures("everything")
def test_a_key_is_given_once(model: type[models.Model]) -> None:
    row = model._default_manager.get()
    model._default_manager.filter(pk=row.pk).update(key="taken")
    row.pk, row.plan_id, row.key = None, None, "taken"  # type: ignore[attr-defined]
    row.state, row.started_at = "draft", None  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError, match="_key_key"), transaction.atomic():
        row.save(force_insert=True)


@pytest.mark.parametrize(
    "values", [{"body": {}}, {"digest": SHA.replace("0", "1")}, {"frozen_at": None}, {"version": 7}], ids=str
)
def test_a_frozen_plan_cannot_be_changed_even_by_sql(everything: Experiment, values: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="is frozen and cannot be changed"), transaction.atomic():
        Plan.objects.filter(pk=everything.plan_id).update(**values)


def test_a_frozen_plan_cannot_be_deleted(everything: Experiment) -> None:
    with pytest.raises(IntegrityError, match="is frozen and cannot be deleted"), transaction.atomic():
        Plan.objects.filter(pk=everything.plan_id)._raw_delete("default")


def test_a_plan_that_is_not_frozen_can_be_changed_and_deleted(everything: Experiment) -> None:
    Amendment.objects.all().delete()
    draft = everything.plans.get(version=2)
    draft.digest = SHA.replace("0", "1")
    draft.save()
    assert draft.delete()[0] == 1


def test_every_rule_of_the_database_has_been_broken_above() -> None:
    rules = {rule.name for model in apps.get_app_config("experiments").get_models() for rule in model._meta.constraints}
    traffic = {rule for rule, _ in broken_traffic.REFUSED}  # by test_traffic
    drafts = {"draft_of_an_experiment_has_seen_it", "draft_dates_are_in_order"}  # by test_configure
    assert rules == traffic | drafts | {name for name, _, _ in (*REFUSED, *broken_lives.REFUSED_NEW, *TWICE)}


def test_every_field_of_a_result_has_a_column_of_its_type() -> None:
    """The conversion goes by name: a field added to the dataclass and not to the table must not be lost silently."""
    assert TABLES.keys() == {field.name for field in fields(Scorecard) if str(field.type).startswith("tuple[")}
    for model in TABLES.values():
        names = {field.name for field in model._meta.get_fields()} - {"id", "look", "position"}
        assert names == set(model.columns().values()) | model.elsewhere, model.__name__
        assert model.columns().keys() | model.elsewhere == {field.name for field in fields(model.result)}
