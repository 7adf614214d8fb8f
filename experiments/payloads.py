"""What a variant delivers to a program: one type for all variants, and numbers that stay numbers in JSON. Pure."""

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

#: Whole numbers beyond this are not exact in every language that reads JSON.
LARGEST = 2**53

TYPES = "a boolean, text, a whole number, a number, a list or a mapping"


def type_of(payload: Any) -> str:
    """Return the type of a payload in words. Raises ValueError for what JSON, or some reader of it, cannot hold."""
    if isinstance(payload, bool):
        return "a boolean"
    if isinstance(payload, str):
        return "text"
    if isinstance(payload, int):
        if abs(payload) > LARGEST:
            raise ValueError(f"whole numbers lie within ±2^53 (found {payload})")
        return "a whole number"
    if isinstance(payload, float):
        if not math.isfinite(payload):
            raise ValueError(f"must be a finite number (found {payload})")
        return "a number"
    if isinstance(payload, Mapping | list):
        _check_inside(payload)
        return "a list or mapping"
    found = "nothing" if payload is None else repr(payload)
    raise ValueError(f"must be {TYPES}, and every variant has one or none has (found {found})")


def _check_inside(payload: Any) -> None:
    if isinstance(payload, Mapping):
        for key in payload:
            if not isinstance(key, str):
                raise ValueError(f"keys inside are text (found {key!r})")
    for inner in payload.values() if isinstance(payload, Mapping) else payload:
        if inner is not None and not isinstance(inner, date):  # a date is delivered as text
            type_of(inner)


def values(payloads: Mapping[str, Any], variants: tuple[str, ...]) -> dict[str, Any]:
    """Return what each variant delivers: its payload, or its key where none has one.

    Where one payload has decimals, all of them are numbers with decimals; so is a whole number that is too large to be
    one, as which PostgreSQL gives back 1e300.
    """
    if not payloads:
        return {variant: variant for variant in variants}
    whole = {key: value for key, value in payloads.items() if isinstance(value, int) and not isinstance(value, bool)}
    decimals = any(isinstance(value, float) for value in payloads.values()) or any(
        abs(value) > LARGEST for value in whole.values()
    )
    return {**payloads, **({key: float(value) for key, value in whole.items()} if decimals else {})}


def restored(payload: Any) -> Any:
    """Return a payload as it was defined: PostgreSQL gives a number like 1e300 back as the whole number it is."""
    if isinstance(payload, Mapping):
        return {key: restored(value) for key, value in payload.items()}
    if isinstance(payload, list):
        return [restored(value) for value in payload]
    if isinstance(payload, int) and not isinstance(payload, bool) and abs(payload) > LARGEST:
        return float(payload)
    return payload
