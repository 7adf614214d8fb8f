"""What a look at a holdout says by calendar week."""

from typing import get_args

from django.db import models
from django.db.models import F, Q

from analysis import results
from experiments.models.constraints import finite, one_of, ordered
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
