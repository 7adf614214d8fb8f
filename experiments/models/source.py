"""Where the data of an experiment are: registered once under a key, or given by paths beside a definition file."""

from pathlib import Path

from django.db import models

from experiments.sources.base import Columns, SourceSpec


class Source(models.Model):
    """A data source. ``key`` is set where it was registered for several experiments, and empty where one owns it."""

    key = models.CharField(max_length=63, null=True, unique=True)  # noqa: DJ001 - no key and an empty key differ
    kind = models.TextField()
    folder = models.TextField()
    exposures = models.TextField()
    facts = models.TextField()
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
            self.kind, self.exposures, self.facts, Path(self.folder), columns, dsn=self.dsn, schema=self.schema
        )

    @spec.setter
    def spec(self, spec: SourceSpec) -> None:
        self.kind, self.exposures, self.facts = spec.kind, spec.exposures, spec.facts
        self.folder, self.dsn, self.schema = str(spec.folder), spec.dsn, spec.schema
        self.unit_column, self.variant_column = spec.columns.unit, spec.columns.variant
        self.exposed_at_column, self.at_column = spec.columns.exposed_at, spec.columns.at
        self.left_at_column = spec.columns.left_at
