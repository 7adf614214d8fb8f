"""Times to event of a look: curves, and each treatment against control, with what hangs on a comparison."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self, get_args

from django.db import models
from django.db.models import F, Q

from analysis import results
from experiments.models.constraints import finite, one_of, or_reason, ordered, share, whole
from experiments.models.look import Look
from experiments.models.rows import KEY_LENGTH, ResultRow


class SurvivalRow(ResultRow):
    """A variant's curve after one more week."""

    result = results.SurvivalRow

    metric = models.CharField(max_length=KEY_LENGTH)
    variant = models.CharField(max_length=KEY_LENGTH)
    week = models.PositiveIntegerField()
    at_risk = models.BigIntegerField()
    events = models.BigIntegerField()
    censored = models.BigIntegerField()
    survival = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "metric", "variant", "week"], name="survival_week_is_unique"),
            models.CheckConstraint(condition=share("survival", "low", "high"), name="survival_is_a_share"),
            models.CheckConstraint(
                condition=Q(low__lte=F("survival"), high__gte=F("survival")), name="survival_is_in_its_interval"
            ),
            models.CheckConstraint(
                condition=Q(events__gte=0, censored__gte=0, at_risk__gte=F("events") + F("censored")),
                name="survival_counts_units",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric}, {self.variant}, week {self.week}"


_FLOATS = (
    "rmst_control", "rmst_treatment", "rmst_difference", "rmst_se", "rmst_low", "rmst_high", "rmst_lift",
    "rmst_lift_low", "rmst_lift_high", "sequential_critical", "sequential_rmst_low", "sequential_rmst_high",
    "sequential_lift_low", "sequential_lift_high", "logrank_chi2", "hazard_ratio", "hazard_ratio_low",
    "hazard_ratio_high", "margin",
)  # fmt: skip
_SHARES = (
    "rmst_p_value", "p_value_adjusted", "logrank_p_value", "hazard_p_value", "proportional_p_value", "censored_control",
    "censored_treatment", "censoring_p_value", "returned_share",
)  # fmt: skip


class SurvivalComparisonRow(ResultRow):
    """A treatment against control on a time to event. Differences and periods are rows of their own."""

    result = results.SurvivalComparisonRow
    elsewhere: ClassVar[frozenset[str]] = frozenset({"survival_difference", "periods", "adjusted_hazard"})

    metric = models.CharField(max_length=KEY_LENGTH)
    role = models.TextField()
    term = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass
    variant = models.CharField(max_length=KEY_LENGTH)
    tau = models.PositiveIntegerField()
    readable_from = models.DateField()
    horizon_week = models.PositiveIntegerField(null=True)
    decides = models.BooleanField()
    n_control = models.BigIntegerField()
    n_treatment = models.BigIntegerField()
    events_control = models.BigIntegerField()
    events_treatment = models.BigIntegerField()
    rmst_control = models.FloatField(null=True)
    rmst_treatment = models.FloatField(null=True)
    rmst_difference = models.FloatField(null=True)
    rmst_se = models.FloatField(null=True)
    rmst_low = models.FloatField(null=True)
    rmst_high = models.FloatField(null=True)
    rmst_p_value = models.FloatField(null=True)
    rmst_lift = models.FloatField(null=True)
    rmst_lift_low = models.FloatField(null=True)
    rmst_lift_high = models.FloatField(null=True)
    p_value_adjusted = models.FloatField(null=True)
    sequential_look = models.PositiveIntegerField(null=True)
    sequential_looks = models.PositiveIntegerField(null=True)
    sequential_critical = models.FloatField(null=True)
    sequential_rmst_low = models.FloatField(null=True)
    sequential_rmst_high = models.FloatField(null=True)
    sequential_lift_low = models.FloatField(null=True)
    sequential_lift_high = models.FloatField(null=True)
    sequential_significant = models.BooleanField(null=True)
    median_control = models.PositiveIntegerField(null=True)
    median_treatment = models.PositiveIntegerField(null=True)
    logrank_chi2 = models.FloatField(null=True)
    logrank_p_value = models.FloatField(null=True)
    hazard_ratio = models.FloatField(null=True)
    hazard_ratio_low = models.FloatField(null=True)
    hazard_ratio_high = models.FloatField(null=True)
    hazard_p_value = models.FloatField(null=True)
    proportional_p_value = models.FloatField(null=True)
    censored_control = models.FloatField(null=True)
    censored_treatment = models.FloatField(null=True)
    censoring_p_value = models.FloatField(null=True)
    returned_share = models.FloatField(null=True)
    gap_weeks = models.PositiveIntegerField(null=True)
    gap_advised = models.PositiveIntegerField(null=True)
    margin = models.FloatField(null=True)
    verdict = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass
    state = models.TextField()
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "metric", "variant"], name="survival_comparison_is_unique"),
            models.CheckConstraint(condition=finite(*_FLOATS), name="survival_comparison_is_finite"),
            models.CheckConstraint(condition=share(*_SHARES), name="survival_comparison_has_shares"),
            models.CheckConstraint(
                condition=ordered("rmst_low", "rmst_high") & ordered("rmst_lift_low", "rmst_lift_high")
                & ordered("sequential_rmst_low", "sequential_rmst_high")
                & ordered("sequential_lift_low", "sequential_lift_high")
                & ordered("hazard_ratio_low", "hazard_ratio_high"),
                name="survival_comparison_is_ordered",
            ),
            models.CheckConstraint(
                condition=whole("sequential_look", "sequential_looks", "sequential_significant", "p_value_adjusted"),
                name="survival_comparison_claim_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(decides=False) | Q(horizon_week=F("tau")), name="survival_comparison_decides_at_tau"
            ),
            models.CheckConstraint(
                condition=one_of("state", get_args(results.State)), name="survival_comparison_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(verdict__isnull=True) | one_of("verdict", get_args(results.Verdict)),
                name="survival_comparison_verdict_is_known",
            ),
            models.CheckConstraint(
                condition=or_reason("rmst_difference", "rmst_se", "sequential_rmst_low", "hazard_ratio"),
                name="survival_comparison_is_a_number_or_a_reason",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.metric}, {self.variant}"

    @classmethod
    def store(cls, look: Look, rows: Sequence[Any]) -> list[Self]:
        """Store the rows and what hangs on them. Raises ValueError for a number that is not finite."""
        stored = super().store(look, rows)
        pairs = list(zip(stored, rows, strict=True))
        SurvivalDifferenceRow.objects.bulk_create(
            SurvivalDifferenceRow(comparison=comparison, **vars(one))
            for comparison, row in pairs
            for one in row.survival_difference
        )
        HazardPeriodRow.objects.bulk_create(
            HazardPeriodRow(comparison=comparison, **vars(one)) for comparison, row in pairs for one in row.periods
        )
        AdjustedHazardRow.objects.bulk_create(
            AdjustedHazardRow(comparison=comparison, **vars(row.adjusted_hazard))
            for comparison, row in pairs
            if row.adjusted_hazard is not None
        )
        return stored

    @classmethod
    def stored(cls, look: Look) -> models.QuerySet[Self]:
        found = super().stored(look).select_related("adjusted_hazard")
        return found.prefetch_related("survival_difference", "periods")

    def _values(self) -> dict[str, Any]:
        adjusted = getattr(self, "adjusted_hazard", None)
        return {
            **super()._values(),
            "survival_difference": tuple(row.to_result() for row in self.survival_difference.all()),
            "periods": tuple(row.to_result() for row in self.periods.all()),
            "adjusted_hazard": None if adjusted is None else adjusted.to_result(),
        }


