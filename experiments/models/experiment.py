"""Experiments and holdouts: who owns them, where their data are, and which plan is in force."""

from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.db import models

from analysis import plan as plans
from experiments.models.constraints import finite, one_of
from experiments.models.source import Source

if TYPE_CHECKING:
    from experiments.models.plan import Plan

DRAFT, RUNNING = "draft", "running"


class CannotStart(Exception):
    """The experiment cannot start. The message says why."""


class Experiment(models.Model):
    """An experiment or a holdout. What it is called and who owns it may change at any time; its plan may not.

    Attributes:
        plan: the plan in force, the newest version; earlier ones keep their looks.
        definition: the text of the definition file applied last.
    """

    key = models.CharField(max_length=63, unique=True)
    kind = models.TextField()
    name = models.CharField(max_length=200)
    hypothesis = models.TextField(blank=True)
    owner = models.CharField(max_length=200)
    state = models.TextField(default=DRAFT)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="experiments")
    plan = models.OneToOneField("Plan", on_delete=models.PROTECT, null=True, related_name="in_force_for")
    definition = models.TextField(blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(
                condition=one_of("kind", ("experiment", "holdout")), name="experiment_kind_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(key__regex=r"^[a-z0-9][a-z0-9._-]{0,62}$"), name="experiment_key_is_well_formed"
            ),
            models.CheckConstraint(
                condition=models.Q(state=DRAFT, started_at__isnull=True)
                | models.Q(state=RUNNING, started_at__isnull=False, plan__isnull=False),
                name="experiment_state_fits_its_dates",
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def current_plan(self) -> "Plan":
        """The plan in force. There is one as soon as the experiment has been applied."""
        assert self.plan is not None
        return self.plan

    def today(self, now: datetime) -> date:
        """The day it is where the experiment's days begin."""
        return now.astimezone(ZoneInfo(self.current_plan.load().timezone)).date()

    def start(self, now: datetime) -> None:
        """Start, and freeze the plan. Raises CannotStart. The caller holds the experiment's row lock."""
        if self.state != DRAFT:
            raise CannotStart(f"{self.key} started on {self.started_at:%Y-%m-%d}")
        start_date = self.current_plan.load().start_date
        if self.today(now) < start_date:
            raise CannotStart(f"{self.key} starts on {start_date}; today is {self.today(now)}")
        self.current_plan.freeze(now)
        self.state, self.started_at = RUNNING, now
        self.save(update_fields=["state", "started_at"])

    def start_if_due(self, now: datetime) -> bool:
        """Start if the start date has come, and say whether that happened now."""
        if self.state != DRAFT or self.today(now) < self.current_plan.load().start_date:
            return False
        self.start(now)
        return True


class Variant(models.Model):
    """One side of the comparison, as the plan in force has it. ``weight`` is null where no split was designed."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="variants")
    key = models.CharField(max_length=63)
    position = models.PositiveIntegerField()
    weight = models.FloatField(null=True)
    control = models.BooleanField(default=False)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "key"], name="variant_key_is_unique"),
            models.UniqueConstraint(fields=["experiment", "position"], name="variant_position_is_unique"),
            models.UniqueConstraint(
                fields=["experiment"], condition=models.Q(control=True), name="experiment_has_one_control"
            ),
            models.CheckConstraint(
                condition=(models.Q(weight__gt=0) | models.Q(weight__isnull=True)) & finite("weight"),
                name="variant_weight_is_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @classmethod
    def of(cls, experiment: Experiment, variant: plans.Variant, position: int) -> "Variant":
        return cls(
            experiment=experiment, key=variant.key, position=position, weight=variant.weight, control=variant.control
        )
