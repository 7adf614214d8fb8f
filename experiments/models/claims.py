"""What a look claims: reversals, conflicts, differences between segments, the OEC, rollback criteria, and advice."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self, get_args

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from analysis import results
from experiments.models.constraints import finite, one_of, or_reason, ordered, share, weeks, whole
from experiments.models.look import Look
from experiments.models.rows import KEY_LENGTH, ResultRow


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
    late_start_week = models.PositiveIntegerField(null=True)
    late_end_week = models.PositiveIntegerField(null=True)
    first_seen = models.DateField(null=True)
    turned_start_week = models.PositiveIntegerField(null=True)
    turned_end_week = models.PositiveIntegerField(null=True)
    turned_lift = models.FloatField(null=True)
    turned_p_value = models.FloatField(null=True)
    turned_first_seen = models.DateField(null=True)
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "metric", "variant"], name="reversal_is_unique"),
            models.CheckConstraint(
                condition=one_of("state", get_args(results.ReversalState)), name="reversal_state_is_known"
            ),
            models.CheckConstraint(
                condition=share("p_value", "p_value_adjusted", "late_loss_probability", "contrast_p_value",
                                "lift_contrast_p_value", "turned_p_value"),
                name="reversal_p_is_a_share",
            ),
            models.CheckConstraint(
                condition=finite("early_effect", "late_effect", "contrast", "contrast_se", "early_lift", "late_lift",
                                 "lift_contrast", "lift_contrast_low", "lift_contrast_high", "turned_lift"),
                name="reversal_is_finite",
            ),
            models.CheckConstraint(
                condition=ordered("lift_contrast_low", "lift_contrast_high"), name="reversal_contrast_is_ordered"
            ),
            models.CheckConstraint(condition=Q(n_control__gte=0, n_treatment__gte=0), name="reversal_counts_units"),
            models.CheckConstraint(
                condition=weeks("late_start_week", "late_end_week"), name="reversal_late_weeks_are_in_order"
            ),
            models.CheckConstraint(
                condition=weeks("turned_start_week", "turned_end_week")
                & whole("turned_start_week", "turned_end_week", "turned_lift", "turned_p_value", "turned_first_seen"),
                name="reversal_turned_is_whole",
            ),
            models.CheckConstraint(
                condition=or_reason("p_value", "p_value_adjusted", "late_loss_probability", "contrast_p_value",
                                    "early_lift", "late_lift", "lift_contrast_low", "lift_contrast_p_value"),
                name="reversal_is_a_number_or_a_reason",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.metric}, {self.variant}: {self.state}"


class ConflictRow(ResultRow):
    """One metric wins early, another loses late."""

    result = results.ConflictRow

    variant = models.CharField(max_length=KEY_LENGTH)
    short_metric = models.CharField(max_length=KEY_LENGTH)
    long_metric = models.CharField(max_length=KEY_LENGTH)
    state = models.TextField()
    readable_from = models.DateField()
    p_value = models.FloatField(null=True)
    p_value_adjusted = models.FloatField(null=True)
    first_seen = models.DateField(null=True)
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "variant", "short_metric", "long_metric"],
                                    name="conflict_is_unique"),
            models.CheckConstraint(condition=~Q(short_metric=F("long_metric")), name="conflict_is_of_two_metrics"),
            models.CheckConstraint(
                condition=one_of("state", get_args(results.ConflictState)), name="conflict_state_is_known"
            ),
            models.CheckConstraint(condition=share("p_value", "p_value_adjusted"), name="conflict_p_is_a_share"),
            models.CheckConstraint(
                condition=or_reason("p_value", "p_value_adjusted"), name="conflict_is_a_number_or_a_reason"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.short_metric} and {self.long_metric}, {self.variant}: {self.state}"


class HeterogeneityRow(ResultRow):
    """Whether a lift differs between the values of a segment."""

    result = results.HeterogeneityRow

    metric = models.CharField(max_length=KEY_LENGTH)
    variant = models.CharField(max_length=KEY_LENGTH)
    window = models.TextField()
    segment = models.TextField()
    values = models.PositiveIntegerField()
    p_value = models.FloatField(null=True)
    p_value_adjusted = models.FloatField(null=True)
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "metric", "variant", "window", "segment"],
                                    name="heterogeneity_is_unique"),
            models.CheckConstraint(condition=share("p_value", "p_value_adjusted"), name="heterogeneity_p_is_a_share"),
            models.CheckConstraint(
                condition=or_reason("p_value", "p_value_adjusted"), name="heterogeneity_is_a_number_or_a_reason"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.metric} by {self.segment}, {self.window}, {self.variant}"


class OecRow(ResultRow):
    """The overall evaluation criterion of a treatment. Its flips are rows of their own."""

    result = results.OecRow
    elsewhere: ClassVar[frozenset[str]] = frozenset({"flips"})

    variant = models.CharField(max_length=KEY_LENGTH)
    value = models.FloatField(null=True)
    se = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    dominated_by = ArrayField(models.TextField(), blank=True)
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "variant"], name="oec_is_unique"),
            models.CheckConstraint(condition=finite("value", "se", "low", "high"), name="oec_is_finite"),
            models.CheckConstraint(condition=ordered("low", "high"), name="oec_is_ordered"),
            models.CheckConstraint(condition=or_reason("value", "se", "low"), name="oec_is_a_number_or_a_reason"),
        ]

    def __str__(self) -> str:
        return f"OEC, {self.variant}"

    @classmethod
    def store(cls, look: Look, rows: Sequence[Any]) -> list[Self]:
        """Store the rows and their flips. Raises ValueError for a number that is not finite."""
        stored = super().store(look, rows)
        FlipRow.objects.bulk_create(
            FlipRow(oec=oec, position=position, metric=flip.metric, weight=flip.weight)
            for oec, row in zip(stored, rows, strict=True)
            for position, flip in enumerate(row.flips)
        )
        return stored

    @classmethod
    def stored(cls, look: Look) -> models.QuerySet[Self]:
        return super().stored(look).prefetch_related("flips")

    def _values(self) -> dict[str, Any]:
        flips = tuple(results.Flip(flip.metric, flip.weight) for flip in self.flips.all())
        return {**super()._values(), "flips": flips}


class FlipRow(models.Model):
    """The weight of a metric at which an OEC changes sign."""

    oec = models.ForeignKey(OecRow, on_delete=models.CASCADE, related_name="flips")
    position = models.PositiveIntegerField()
    metric = models.CharField(max_length=KEY_LENGTH)
    weight = models.FloatField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["oec", "metric"], name="flip_is_unique"),
            models.CheckConstraint(condition=Q(weight__gt=0) & finite("weight"), name="flip_weight_is_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.metric}: {self.weight}"


class RollbackRow(ResultRow):
    """A rollback criterion of the plan at this look."""

    result = results.RollbackRow

    metric = models.CharField(max_length=KEY_LENGTH)
    variant = models.CharField(max_length=KEY_LENGTH)
    window = models.TextField()
    below = models.FloatField()
    met = models.BooleanField()
    start_week = models.PositiveIntegerField(null=True)
    end_week = models.PositiveIntegerField(null=True)
    lift = models.FloatField(null=True)
    lift_high = models.FloatField(null=True)
    distance = models.FloatField(null=True)
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "metric", "variant", "window", "below"], name="rollback_is_unique"),
            models.CheckConstraint(condition=finite("below", "lift", "lift_high", "distance"),
                                   name="rollback_is_finite"),
            models.CheckConstraint(condition=weeks("start_week", "end_week"), name="rollback_weeks_are_in_order"),
            models.CheckConstraint(
                condition=Q(met=False) | Q(lift_high__isnull=False, lift_high__lt=F("below")),
                name="rollback_is_met_below_only",
            ),
            models.CheckConstraint(
                condition=or_reason("start_week", "lift", "lift_high", "distance"),
                name="rollback_is_a_number_or_a_reason",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.metric}, {self.window}, {self.variant}: below {self.below}"


class RecommendationRow(ResultRow):
    """What to do with a treatment, and why."""

    result = results.RecommendationRow

    variant = models.CharField(max_length=KEY_LENGTH)
    action = models.TextField()
    reasons = ArrayField(models.TextField())
    changes_on = models.DateField(null=True)

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "variant"], name="recommendation_is_unique"),
            models.CheckConstraint(
                condition=one_of("action", get_args(results.Action)), name="recommendation_action_is_known"
            ),
            models.CheckConstraint(
                condition=Q(reasons__len__gt=0) & ~Q(reasons__contains=[""]), name="recommendation_has_reasons"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.variant}: {self.action}"
