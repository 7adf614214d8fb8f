"""What the database refuses of checks of sources, for the table of all its rules."""

from typing import Any

from django.db import models

from experiments.models import Source, SourceCheck, SourceFinding
from tests.experiments.looks import NOW

REFUSED: list[tuple[str, type[models.Model], dict[str, Any]]] = [
    ("source_check_state_is_known", SourceCheck, {"state": "asleep"}),
    ("source_check_running_has_a_lease", SourceCheck, {"state": "running"}),
    ("source_finding_severity_is_known", SourceFinding, {"severity": "odd"}),
    ("source_finding_table_is_known", SourceFinding, {"table": "others"}),
    ("source_finding_count_is_not_negative", SourceFinding, {"count": -1}),
]

TWICE: list[tuple[str, type[models.Model], dict[str, Any]]] = [
    ("source_check_is_one_at_a_time", SourceCheck, {"asked_by": "another"}),
    ("source_finding_position_is_unique", SourceFinding, {"count": 99}),
]


def one_check(source: Source) -> None:
    """A check with a finding."""
    check = SourceCheck.objects.create(source=source, asked_by="owner@example.com", asked_at=NOW)
    SourceFinding.objects.create(
        check_run=check,
        position=0,
        table="facts",
        about="gaps",
        severity="noted",
        count=1,
        message="one day is missing",
    )
