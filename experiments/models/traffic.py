"""Who may enter what: layers and their buckets, the slice of a holdout, its members, and the variants of testers.

The database keeps experiments of a layer apart by an exclusion constraint, and triggers keep what has begun: the slice
of a holdout, its members, and the buckets of an experiment (they may grow, never move).
"""

from collections.abc import Iterable
from datetime import date

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, IntegerRangeField, RangeOperators
from django.db import models
from django.db.models import Q

from experiments.assignment import BUCKETS
from experiments.models.constraints import all_there, none_there, whole
from experiments.models.experiment import Experiment

#: The largest slice that a holdout may take: half of all units.
LARGEST_SLICE = BUCKETS // 2


class Layer(models.Model):
    """Experiments that must not share a unit, each in buckets of its own. Made by the first definition to name it."""

    key = models.CharField(max_length=63, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(
                condition=Q(key__regex=r"^[a-z0-9][a-z0-9._-]{0,62}$"), name="layer_key_is_well_formed"
            )
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def salt(self) -> str:
        """No key has a slash, so no experiment's variants ever go by the buckets of a layer."""
        return f"layer/{self.key}"


class TrafficQuerySet(models.QuerySet["Traffic"]):
    def on_or_after(self, day: date) -> "TrafficQuerySet":
        """Those that hold their buckets or their slice on a day or later."""
        return self.filter(days__overlap=(day, None))

    def for_update_of(self, experiment: Experiment) -> "Traffic | None":
        return self.select_for_update(of=("self",)).filter(experiment=experiment).first()


class Traffic(models.Model):
    """The part of all units that an experiment or a holdout takes.

    Attributes:
        salt: decides on variants, or on who is held out.
        buckets: of the layer, its end left out; an experiment without a layer is kept apart from none.
        held_out: of a holdout, how many of the 10,000 buckets it holds out, from the first on.
        days: from the start date until the day it let go of them, which is left out; open until then.
        entered: 8 bytes for each unit that had entered when enrollment was frozen, sorted (services.traffic).
    """

    experiment = models.OneToOneField(Experiment, on_delete=models.PROTECT, related_name="traffic")
    salt = models.CharField(max_length=63)
    layer = models.ForeignKey(Layer, on_delete=models.PROTECT, null=True, related_name="traffics")
    buckets = IntegerRangeField(null=True)
    held_out = models.PositiveIntegerField(null=True)
    days = DateRangeField()
    frozen_at = models.DateTimeField(null=True)
    entered = models.BinaryField(null=True)

    objects = TrafficQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "traffic"
        constraints = [
            ExclusionConstraint(
                name="traffic_of_a_layer_does_not_overlap",
                expressions=[
                    ("layer", RangeOperators.EQUAL),
                    ("buckets", RangeOperators.OVERLAPS),
                    ("days", RangeOperators.OVERLAPS),
                ],
            ),
            ExclusionConstraint(
                name="traffic_salts_differ",
                expressions=[("salt", RangeOperators.EQUAL), ("days", RangeOperators.OVERLAPS)],
            ),
            models.UniqueConstraint(
                fields=["salt"], condition=Q(held_out__isnull=False), name="holdout_salt_is_never_used_again"
            ),
            models.CheckConstraint(condition=Q(salt__regex="^[^:]+$"), name="traffic_salt_has_no_colon"),
            models.CheckConstraint(
                condition=Q(days__startswith__isnull=False) & Q(days__isempty=False), name="traffic_has_days"
            ),
            models.CheckConstraint(
                condition=none_there("buckets")
                | (Q(buckets__contained_by=(0, BUCKETS)) & Q(buckets__isempty=False)),
                name="traffic_buckets_are_buckets",
            ),
            models.CheckConstraint(condition=whole("layer", "buckets"), name="traffic_buckets_are_of_a_layer"),
            models.CheckConstraint(
                condition=none_there("held_out")
                | (Q(held_out__gte=1, held_out__lte=LARGEST_SLICE) & none_there("layer", "entered")),
                name="traffic_slice_is_of_a_holdout",
            ),
            models.CheckConstraint(condition=whole("frozen_at", "entered"), name="traffic_frozen_knows_who_entered"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"traffic of {self.experiment}"

    @property
    def first_day(self) -> date:
        first: date = self.days.lower
        return first

    @property
    def released_on(self) -> date | None:
        """The first day on which it holds nothing any more."""
        return self.days.upper if self.days else None

    @property
    def width(self) -> int:
        """How many buckets of its layer it takes; all of them without one."""
        return self.buckets.upper - self.buckets.lower if self.buckets is not None else BUCKETS


class HoldoutMember(models.Model):
    """An experiment that a holdout holds units out of. From the member's start on nothing takes it away."""

    holdout = models.ForeignKey(Traffic, on_delete=models.PROTECT, related_name="members")
    member = models.ForeignKey(Traffic, on_delete=models.PROTECT, related_name="holdouts")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["holdout", "member"], name="holdout_member_is_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.member.experiment} in {self.holdout.experiment}"


class ForcedVariant(models.Model):
    """The variant that a tester gets whatever the rest says. An exposure to it is never counted."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="forced")
    unit = models.CharField(max_length=1024)
    variant = models.CharField(max_length=63)

    class Meta:
        ordering = ["unit"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "unit"], name="tester_has_one_variant"),
            models.CheckConstraint(condition=~Q(unit="") & ~Q(variant=""), name="forced_variant_names_both"),
        ]

    def __str__(self) -> str:
        return f"{self.unit}: {self.variant}"


class SdkKey(models.Model):
    """A key with which programs ask for flags. Only its hash is kept: 32 random bytes need no slow one.

    Attributes:
        kind: server, a secret; client, seen by everybody who opens the page, and good for its ``origins`` alone.
        hint: the first characters, to tell keys apart.
    """

    name = models.CharField(max_length=100)
    kind = models.TextField()
    hint = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    origins = models.JSONField(default=list)
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=Q(revoked_at__isnull=True), name="sdk_key_name_is_unique"
            ),
            models.CheckConstraint(condition=Q(digest__regex="^[0-9a-f]{64}$"), name="sdk_key_digest_is_sha256"),
            models.CheckConstraint(condition=~Q(name="") & ~Q(hint=""), name="sdk_key_has_a_name"),
            models.CheckConstraint(
                condition=(Q(kind="server", origins=[])) | (Q(kind="client") & ~Q(origins=[])),
                name="sdk_key_origins_belong_to_clients",
            ),
            models.CheckConstraint(
                condition=none_there("revoked_at")
                | (all_there("revoked_at") & Q(revoked_at__gte=models.F("created_at"))),
                name="sdk_key_is_revoked_after_it_was_made",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}, {self.hint}...)"


def held_share(slices: Iterable[int]) -> float:
    """The share of units that at least one of several holdouts holds out; their salts are independent."""
    free = 1.0
    for held in slices:
        free *= 1 - held / BUCKETS
    return 1 - free
