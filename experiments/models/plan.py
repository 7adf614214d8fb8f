"""Plans, frozen when their experiment starts, and the amendments that put another one in force."""

from dataclasses import replace
from datetime import datetime

from django.db import models

from analysis import plan as plans
from experiments.definitions import plan_from_json, plan_to_json
from experiments.models.experiment import Experiment


def undescribed(plan: plans.Plan) -> plans.Plan:
    """The plan as it is stored, less what only describes it: another name, hypothesis or owner is not another plan.

    By way of JSON, which has no dates: a reserved key that holds one must not look changed at each apply.
    """
    return plan_from_json(plan_to_json(replace(plan, name="", hypothesis="", owner="")))


class Plan(models.Model):
    """What an experiment measures and how it decides. A trigger in the database keeps a frozen one as it is."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="plans")
    version = models.PositiveIntegerField()
    body = models.JSONField()
    digest = models.CharField(max_length=64)
    frozen_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["version"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "version"], name="plan_version_is_unique"),
            models.UniqueConstraint(fields=["experiment", "digest"], name="plan_digest_is_unique"),
            models.CheckConstraint(condition=models.Q(digest__regex="^[0-9a-f]{64}$"), name="plan_digest_is_sha256"),
            models.CheckConstraint(condition=models.Q(version__gte=1), name="plan_versions_begin_at_one"),
        ]

    def __str__(self) -> str:
        return f"{self.experiment.key}, plan {self.version}"

    def load(self) -> plans.Plan:
        """Return the plan, with its experiment's name, hypothesis and owner of today."""
        about = self.experiment
        return replace(plan_from_json(self.body), name=about.name, hypothesis=about.hypothesis, owner=about.owner)

    def describes(self, plan: plans.Plan) -> bool:
        """Whether ``plan`` is this one, whatever it is called. By value: a digest may change with our version."""
        return undescribed(plan_from_json(self.body)) == undescribed(plan)

    def hold(self, plan: plans.Plan) -> None:
        """Take over the contents of ``plan``; saving is refused by the database once this one is frozen."""
        bare = undescribed(plan)
        self.body, self.digest = plan_to_json(bare), bare.digest

    def freeze(self, now: datetime) -> None:
        self.frozen_at = now
        self.save(update_fields=["frozen_at"])


class Amendment(models.Model):
    """A change of a started experiment's plan, visible for good: what was in force, what is, and why."""

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="amendments")
    before = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    after = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="amendments")
    reason = models.TextField()
    amended_at = models.DateTimeField()

    class Meta:
        ordering = ["amended_at", "pk"]
        constraints = [
            models.CheckConstraint(condition=~models.Q(reason=""), name="amendment_has_a_reason"),
            models.CheckConstraint(condition=~models.Q(before=models.F("after")), name="amendment_changes_the_plan"),
        ]

    def __str__(self) -> str:
        return f"{self.experiment.key}: {self.reason}"
