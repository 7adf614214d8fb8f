"""What past looks would have recommended, and what a two-week test would have done: stored with the look that knows."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self, get_args

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from analysis import replay, results
from experiments.models.constraints import finite, one_of, share
from experiments.models.look import Look
from experiments.models.rows import KEY_LENGTH, ResultRow


class ReplayStepRow(ResultRow):
    """The recommendation for a treatment at one past look, from the data of the look that this row belongs to."""

    result = replay.ReplayStep
    renamed: ClassVar[dict[str, str]] = {"look": "number"}

    variant = models.CharField(max_length=KEY_LENGTH)
    number = models.PositiveIntegerField()
    as_of = models.DateField()
    action = models.TextField()
    reasons = ArrayField(models.TextField())

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "variant", "as_of"], name="replay_step_is_unique"),
            models.CheckConstraint(
                condition=one_of("action", get_args(results.Action)), name="replay_step_action_is_known"
            ),
            models.CheckConstraint(
                condition=Q(reasons__len__gt=0) & ~Q(reasons__contains=[""]), name="replay_step_has_reasons"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.variant}, look {self.number}: {self.action}"


class NaiveLaunchRow(ResultRow):
    """What a two-week test would have done with a treatment. What came of it are rows of their own."""

    result = replay.NaiveLaunch
    elsewhere: ClassVar[frozenset[str]] = frozenset({"outcomes"})

    variant = models.CharField(max_length=KEY_LENGTH)
    as_of = models.DateField()
    launched = models.BooleanField(null=True)
    metric = models.CharField(max_length=KEY_LENGTH, null=True)  # noqa: DJ001 - as in the dataclass
    lift = models.FloatField(null=True)
    p_value = models.FloatField(null=True)
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta(ResultRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["look", "variant"], name="naive_launch_is_unique"),
            models.CheckConstraint(condition=finite("lift") & share("p_value"), name="naive_launch_is_finite"),
            models.CheckConstraint(
                condition=Q(metric__isnull=False, p_value__isnull=False)
                | (Q(reason__isnull=False) & ~Q(reason="") & (Q(launched=False) | Q(launched__isnull=True))),
                name="naive_launch_is_a_number_or_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.variant}: {'launched' if self.launched else 'not launched'} on {self.as_of}"

    @classmethod
    def store(cls, look: Look, rows: Sequence[Any]) -> list[Self]:
        """Store the rows and what came of them. Raises ValueError for a number that is not finite."""
        stored = super().store(look, rows)
        OutcomeRow.objects.bulk_create(
            OutcomeRow(launch=launch, position=position, **vars(outcome))
            for launch, row in zip(stored, rows, strict=True)
            for position, outcome in enumerate(row.outcomes)
        )
        return stored

    @classmethod
    def stored(cls, look: Look) -> models.QuerySet[Self]:
        return super().stored(look).prefetch_related("outcomes")

    def _values(self) -> dict[str, Any]:
        return {**super()._values(), "outcomes": tuple(row.to_result() for row in self.outcomes.all())}


class OutcomeRow(models.Model):
    """What became of a metric in the late weeks, after a two-week test would have ended."""

    launch = models.ForeignKey(NaiveLaunchRow, on_delete=models.CASCADE, related_name="outcomes")
    position = models.PositiveIntegerField()
    metric = models.CharField(max_length=KEY_LENGTH)
    start_week = models.PositiveIntegerField()
    end_week = models.PositiveIntegerField()
    effect = models.FloatField(null=True)
    lift = models.FloatField(null=True)
    loss = models.BooleanField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["launch", "metric"], name="outcome_is_unique"),
            models.CheckConstraint(condition=Q(start_week__lt=F("end_week")), name="outcome_has_weeks"),
            models.CheckConstraint(condition=finite("effect", "lift"), name="outcome_is_finite"),
        ]

    def __str__(self) -> str:
        return f"{self.metric}, weeks {self.start_week}-{self.end_week - 1}: {self.lift}"

    def to_result(self) -> replay.Outcome:
        """Return the dataclass that was stored."""
        return replay.Outcome(
            self.metric, self.start_week, self.end_week, self.effect, self.lift, self.loss
        )  # fmt: skip


def write_replay(look: Look, found: replay.Replay) -> None:
    """Put a replay's rows in place of the look's. The caller holds a transaction."""
    for table in (ReplayStepRow, NaiveLaunchRow):
        table._default_manager.filter(look=look).delete()
    ReplayStepRow.store(look, found.steps)
    NaiveLaunchRow.store(look, found.naive)


def read_replay(look: Look) -> replay.Replay:
    """Return the replay that ``write_replay`` stored; without any steps where none was."""
    return replay.Replay(ReplayStepRow.read(look), NaiveLaunchRow.read(look))
