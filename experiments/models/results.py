"""What a look says, as flat rows: a table for each kind of row, with the fields of ``analysis.results`` by name."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from math import isfinite
from typing import Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import Q

from analysis import results
from analysis.results import Scorecard
from analysis.triangle import EXCLUSIONS
from experiments.models.constraints import finite, one_of, ordered, share
from experiments.models.look import Look

R = TypeVar("R")

KEY_LENGTH = 63


class LookUnits(models.Model):
    """Exposed units of a variant, mature or not."""

    look = models.ForeignKey(Look, on_delete=models.CASCADE, related_name="units")
    variant = models.CharField(max_length=KEY_LENGTH)
    n = models.BigIntegerField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["look", "variant"], name="look_units_are_unique"),
            models.CheckConstraint(condition=Q(n__gte=0), name="look_units_are_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.variant}: {self.n}"


class LookExclusion(models.Model):
    """What was left out, by reason."""

    look = models.ForeignKey(Look, on_delete=models.CASCADE, related_name="exclusions")
    reason = models.TextField()
    n = models.BigIntegerField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["look", "reason"], name="look_exclusion_is_unique"),
            models.CheckConstraint(condition=one_of("reason", EXCLUSIONS), name="look_exclusion_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.reason}: {self.n}"


class ResultRow(models.Model):
    """A row of a look's results. ``result`` is the dataclass whose fields the columns carry, name by name.

    ``renamed`` has the columns that cannot carry their field's name because Django uses it.
    """

    result: ClassVar[type[Any]]
    renamed: ClassVar[Mapping[str, str]] = {}

    look = models.ForeignKey(Look, on_delete=models.CASCADE, related_name="%(class)ss")
    position = models.PositiveIntegerField()

    class Meta:
        abstract = True
        ordering = ["position"]

    @classmethod
    def columns(cls) -> dict[str, str]:
        """The column of each field."""
        return {field.name: cls.renamed.get(field.name, field.name) for field in fields(cls.result)}

    @classmethod
    def of(cls, look: Look, position: int, row: Any) -> Self:
        """Return the row to store. Raises ValueError for a number that is not finite: a number or a reason."""
        values = {column: getattr(row, name) for name, column in cls.columns().items()}
        for column, value in values.items():
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"{cls.__name__}.{column} is {value} for {row}")
        return cls(look=look, position=position, **values)

    @classmethod
    def store(cls, look: Look, rows: Iterable[Any]) -> None:
        cls._default_manager.bulk_create([cls.of(look, position, row) for position, row in enumerate(rows)])

    def to_result(self, result: type[R]) -> R:
        """Return the dataclass that was stored; ``result`` is its type, named again for type checkers."""
        assert result is self.result
        return result(**{name: getattr(self, column) for name, column in self.columns().items()})


class ComparisonRow(ResultRow):
    """The columns of ``analysis.results.Comparison``."""

    n_control = models.BigIntegerField()
    n_treatment = models.BigIntegerField()
    control_mean = models.FloatField(null=True)
    treatment_mean = models.FloatField(null=True)
    adjusted = models.BooleanField()
    effect = models.FloatField(null=True)
    effect_se = models.FloatField(null=True)
    effect_low = models.FloatField(null=True)
    effect_high = models.FloatField(null=True)
    p_value = models.FloatField(null=True)
    lift = models.FloatField(null=True)
    lift_low = models.FloatField(null=True)
    lift_high = models.FloatField(null=True)
    unadjusted_effect = models.FloatField(null=True)
    unadjusted_se = models.FloatField(null=True)
    state = models.TextField()
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta:
        abstract = True


FLOATS = (
    "control_mean", "treatment_mean", "effect", "effect_se", "effect_low", "effect_high",
    "lift", "lift_low", "lift_high", "unadjusted_effect", "unadjusted_se",
)  # fmt: skip


def _comparison(name: str) -> list[models.BaseConstraint]:
    """What the database holds every comparison to. A number or a reason: a row without an effect says why."""
    return [
        models.CheckConstraint(condition=finite(*FLOATS), name=f"{name}_is_finite"),
        models.CheckConstraint(condition=share("p_value"), name=f"{name}_p_is_a_share"),
        models.CheckConstraint(condition=ordered("effect_low", "effect_high"), name=f"{name}_effect_is_ordered"),
        models.CheckConstraint(condition=ordered("lift_low", "lift_high"), name=f"{name}_lift_is_ordered"),
        models.CheckConstraint(condition=Q(n_control__gte=0, n_treatment__gte=0), name=f"{name}_counts_units"),
        models.CheckConstraint(
            condition=one_of("state", ("ok", "not_yet", "too_few", "failed")), name=f"{name}_state_is_known"
        ),
        models.CheckConstraint(
            condition=Q(effect__isnull=False) | (Q(reason__isnull=False) & ~Q(reason="")),
            name=f"{name}_is_a_number_or_a_reason",
        ),
    ]


class EffectRow(ComparisonRow):
    """The effect on a metric in a window since exposure."""

    result = results.EffectRow

    metric = models.CharField(max_length=KEY_LENGTH)
    role = models.TextField()
    term = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass
    variant = models.CharField(max_length=KEY_LENGTH)
    window = models.TextField()
    start_week = models.PositiveIntegerField()
    end_week = models.PositiveIntegerField()
    readable_from = models.DateField()
    segment = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass
    p_value_adjusted = models.FloatField(null=True)
    margin = models.FloatField(null=True)
    verdict = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta(ResultRow.Meta):
        constraints = [
            *_comparison("effect"),
            models.UniqueConstraint(
                fields=["look", "metric", "variant", "window", "segment"], nulls_distinct=False, name="effect_is_unique"
            ),
            models.CheckConstraint(condition=Q(start_week__lt=models.F("end_week")), name="effect_window_has_weeks"),
            models.CheckConstraint(condition=share("p_value_adjusted"), name="effect_adjusted_p_is_a_share"),
            models.CheckConstraint(
                condition=Q(verdict__isnull=True)
                | one_of("verdict", ("superior", "non_inferior", "inferior", "undecided")),
                name="effect_verdict_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric}, {self.window}, {self.variant}"


class TrajectoryRow(ComparisonRow):
    """The effect in one week since exposure, or on the average of the weeks until it."""

    result = results.TrajectoryRow

    metric = models.CharField(max_length=KEY_LENGTH)
    variant = models.CharField(max_length=KEY_LENGTH)
    kind = models.TextField()
    week = models.PositiveIntegerField()
    readable_from = models.DateField()
    band_low = models.FloatField(null=True)
    band_high = models.FloatField(null=True)

    class Meta(ResultRow.Meta):
        constraints = [
            *_comparison("trajectory"),
            models.UniqueConstraint(
                fields=["look", "metric", "variant", "kind", "week"], name="trajectory_week_is_unique"
            ),
            models.CheckConstraint(
                condition=one_of("kind", ("weekly", "cumulative", "calendar")), name="trajectory_kind_is_known"
            ),
            models.CheckConstraint(
                condition=finite("band_low", "band_high") & ordered("band_low", "band_high"),
                name="trajectory_band_is_ordered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric}, {self.kind} {self.week}, {self.variant}"


class ReversalRow(ResultRow):
    """Early win, later loss."""

    result = results.ReversalRow

    metric = models.CharField(max_length=KEY_LENGTH)
    variant = models.CharField(max_length=KEY_LENGTH)
    state = models.TextField()
    readable_from = models.DateField()
    n_control = models.BigIntegerField()
    n_treatment = models.BigIntegerField()
    p_value = models.FloatField(null=True)
    p_value_adjusted = models.FloatField(null=True)
    late_loss_probability = models.FloatField(null=True)
    early_effect = models.FloatField(null=True)
    late_effect = models.FloatField(null=True)
    contrast = models.FloatField(null=True)
    contrast_se = models.FloatField(null=True)
    contrast_p_value = models.FloatField(null=True)
    early_lift = models.FloatField(null=True)
    late_lift = models.FloatField(null=True)
    lift_contrast = models.FloatField(null=True)
    lift_contrast_low = models.FloatField(null=True)
    lift_contrast_high = models.FloatField(null=True)
    lift_contrast_p_value = models.FloatField(null=True)
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "metric", "variant"], name="reversal_is_unique"),
            models.CheckConstraint(
                condition=one_of("state", ("confirmed", "turned", "warning", "immature", "fading", "none")),
                name="reversal_state_is_known",
            ),
            models.CheckConstraint(
                condition=share(
                    "p_value", "p_value_adjusted", "late_loss_probability", "contrast_p_value", "lift_contrast_p_value"
                ),
                name="reversal_p_is_a_share",
            ),
            models.CheckConstraint(
                condition=finite("early_effect", "late_effect", "contrast", "contrast_se", "early_lift", "late_lift",
                                 "lift_contrast", "lift_contrast_low", "lift_contrast_high"),
                name="reversal_is_finite",
            ),
            models.CheckConstraint(
                condition=ordered("lift_contrast_low", "lift_contrast_high"), name="reversal_contrast_is_ordered"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.metric}, {self.variant}: {self.state}"


class CheckRow(ResultRow):
    """One check of the data's health."""

    result = results.CheckRow
    renamed: ClassVar[Mapping[str, str]] = {"check": "name"}

    name = models.TextField()
    state = models.TextField()
    p_value = models.FloatField(null=True)
    detail = models.TextField(blank=True)

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "name"], name="check_is_unique"),
            models.CheckConstraint(condition=one_of("state", ("ok", "alarm", "unknown")), name="check_state_is_known"),
            models.CheckConstraint(condition=share("p_value"), name="check_p_is_a_share"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"


def write_scorecard(look: Look, scorecard: Scorecard) -> None:
    """Put a scorecard's rows in place of the look's. The caller holds a transaction; the look itself is not saved."""
    for model in (EffectRow, TrajectoryRow, ReversalRow, CheckRow, LookUnits, LookExclusion):
        model._default_manager.filter(look=look).delete()
    EffectRow.store(look, scorecard.effects)
    TrajectoryRow.store(look, scorecard.trajectory)
    ReversalRow.store(look, scorecard.reversals)
    CheckRow.store(look, scorecard.checks)
    LookUnits.objects.bulk_create(LookUnits(look=look, variant=key, n=n) for key, n in scorecard.units.items())
    left_out = scorecard.excluded.items()
    LookExclusion.objects.bulk_create(LookExclusion(look=look, reason=reason, n=n) for reason, n in left_out)
    look.planned_looks = scorecard.planned_looks
    look.first_fact, look.last_fact, look.fact_rows = scorecard.first_fact, scorecard.last_fact, scorecard.fact_rows


def read_scorecard(look: Look) -> Scorecard:
    """Return the scorecard that ``write_scorecard`` stored."""
    effects = EffectRow.objects.filter(look=look)
    trajectory = TrajectoryRow.objects.filter(look=look)
    reversals = ReversalRow.objects.filter(look=look)
    checks = CheckRow.objects.filter(look=look)
    return Scorecard(
        plan=look.plan.load(), as_of=look.as_of, look=look.number, planned_looks=look.planned_looks,
        first_fact=look.first_fact, last_fact=look.last_fact, fact_rows=look.fact_rows,
        units=dict(LookUnits.objects.filter(look=look).values_list("variant", "n")),
        excluded=dict(LookExclusion.objects.filter(look=look).values_list("reason", "n")),
        checks=tuple(row.to_result(results.CheckRow) for row in checks),
        effects=tuple(row.to_result(results.EffectRow) for row in effects),
        trajectory=tuple(row.to_result(results.TrajectoryRow) for row in trajectory),
        reversals=tuple(row.to_result(results.ReversalRow) for row in reversals),
    )  # fmt: skip
