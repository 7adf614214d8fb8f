"""What operations take and answer, said once."""

from datetime import date
from typing import Annotated, Any

from ninja import Path, Query
from pydantic import BeforeValidator

from experiments.api.problems import Problem

KEY_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"


def _iso(value: Any) -> Any:
    """Dates are written in one way; a number of seconds is none."""
    if not isinstance(value, str):
        return value
    try:
        day = date.fromisoformat(value)
    except ValueError:
        day = None
    if day is None or day.isoformat() != value:
        raise ValueError(f"{value!r} is not a date; write it as YYYY-MM-DD, such as 2017-12-31")
    return day


Key = Annotated[str, Path(pattern=KEY_PATTERN, description="The key of an experiment or a holdout")]
Day = Annotated[date, BeforeValidator(_iso)]
Name = Annotated[str, Query(min_length=1, max_length=200)]
AsOf = Annotated[
    Day | None, Query(description="The day of the look, taken then or rebuilt; without it, the newest look")
]  # fmt: skip


def answers(ok: Any, *others: int, status: int = 200) -> dict[int, Any]:
    """Every status of an operation; all of them may be refused at the door, and for what they are sent."""
    problems = sorted({401, 403, 413, 422, 429, *others})
    return {status: ok, **dict.fromkeys(problems, Problem)}
