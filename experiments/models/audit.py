"""The audit log: who did what to which object, and when. Triggers in the database keep every entry as it is."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import models

from experiments.models.constraints import one_of

#: What Holdfast does without being told: an experiment starts because its day has come.
HOLDFAST = "holdfast"

EXPERIMENT, PERSON, SDK_KEY, SOURCE, METRIC = "experiment", "person", "sdk key", "source", "metric"


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def of(self, kind: str, key: str) -> "AuditEntryQuerySet":
        """The entries about one object, newest first."""
        return self.filter(object_kind=kind, object_key=key).order_by("-at", "-pk")

    def record(
        self,
        *,
        by: str,
        verb: str,
        kind: str,
        key: str,
        now: datetime,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> None:
        """Add an entry. The caller's transaction holds the change itself, so there is never one without the other."""
        self.create(
            at=now, actor=by, verb=verb, object_kind=kind, object_key=key, before=dict(before or {}),
            after=dict(after or {}), reason=reason,
        )  # fmt: skip


class AuditEntry(models.Model):
    """One thing that somebody did. Names are text, so that an entry says the same whatever happens later.

    Attributes:
        actor: an e-mail address, ``holdfast`` for what it does by itself, or the command line and its user.
        before, after: the fields that changed.
    """

    at = models.DateTimeField()
    actor = models.TextField()
    verb = models.TextField()
    object_kind = models.TextField()
    object_key = models.TextField()
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.TextField(blank=True)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(actor="") & ~models.Q(verb="") & ~models.Q(object_key=""),
                name="audit_names_who_did_what",
            ),
            models.CheckConstraint(
                condition=one_of("object_kind", (EXPERIMENT, PERSON, SDK_KEY, SOURCE, METRIC)),
                name="audit_object_kind_is_known",
            ),
        ]
        indexes = [models.Index(fields=["object_kind", "object_key", "-at"], name="audit_of_an_object")]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.object_key}"

    @property
    def changes(self) -> list[tuple[str, Any, Any]]:
        """Each field with its values before and after; None where there was none."""
        fields = [*self.before, *(field for field in self.after if field not in self.before)]
        pairs = [(field, self.before.get(field), self.after.get(field)) for field in fields]
        return [(field, before, after) for field, before, after in pairs if before != after]
