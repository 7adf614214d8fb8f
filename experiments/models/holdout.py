"""What a look at a holdout says by calendar week, and who was held out of a launch in vain."""

from typing import get_args

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from analysis import results
from experiments.models.constraints import finite, one_of, or_reason, ordered, whole
from experiments.models.rows import KEY_LENGTH, ClaimedRow, ResultRow, claim, comparison


class HoldoutRow(ClaimedRow):
    """Everyone launched to, against those held out, in a span of calendar weeks."""

    result = results.HoldoutRow

    metric = models.CharField(max_length=KEY_LENGTH)
    role = models.TextField()
    kind = models.TextField()
    start_week = models.PositiveIntegerField()
    end_week = models.PositiveIntegerField()
    readable_from = models.DateField()
    band_low = models.FloatField(null=True)
    band_high = models.FloatField(null=True)

    class Meta(ResultRow.Meta):
        constraints = [
            *comparison("holdout"),
            models.UniqueConstraint(fields=["look", "metric", "kind", "end_week"], name="holdout_week_is_unique"),
            models.CheckConstraint(
                condition=one_of("kind", get_args(results.HoldoutKind)), name="holdout_kind_is_known"
            ),
            models.CheckConstraint(condition=Q(start_week__lt=F("end_week")), name="holdout_span_has_weeks"),
            models.CheckConstraint(
                condition=finite("band_low", "band_high") & ordered("band_low", "band_high"),
                name="holdout_band_is_ordered",
            ),
            *claim("holdout"),
        ]

    def __str__(self) -> str:
        return f"{self.metric}, {self.kind}, weeks {self.start_week}-{self.end_week - 1}"


class ContaminationRow(ResultRow):
    """Units held out that met a member's treatment all the same."""

    result = results.ContaminationRow

    member = models.CharField(max_length=KEY_LENGTH, null=True)  # noqa: DJ001 - as in the dataclass
    variant = models.CharField(max_length=KEY_LENGTH, null=True)  # noqa: DJ001 - as in the dataclass
    launched = models.BooleanField()
    held_out = models.BigIntegerField()
    met = models.BigIntegerField(null=True)
    weekly = ArrayField(models.FloatField())
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["look", "member", "variant"], nulls_distinct=False, name="contamination_is_unique"
            ),
            models.CheckConstraint(condition=whole("member", "variant"), name="contamination_names_a_treatment"),
            models.CheckConstraint(
                condition=Q(held_out__gte=0) & (Q(met__isnull=True) | Q(met__gte=0, met__lte=F("held_out"))),
                name="contamination_is_a_part",
            ),
            models.CheckConstraint(condition=or_reason("met"), name="contamination_is_a_number_or_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.member or 'any launch'}: {self.met} of {self.held_out}"
