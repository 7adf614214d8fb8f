"""Tokens with which programs use the API for a person. Only a hash of each is kept."""

import hashlib
from datetime import datetime, timedelta
from typing import Literal, get_args

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, F, Q, When

from experiments.models.person import Person

Scope = Literal["read", "apply", "refresh", "events"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

#: Requests are counted by the minute.
WINDOW = timedelta(minutes=1)


def digest_of(secret: str) -> str:
    """Return the hash under which a secret is kept. It is random and long, so a slow hash would protect nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ApiToken(models.Model):
    """A token: whose rights it has, and how many of them. Never deleted: the audit log names it.

    Attributes:
        prefix: the beginning of the secret, by which people tell tokens apart.
        digest: sha256 of the secret, which is kept nowhere.
        scopes: what it may be used for; never more than what its owner may do.
        window_at, used: the minute in which it was used last, and how often in that minute.
    """

    owner = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.TextField())
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    window_at = models.DateTimeField(null=True)
    used = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__contained_by=list(SCOPES)) & Q(scopes__len__gt=0), name="token_scopes_are_known"
            ),
            models.CheckConstraint(condition=Q(digest__regex=r"^[0-9a-f]{64}$"), name="token_is_hashed"),
            models.CheckConstraint(condition=~Q(name="") & ~Q(prefix=""), name="token_has_a_name"),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("created_at")), name="token_lives"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}… of {self.owner.email}"

    def is_good(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired. Whether its owner's account is good is another question."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def state(self, now: datetime) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.is_good(now):
            return "active"
        return "expired" if self.revoked_at is None else "revoked"

    def note_use(self, now: datetime) -> None:
        """Say when it was used last, without counting."""
        ApiToken.objects.filter(pk=self.pk).update(last_used_at=now)

    def count_use(self, now: datetime, most: int) -> bool:
        """Count one request, in one conditional UPDATE; False if there were ``most`` in this minute already.

        ``now`` differs a little between machines: a clock that is behind counts into the newest minute.
        """
        minute = now.replace(second=0, microsecond=0)
        newer = Q(window_at__isnull=True) | Q(window_at__lt=minute)
        return bool(
            ApiToken.objects.filter(newer | Q(used__lt=most), pk=self.pk).update(
                used=Case(When(newer, then=1), default=F("used") + 1),
                window_at=Case(When(newer, then=minute), default=F("window_at")),
                last_used_at=now,
            )
        )
