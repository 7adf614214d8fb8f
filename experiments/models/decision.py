"""Decisions that people made, and what they rested on. Triggers in the database keep every one as it is."""

from datetime import datetime
from typing import cast, get_args

from django.db import models
from django.db.models import F, Q

from analysis import results
from experiments.models import evidence as documents
from experiments.models.constraints import none_there, one_of
from experiments.models.experiment import Experiment
from experiments.models.look import Look
from experiments.models.person import Person
from experiments.models.rows import KEY_LENGTH

#: What may be decided without any look: to end what cannot even be read.
BLIND = ("stop", "roll_back")


class DecisionQuerySet(models.QuerySet["Decision"]):
    def newest_first(self) -> "DecisionQuerySet":
        return self.select_related("experiment", "by", "look").order_by("-decided_at", "-pk")


class Decision(models.Model):
    """What somebody decided on a treatment. What was recommended is another thing, and stands beside it.

    Attributes:
        revision: the experiment's, as this decision left it: no two decisions were made on the same state of things.
        recommended: the recommendation of the look; null where there is none.
        reason: needed where the decision is another one than was recommended.
        look, document: the look it rests on, and the evidence as it was then; both are null without any look.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="decisions")
    revision = models.PositiveIntegerField()
    variant = models.CharField(max_length=KEY_LENGTH)
    action = models.TextField()
    recommended = models.TextField(null=True)  # noqa: DJ001 - nothing recommended differs from any recommendation
    reason = models.TextField(blank=True)
    by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="decisions")
    decided_at = models.DateTimeField()
    look = models.ForeignKey(Look, on_delete=models.PROTECT, null=True, related_name="decisions")
    document = models.JSONField(null=True)

    objects = DecisionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["experiment", "revision"], name="decision_is_the_only_one_at_once"),
            models.CheckConstraint(
                condition=one_of("action", get_args(results.Action)), name="decision_action_is_known"
            ),
            models.CheckConstraint(
                condition=Q(recommended__isnull=True) | one_of("recommended", get_args(results.Action)),
                name="decision_recommendation_is_known",
            ),
            models.CheckConstraint(
                condition=Q(recommended__isnull=False, action=F("recommended")) | ~Q(reason=""),
                name="decision_against_advice_has_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(look__isnull=False, document__isnull=False)
                | (none_there("look", "document", "recommended") & one_of("action", BLIND)),
                name="decision_rests_on_a_look",
            ),
        ]
        indexes = [models.Index(fields=["-decided_at"], name="decision_newest_first")]

    def __str__(self) -> str:
        return f"{self.experiment.key}, {self.variant}: {self.action}"

    @property
    def evidence(self) -> documents.Evidence | None:
        """The evidence as it was frozen."""
        return None if self.document is None else documents.from_json(self.document)

    @property
    def ending(self) -> results.Action:
        """The action, as the type that the database holds it to."""
        return cast(results.Action, self.action)

    @property
    def advised(self) -> results.Action | None:
        """What was recommended, likewise."""
        return cast(results.Action | None, self.recommended)

    @property
    def follows_advice(self) -> bool:
        return self.action == self.recommended

    @classmethod
    def on(
        cls,
        experiment: Experiment,
        frozen: documents.Evidence | None,
        look: Look | None,
        *,
        variant: str,
        action: results.Action,
        reason: str,
        by: Person,
        now: datetime,
    ) -> "Decision":
        """Return the row of a decision that the experiment has just taken."""
        advice = frozen.recommendation if frozen else None
        return cls(
            experiment=experiment, revision=experiment.revision, variant=variant, action=action,
            recommended=advice.action if advice else None, reason=reason, by=by, decided_at=now,
            look=look, document=documents.to_json(frozen) if frozen else None,
        )  # fmt: skip
