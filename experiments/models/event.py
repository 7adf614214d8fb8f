"""Names that events have used. The events themselves are in partitioned tables without a model (see migrations)."""

from django.db import models
from django.db.models import Q

VALUE, ATTRIBUTE = "value", "attribute"
NUMBER, TEXT, BOOLEAN = "number", "text", "boolean"


class EventName(models.Model):
    """A value of facts or an attribute of exposures: a column of the source of events. Its type never changes."""

    kind = models.TextField()
    name = models.CharField(max_length=63)
    type = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "name"], name="event_name_is_unique"),
            models.CheckConstraint(
                condition=Q(kind=VALUE, type=NUMBER) | Q(kind=ATTRIBUTE, type__in=(TEXT, NUMBER, BOOLEAN)),
                name="event_name_has_a_type",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.type})"