class OfAComparison(models.Model):
    """A small dataclass that belongs to a comparison; the columns carry its fields, name by name."""

    result: ClassVar[type[Any]]

    class Meta:
        abstract = True

    def to_result(self) -> Any:
        """Return the dataclass that was stored."""
        return self.result(**{name: getattr(self, name) for name in self.result.__dataclass_fields__})


class SurvivalDifferenceRow(OfAComparison):
    """Treatment less control in the share without the event after some weeks."""

    result = results.SurvivalDifference

    comparison = models.ForeignKey(
        SurvivalComparisonRow, on_delete=models.CASCADE, related_name="survival_difference"
    )  # fmt: skip
    week = models.PositiveIntegerField()
    difference = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()

    class Meta:
        ordering = ["week"]
        constraints = [
            models.UniqueConstraint(fields=["comparison", "week"], name="survival_difference_week_is_unique"),
            models.CheckConstraint(
                condition=finite("low", "high") & Q(low__lte=F("difference"), high__gte=F("difference")),
                name="survival_difference_is_in_its_interval",
            ),
        ]

    def __str__(self) -> str:
        return f"week {self.week}: {self.difference}"


class HazardPeriodRow(OfAComparison):
    """The hazard ratio of some weeks; without a number where a variant had no events in them."""

    result = results.HazardPeriod

    comparison = models.ForeignKey(SurvivalComparisonRow, on_delete=models.CASCADE, related_name="periods")
    start_week = models.PositiveIntegerField()
    end_week = models.PositiveIntegerField()
    hazard_ratio = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    p_value = models.FloatField(null=True)

    class Meta:
        ordering = ["start_week"]
        constraints = [
            models.UniqueConstraint(fields=["comparison", "start_week"], name="hazard_period_is_unique"),
            models.CheckConstraint(condition=Q(start_week__lt=F("end_week")), name="hazard_period_has_weeks"),
            models.CheckConstraint(
                condition=whole("hazard_ratio", "low", "high", "p_value") & finite("hazard_ratio", "low", "high")
                & ordered("low", "high") & share("p_value"),
                name="hazard_period_is_whole",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"weeks {self.start_week}-{self.end_week - 1}: {self.hazard_ratio}"


class AdjustedHazardRow(OfAComparison):
    """The hazard ratio beside covariates."""

    result = results.AdjustedHazard

    comparison = models.OneToOneField(SurvivalComparisonRow, on_delete=models.CASCADE, related_name="adjusted_hazard")
    hazard_ratio = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()
    p_value = models.FloatField()
    units = models.BigIntegerField()
    left_out = models.BigIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=finite("hazard_ratio", "low", "high") & ordered("low", "high") & share("p_value")
                & Q(units__gt=0, left_out__gte=0),
                name="adjusted_hazard_is_whole",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.hazard_ratio} of {self.units} units"
