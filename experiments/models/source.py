"""Where the data of an experiment are: registered once under a key, or given by paths beside a definition file."""

from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from experiments.models.constraints import one_of
from experiments.sources.base import Columns, SourceSpec
from experiments.sources.examine import Examined, from_json, to_json


class Tables(models.Model):
    """Where two tables are, and what they looked like when they were examined.

    Attributes:
        uploaded: the files were sent to us and lie in a folder of ours; else they are somebody's, within ``folder``.
        examined: the tables as JSON, in a version of ``sources.examine``; empty where nobody has looked.
    """

    folder = models.TextField()
    exposures = models.TextField()
    facts = models.TextField()
    uploaded = models.BooleanField(default=False)
    examined = models.JSONField(default=dict)

    class Meta:
        abstract = True

    @property
    def tables(self) -> dict[str, Examined]:
        """The examined tables, ``exposures`` and ``facts``; empty where nobody has looked."""
        return {name: from_json(table) for name, table in self.examined.items()}

    @tables.setter
    def tables(self, tables: dict[str, Examined]) -> None:
        self.examined = {name: to_json(table) for name, table in tables.items()}


class Source(Tables):
    """A data source. ``key`` is set where it was registered for several experiments, and empty where one owns it.

    ``confined``: its files must lie in ``folder``. That holds for all that were registered on a page.
    """

    key = models.CharField(max_length=63, null=True, unique=True)  # noqa: DJ001 - no key and an empty key differ
    kind = models.TextField()
    confined = models.BooleanField(default=False)
    # Of databases: the name of the connection, and the schema of the tables. Addresses are kept in the environment.
    dsn = models.TextField(blank=True, default="")
    schema = models.TextField(blank=True, default="")
    unit_column = models.TextField()
    variant_column = models.TextField()
    exposed_at_column = models.TextField()
    at_column = models.TextField()
    left_at_column = models.TextField(null=True)  # noqa: DJ001 - None says that the data have no such column

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(kind="") & ~models.Q(exposures="") & ~models.Q(facts=""),
                name="source_names_its_data",
            ),
            models.CheckConstraint(
                condition=models.Q(key__isnull=True) | ~models.Q(key=""), name="source_key_is_not_empty"
            ),
        ]

    def __str__(self) -> str:
        return self.key or f"{self.place}: {self.exposures}, {self.facts}"

    @property
    def place(self) -> str:
        """Where the tables are, for people: a folder, or a database and its schema."""
        return f"{self.dsn}, schema {self.schema}" if self.dsn else self.folder

    @property
    def spec(self) -> SourceSpec:
        """What adapters open. A registered source is resolved here: adapters never look up names."""
        columns = Columns(
            self.unit_column, self.variant_column, self.exposed_at_column, self.at_column, self.left_at_column
        )
        return SourceSpec(
            self.kind, self.exposures, self.facts, Path(self.folder), columns,
            dsn=self.dsn, schema=self.schema, confined=self.confined,
        )  # fmt: skip

    @spec.setter
    def spec(self, spec: SourceSpec) -> None:
        self.kind, self.exposures, self.facts = spec.kind, spec.exposures, spec.facts
        self.folder, self.dsn, self.schema = str(spec.folder), spec.dsn, spec.schema
        self.confined = spec.confined
        self.unit_column, self.variant_column = spec.columns.unit, spec.columns.variant
        self.exposed_at_column, self.at_column = spec.columns.exposed_at, spec.columns.at
        self.left_at_column = spec.columns.left_at


class SourceDraft(Tables):
    """Two tables on their way to a source: examined, and waiting for somebody to say what their columns are.

    Attributes:
        token: a random name, in the address of its page and of its folder.
        source: the source whose data these are to replace, None for a new one.
    """

    token = models.CharField(max_length=32, unique=True)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, null=True, related_name="drafts")
    created_by = models.TextField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"draft {self.token}"


PLANNED, RUNNING, DONE, FAILED = "planned", "running", "done", "failed"


class SourceCheckQuerySet(models.QuerySet["SourceCheck"]):
    def waiting(self) -> "SourceCheckQuerySet":
        """Checks nobody works on: new ones, and those whose worker let the lease run out."""
        return self.filter(models.Q(state=PLANNED) | models.Q(state=RUNNING, lease_until__lt=Now()))

    def claim(self, check_id: int, seconds: int) -> bool:
        """Take a check that nobody works on, for ``seconds`` by the database's clock. False if it is not to be had."""
        until = Now() + timedelta(seconds=seconds)
        return self.waiting().filter(pk=check_id).update(state=RUNNING, lease_until=until) == 1


class SourceCheck(models.Model):
    """One time that a source was read from end to end, to find what is wrong in it."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="checks")
    state = models.TextField(default=PLANNED)
    asked_by = models.TextField()
    asked_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    done_steps = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=1)
    doing = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    objects = SourceCheckQuerySet.as_manager()

    class Meta:
        ordering = ["-asked_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=one_of("state", (PLANNED, RUNNING, DONE, FAILED)), name="source_check_state_is_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(state=RUNNING) | models.Q(lease_until__isnull=False),
                name="source_check_running_has_a_lease",
            ),
            models.UniqueConstraint(
                fields=["source"],
                condition=models.Q(state__in=(PLANNED, RUNNING)),
                name="source_check_is_one_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"check of {self.source} on {self.asked_at}"

    @property
    def is_open(self) -> bool:
        return self.state in (PLANNED, RUNNING)


class SourceFinding(models.Model):
    """One thing that a check found, with how many rows or units, and one of them."""

    #: From the worst on.
    SEVERITIES: ClassVar[tuple[str, ...]] = ("refused", "left_out", "noted", "fine")

    check_run = models.ForeignKey(SourceCheck, on_delete=models.CASCADE, related_name="findings")
    position = models.PositiveIntegerField()
    table = models.TextField()
    about = models.TextField()
    severity = models.TextField()
    count = models.BigIntegerField()
    example = models.TextField(blank=True)
    message = models.TextField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["check_run", "position"], name="source_finding_position_is_unique"),
            models.CheckConstraint(
                condition=one_of("severity", ("refused", "left_out", "noted", "fine")),
                name="source_finding_severity_is_known",
            ),
            models.CheckConstraint(
                condition=one_of("table", ("exposures", "facts")), name="source_finding_table_is_known"
            ),
            models.CheckConstraint(condition=models.Q(count__gte=0), name="source_finding_count_is_not_negative"),
        ]

    def __str__(self) -> str:
        return self.message
