"""The catalog of what is measured, and each experiment's use of it."""

from typing import Any, Self

from django.db import models

from analysis import plan as plans
from experiments.models.constraints import finite, one_of


class MetricQuerySet(models.QuerySet["Metric"]):
    def register(self, metric: plans.Metric) -> "Metric":
        """Return the version of the metric that measures the same thing, or add one under the next number.

        The caller holds the lock under which definitions are applied, so that two of them never take one number.
        """
        measured = Metric.measured(metric)
        versions = self.filter(key=metric.key)
        same = versions.filter(**_matching(measured)).first()
        if same is not None:
            return same
        newest = versions.aggregate(newest=models.Max("version"))["newest"] or 0
        return self.create(key=metric.key, version=newest + 1, **measured)

    def published(self) -> "MetricQuerySet":
        """The versions that are in the catalog, the one that ``use:`` takes first."""
        return self.filter(published_at__isnull=False).order_by("key", "-published_at", "-version")


class Metric(models.Model):
    """One version of a metric: what is measured, never how it is judged. Another definition is another version.

    A definition's own metrics become versions too. In the catalog are those that somebody has published; ``use:``
    takes the version published last.
    """

    key = models.CharField(max_length=63)
    version = models.PositiveIntegerField()
    kind = models.TextField()
    better = models.TextField()
    column = models.TextField(blank=True)
    numerator = models.TextField(blank=True)
    denominator = models.TextField(blank=True)
    cap = models.FloatField(null=True)
    event_type = models.TextField(blank=True)
    event_column = models.TextField(blank=True)
    gap_weeks = models.PositiveIntegerField(default=0)
    description = models.TextField(blank=True)
    published_at = models.DateTimeField(null=True)

    objects = MetricQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "version"], name="metric_version_is_unique"),
            models.CheckConstraint(condition=models.Q(version__gte=1), name="metric_versions_begin_at_one"),
            models.CheckConstraint(condition=one_of("better", ("higher", "lower")), name="metric_better_is_known"),
            models.CheckConstraint(condition=finite("cap") & (models.Q(cap__gt=0) | models.Q(cap__isnull=True)),
                                   name="metric_cap_is_positive"),
            models.CheckConstraint(
                condition=(models.Q(kind__in=("mean", "active")) & ~models.Q(column=""))
                | (models.Q(kind="ratio") & ~models.Q(numerator="") & ~models.Q(denominator=""))
                | (models.Q(kind="event") & ~models.Q(event_column="")
                   & models.Q(event_type__in=("occurrence", "inactivity"))),
                name="metric_kind_has_its_columns",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.key} (version {self.version})"

    @property
    def measures(self) -> plans.Metric:
        """What is measured, as a plan has it; how it is judged is left at diagnostic."""
        event = plans.Event(self.event_type, self.event_column, self.gap_weeks) if self.event_type else None  # type: ignore[arg-type]
        return plans.Metric(
            key=self.key, kind=self.kind, better=self.better, role="diagnostic", column=self.column,  # type: ignore[arg-type]
            numerator=self.numerator, denominator=self.denominator, cap=self.cap, event=event,
        )  # fmt: skip

    @staticmethod
    def measured(metric: plans.Metric) -> dict[str, Any]:
        """The columns that say what a metric measures."""
        event = metric.event
        return {
            "kind": metric.kind,
            "better": metric.better,
            "column": metric.column,
            "numerator": metric.numerator,
            "denominator": metric.denominator,
            "cap": metric.cap,
            "event_type": event.type if event else "",
            "event_column": event.column if event else "",
            "gap_weeks": event.gap_weeks if event else 0,
        }


def _matching(columns: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}__isnull" if value is None else name: value is None or value for name, value in columns.items()}


class MetricUse(models.Model):
    """What an experiment's current plan makes of a metric: its part in the decision."""

    experiment = models.ForeignKey("Experiment", on_delete=models.CASCADE, related_name="metric_uses")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="uses")
    position = models.PositiveIntegerField()
    role = models.TextField()
    term = models.TextField(null=True)  # noqa: DJ001 - a metric without a term differs from any term
    window = models.TextField(null=True)  # noqa: DJ001 - None: the role and the term say which window decides
    margin = models.FloatField(null=True)
    weight = models.FloatField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "metric"], name="metric_is_used_once"),
            models.UniqueConstraint(fields=["experiment", "position"], name="metric_use_position_is_unique"),
            models.CheckConstraint(
                condition=one_of("role", ("primary", "secondary", "guardrail", "diagnostic")),
                name="metric_use_role_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(term__isnull=True) | one_of("term", ("short", "long")),
                name="metric_use_term_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(role="guardrail", margin__isnull=False, margin__gt=0, margin__lt=1)
                | (~models.Q(role="guardrail") & models.Q(margin__isnull=True)),
                name="metric_use_margin_belongs_to_guardrails",
            ),
            models.CheckConstraint(
                condition=finite("weight") & (models.Q(weight__gte=0) | models.Q(weight__isnull=True)),
                name="metric_use_weight_is_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric} as {self.role}"

    @classmethod
    def of(cls, experiment: Any, metric: Metric, use: plans.Metric, position: int) -> Self:
        return cls(
            experiment=experiment, metric=metric, position=position,
            role=use.role, term=use.term, window=use.window, margin=use.margin, weight=use.weight,
        )  # fmt: skip
