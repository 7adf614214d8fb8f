"""Conditions that several tables state in the same words, and the database enforces."""

from django.db.models import F, Q

FINITE = float("inf")


def one_of(field: str, choices: tuple[str, ...]) -> Q:
    """The column holds one of ``choices``."""
    return Q(**{f"{field}__in": choices})


def finite(*fields: str) -> Q:
    """The columns hold finite numbers or nothing. PostgreSQL sorts NaN above infinity, so it is refused too."""
    condition = Q()
    for field in fields:
        condition &= Q(**{f"{field}__gt": -FINITE, f"{field}__lt": FINITE}) | Q(**{f"{field}__isnull": True})
    return condition


def share(*fields: str) -> Q:
    """The columns hold shares of one (probabilities, p-values) or nothing."""
    condition = Q()
    for field in fields:
        condition &= Q(**{f"{field}__gte": 0, f"{field}__lte": 1}) | Q(**{f"{field}__isnull": True})
    return condition


def ordered(low: str, high: str) -> Q:
    """An interval's ends are in order, and both or none is there. (A comparison with NULL alone would let it pass.)"""
    both = Q(**{f"{low}__isnull": False, f"{high}__isnull": False, f"{low}__lte": F(high)})
    return both | Q(**{f"{low}__isnull": True, f"{high}__isnull": True})


def all_there(*fields: str) -> Q:
    """Every column has a value."""
    return Q(**{f"{field}__isnull": False for field in fields})


def none_there(*fields: str) -> Q:
    """No column has a value."""
    return Q(**{f"{field}__isnull": True for field in fields})


def whole(*fields: str) -> Q:
    """All of the columns have a value, or none of them has."""
    return all_there(*fields) | none_there(*fields)


def weeks(start: str, end: str) -> Q:
    """A span of weeks that is not empty, or no span at all."""
    return (all_there(start, end) & Q(**{f"{end}__gt": F(start)})) | none_there(start, end)


def or_reason(*fields: str) -> Q:
    """A number or a reason: every column has a value, or ``reason`` says why not."""
    return all_there(*fields) | (Q(reason__isnull=False) & ~Q(reason=""))
