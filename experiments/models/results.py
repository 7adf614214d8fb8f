"""What a look says of its data: units, exclusions, checks, effects and their course, a table for each."""

from collections.abc import Mapping
from typing import ClassVar, get_args

from django.db import models
from django.db.models import F, Q

from analysis import results
from analysis.triangle import ALL_EXCLUSIONS
from experiments.models.constraints import finite, one_of, ordered, share
from experiments.models.look import Look
from experiments.models.rows import KEY_LENGTH, ClaimedRow, ComparisonRow, ResultRow, claim, comparison


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
            models.CheckConstraint(condition=one_of("reason", ALL_EXCLUSIONS), name="look_exclusion_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.reason}: {self.n}"


class EffectRow(ClaimedRow):
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

    class Meta(ResultRow.Meta):
        constraints = [
            *comparison("effect", "p_value_adjusted", "sequential_effect_low"),
            models.UniqueConstraint(
                fields=["look", "metric", "variant", "window", "segment"], nulls_distinct=False, name="effect_is_unique"
            ),
            models.CheckConstraint(condition=Q(start_week__lt=F("end_week")), name="effect_window_has_weeks"),
            *claim("effect"),
        ]

    def __str__(self) -> str:
        return f"{self.metric}, {self.window}, {self.variant}"


class TrajectoryRow(ComparisonRow):
    """The effect in one week since exposure, on the average of the weeks until it, or in a calendar week."""

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
            *comparison("trajectory"),
            models.UniqueConstraint(
                fields=["look", "metric", "variant", "kind", "week"], name="trajectory_week_is_unique"
            ),
            models.CheckConstraint(
                condition=one_of("kind", get_args(results.TrajectoryKind)), name="trajectory_kind_is_known"
            ),
            models.CheckConstraint(
                condition=finite("band_low", "band_high") & ordered("band_low", "band_high"),
                name="trajectory_band_is_ordered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric}, {self.kind} {self.week}, {self.variant}"


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
            models.CheckConstraint(
                condition=one_of("state", get_args(results.CheckState)), name="check_state_is_known"
            ),
            models.CheckConstraint(condition=share("p_value"), name="check_p_is_a_share"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"
