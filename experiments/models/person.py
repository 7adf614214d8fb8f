"""People who sign in, and their roles. What a role may do is said in ``services.access``."""

from typing import ClassVar, Literal, get_args

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower

from experiments.models.constraints import one_of

Role = Literal["viewer", "editor", "owner", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


class PersonManager(BaseUserManager["Person"]):
    def get_by_natural_key(self, username: str | None) -> "Person":
        """The person with this e-mail address, in whatever case it was typed."""
        return self.get(email=(username or "").strip().lower())


class Person(AbstractBaseUser):
    """Somebody with an account. Without a role they see nothing. Never deleted: decisions name them.

    Attributes:
        must_change_password: the password was given by somebody else, and is good for choosing one's own.
        demo_run: set for an account of the demo: the run that made it. It is refused everywhere else.
    """

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True)
    role = models.TextField(null=True)  # noqa: DJ001 - no role differs from any role
    is_active = models.BooleanField(default=True)
    must_change_password = models.BooleanField(default=False)
    demo_run = models.TextField(null=True)  # noqa: DJ001 - most people are of no demo
    created_at = models.DateTimeField()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = PersonManager()

    class Meta:
        verbose_name_plural = "people"
        ordering = ["email"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(role__isnull=True) | one_of("role", ROLES), name="person_role_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")) & ~models.Q(email=""), name="person_email_is_lower_case"
            ),
            models.CheckConstraint(
                condition=models.Q(demo_run__isnull=True) | ~models.Q(demo_run=""), name="person_demo_run_has_a_name"
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def may_sign_in(self, demo_run: str | None) -> bool:
        """Whether the account is good here: not disabled, and one of a demo only while that demo is served."""
        return self.is_active and (self.demo_run is None or self.demo_run == demo_run)
