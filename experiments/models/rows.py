"""What all tables of a look's results share: the dataclasses of ``analysis.results`` as rows, field by field."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import isfinite
from typing import Any, ClassVar, Self, TypeVar, get_args

from django.db import models
from django.db.models import F, Q

from analysis import results
from experiments.models.constraints import finite, one_of, or_reason, ordered, share, whole
from experiments.models.look import Look

R = TypeVar("R")

KEY_LENGTH = 63


class ResultRow(models.Model):
    """A row of a look's results. ``result`` is the dataclass whose fields the columns carry, name by name.

    ``renamed`` has the columns that cannot carry their field's name because Django uses it; ``elsewhere`` the fields
    that have a table of their own.
    """

    result: ClassVar[type[Any]]
    renamed: ClassVar[Mapping[str, str]] = {}
    elsewhere: ClassVar[frozenset[str]] = frozenset()

    look = models.ForeignKey(Look, on_delete=models.CASCADE, related_name="%(class)ss")
    position = models.PositiveIntegerField()

    class Meta:
        abstract = True
        ordering = ["position"]

    @classmethod
    def columns(cls) -> dict[str, str]:
        """The column of each field."""
        names = (field.name for field in fields(cls.result) if field.name not in cls.elsewhere)
        return {name: cls.renamed.get(name, name) for name in names}

    @classmethod
    def of(cls, look: Look, position: int, row: Any) -> Self:
        """Return the row to store. Raises ValueError for a number that is not finite: a number or a reason."""
        values = {column: getattr(row, name) for name, column in cls.columns().items()}
        for column, value in values.items():
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"{cls.__name__}.{column} is {value} for {row}")
        return cls(look=look, position=position, **values)

    @classmethod
    def store(cls, look: Look, rows: Sequence[Any]) -> list[Self]:
        """Store all rows of this kind at once. Raises ValueError for a number that is not finite."""
        return cls._default_manager.bulk_create([cls.of(look, position, row) for position, row in enumerate(rows)])

    @classmethod
    def read(cls, look: Look, chosen: Q | None = None) -> tuple[Any, ...]:
        """Return the dataclasses that were stored, all or those ``chosen``, in their order."""
        rows = cls.stored(look)
        return tuple(row.to_result(cls.result) for row in (rows if chosen is None else rows.filter(chosen)))

    @classmethod
    def stored(cls, look: Look) -> models.QuerySet[Self]:
        """The rows of a look, with whatever ``to_result`` needs of other tables."""
        return cls._default_manager.filter(look=look)

    def to_result(self, result: type[R]) -> R:
        """Return the dataclass that was stored; ``result`` is its type, named again for type checkers."""
        assert result is self.result
        return result(**self._values())

    def _values(self) -> dict[str, Any]:
        """The values of the dataclass by field. An array comes back as a list, and the dataclass has a tuple."""
        values = {name: getattr(self, column) for name, column in self.columns().items()}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


class ComparisonRow(ResultRow):
    """The columns of ``analysis.results.Comparison``."""

    n_control = models.BigIntegerField()
    n_treatment = models.BigIntegerField()
    control_mean = models.FloatField(null=True)
    treatment_mean = models.FloatField(null=True)
    adjusted = models.BooleanField()
    effect = models.FloatField(null=True)
    effect_se = models.FloatField(null=True)
    effect_low = models.FloatField(null=True)
    effect_high = models.FloatField(null=True)
    p_value = models.FloatField(null=True)
    lift = models.FloatField(null=True)
    lift_low = models.FloatField(null=True)
    lift_high = models.FloatField(null=True)
    unadjusted_effect = models.FloatField(null=True)
    unadjusted_se = models.FloatField(null=True)
    state = models.TextField()
    reason = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta:
        abstract = True


class ClaimedRow(ComparisonRow):
    """The columns of ``analysis.results.ClaimedComparison``."""

    p_value_adjusted = models.FloatField(null=True)
    sequential_look = models.PositiveIntegerField(null=True)
    sequential_looks = models.PositiveIntegerField(null=True)
    sequential_critical = models.FloatField(null=True)
    sequential_effect_low = models.FloatField(null=True)
    sequential_effect_high = models.FloatField(null=True)
    sequential_lift_low = models.FloatField(null=True)
    sequential_lift_high = models.FloatField(null=True)
    sequential_significant = models.BooleanField(null=True)
    margin = models.FloatField(null=True)
    verdict = models.TextField(null=True)  # noqa: DJ001 - as in the dataclass

    class Meta:
        abstract = True


FLOATS = (
    "control_mean", "treatment_mean", "effect", "effect_se", "effect_low", "effect_high",
    "lift", "lift_low", "lift_high", "unadjusted_effect", "unadjusted_se",
)  # fmt: skip


def comparison(name: str, *needed: str) -> list[models.BaseConstraint]:
    """What the database holds every comparison to. ``needed``: further columns without which a row says why."""
    told = ("effect", "effect_se", "effect_low", "p_value", "lift", "lift_low", *needed)
    return [
        models.CheckConstraint(condition=finite(*FLOATS), name=f"{name}_is_finite"),
        models.CheckConstraint(condition=share("p_value"), name=f"{name}_p_is_a_share"),
        models.CheckConstraint(condition=ordered("effect_low", "effect_high"), name=f"{name}_effect_is_ordered"),
        models.CheckConstraint(condition=ordered("lift_low", "lift_high"), name=f"{name}_lift_is_ordered"),
        models.CheckConstraint(condition=Q(n_control__gte=0, n_treatment__gte=0), name=f"{name}_counts_units"),
        models.CheckConstraint(condition=one_of("state", get_args(results.State)), name=f"{name}_state_is_known"),
        models.CheckConstraint(condition=or_reason(*told), name=f"{name}_is_a_number_or_a_reason"),
    ]


def claim(name: str) -> list[models.BaseConstraint]:
    """What the database holds every claim to, beside ``comparison``."""
    return [
        models.CheckConstraint(condition=share("p_value_adjusted"), name=f"{name}_adjusted_p_is_a_share"),
        models.CheckConstraint(
            condition=Q(verdict__isnull=True) | one_of("verdict", get_args(results.Verdict)),
            name=f"{name}_verdict_is_known",
        ),
        models.CheckConstraint(
            condition=whole("sequential_look", "sequential_looks", "sequential_significant", "p_value_adjusted"),
            name=f"{name}_claim_is_whole",
        ),
        models.CheckConstraint(
            condition=Q(sequential_look__isnull=True)
            | Q(sequential_look__gte=1, sequential_look__lte=F("sequential_looks")),
            name=f"{name}_look_is_planned",
        ),
        models.CheckConstraint(
            condition=finite("sequential_critical", "sequential_effect_low", "sequential_effect_high",
                             "sequential_lift_low", "sequential_lift_high")
            & (Q(sequential_critical__gt=0) | Q(sequential_critical__isnull=True)),
            name=f"{name}_sequential_is_finite",
        ),
        models.CheckConstraint(
            condition=ordered("sequential_effect_low", "sequential_effect_high"),
            name=f"{name}_sequential_effect_is_ordered",
        ),
        # The ends of a guardrail are drawn at two critical values, and a lift may be estimable at one of them only.
        models.CheckConstraint(
            condition=Q(sequential_lift_low__isnull=True) | Q(sequential_lift_high__isnull=True)
            | Q(sequential_lift_low__lte=F("sequential_lift_high")),
            name=f"{name}_sequential_lift_is_ordered",
        ),
    ]  # fmt: skip
