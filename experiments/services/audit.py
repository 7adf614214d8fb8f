"""Read the audit log. It is written where things are done, in the same transaction."""

from experiments.models import AuditEntry
from experiments.models.audit import EXPERIMENT, PERSON

#: Entries on a page: the newest ones.
SHOWN = 200


def history(key: str) -> tuple[AuditEntry, ...]:
    """Return what was done to an experiment, newest first."""
    return tuple(AuditEntry.objects.of(EXPERIMENT, key)[:SHOWN])


def about_people() -> tuple[AuditEntry, ...]:
    """Return what was done to accounts, newest first."""
    return tuple(AuditEntry.objects.filter(object_kind=PERSON).order_by("-at", "-pk")[:SHOWN])
