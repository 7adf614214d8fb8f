"""Definitions in the making: what somebody has filled in so far, before it is an experiment or a new plan of one."""

import json
from typing import Any

from django.db import models
from django.db.models import F

from experiments.definitions.partial import DefinitionKind, kind_of
from experiments.models.experiment import Experiment
from experiments.models.person import Person
from experiments.models.source import Source


class Draft(models.Model):
    """A definition that may be incomplete and wrong. It does nothing by itself, and is gone once it is applied.

    Attributes:
        experiment: whose definition is being changed; None for a new one.
        seen_revision: the revision of that experiment when its definition was taken over.
        text: the keys of a definition file that are known so far, as JSON; not jsonb, which keeps neither the order of
            windows nor all digits. Where the data are is ``source``.
        revision: how often the draft was saved; who saves an older one is told.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, null=True, related_name="drafts")
    seen_revision = models.PositiveIntegerField(null=True)
    source = models.ForeignKey(Source, on_delete=models.SET_NULL, null=True, related_name="+")
    text = models.TextField()
    revision = models.PositiveIntegerField(default=0)
    author = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="drafts")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["-updated_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(experiment__isnull=True, seen_revision__isnull=True)
                | models.Q(experiment__isnull=False, seen_revision__isnull=False),
                name="draft_of_an_experiment_has_seen_it",
            ),
            models.CheckConstraint(
                condition=models.Q(updated_at__gte=F("created_at")), name="draft_dates_are_in_order"
            ),
        ]

    def __str__(self) -> str:
        return self.key or f"draft {self.pk}"

    @property
    def body(self) -> dict[str, Any]:
        """The keys that are known so far, a new mapping at each call."""
        found: dict[str, Any] = json.loads(self.text)
        return found

    @body.setter
    def body(self, body: dict[str, Any]) -> None:
        self.text = json.dumps(body)

    @property
    def kind(self) -> DefinitionKind:
        """What it becomes: an experiment or a holdout."""
        return kind_of(self.body)

    @property
    def key(self) -> str:
        """The key of the experiment or holdout that it becomes, empty while there is none."""
        found = self.body.get(self.kind)
        return found if isinstance(found, str) else ""

    @property
    def name(self) -> str:
        found = self.body.get("name")
        return found if isinstance(found, str) else ""

    def keep(self, body: dict[str, Any]) -> bool:
        """Store what was filled in, unless somebody else has since this draft was read; say whether it was stored."""
        same = Draft.objects.filter(pk=self.pk, revision=self.revision)
        kept = same.update(
            text=json.dumps(body), source=self.source, updated_at=self.updated_at, revision=F("revision") + 1
        )
        if kept:
            self.body, self.revision = body, self.revision + 1
        return bool(kept)
