"""The catalog: what is measured and by whom, and where the data are. In as many queries whatever there is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

from django.db.models import Prefetch, Q

from experiments.models import Experiment, Look, Metric, MetricUse, Source
from experiments.models.look import DONE


@dataclass(frozen=True)
class Use:
    """What an experiment's plan in force makes of a metric."""

    key: str
    name: str
    state: str
    role: str
    term: str
    margin: float | None
    weight: float | None


@dataclass(frozen=True)
class MetricVersion:
    """One way in which a metric has been measured; the columns that do not belong to its kind are empty."""

    version: int
    kind: str
    better: str
    column: str
    numerator: str
    denominator: str
    cap: float | None
    event_type: str
    event_column: str
    gap_weeks: int
    uses: tuple[Use, ...]
    description: str = ""
    published_at: datetime | None = None
    current: bool = False


@dataclass(frozen=True)
class CatalogMetric:
    """A metric with its versions, the newest first."""

    key: str
    versions: tuple[MetricVersion, ...]

    @property
    def current(self) -> MetricVersion | None:
        """The version that `use:` takes, None where the metric is not in the catalog."""
        return next((version for version in self.versions if version.current), None)


@dataclass(frozen=True)
class Reading:
    """An experiment that reads a source, and what its newest finished look found there.

    ``error`` is why its newest look failed, empty if that did not.
    """

    key: str
    name: str
    state: str
    as_of: date | None
    first_fact: date | None
    last_fact: date | None
    fact_rows: int
    error: str


@dataclass(frozen=True)
class CatalogSource:
    """Where data are. ``key`` is empty where one experiment brought its own paths."""

    key: str
    kind: str
    folder: str
    exposures: str
    facts: str
    columns: tuple[tuple[str, str], ...]
    readings: tuple[Reading, ...]
    uploaded: bool = False


def metrics() -> tuple[CatalogMetric, ...]:
    """Return all metrics by key, with their versions and who uses each."""
    return _metrics(Q())


def metric(key: str) -> CatalogMetric | None:
    """Return one metric with its versions and who uses each, None if nobody has measured it."""
    return next(iter(_metrics(Q(key=key))), None)


def _metrics(wanted: Q) -> tuple[CatalogMetric, ...]:
    uses = MetricUse.objects.select_related("experiment").order_by("experiment__key")
    rows = Metric.objects.filter(wanted).prefetch_related(Prefetch("uses", uses)).order_by("key", "-version")
    return tuple(
        CatalogMetric(key, _versions(list(versions))) for key, versions in groupby(rows, key=lambda row: row.key)
    )


def _versions(rows: Sequence[Metric]) -> tuple[MetricVersion, ...]:
    """The versions of one metric, the newest first; the one published last is current."""
    published = [(row.published_at, row.version) for row in rows if row.published_at is not None]
    current = max(published)[1] if published else None
    return tuple(_version(row, row.version == current) for row in rows)


def _version(row: Metric, current: bool) -> MetricVersion:
    return MetricVersion(
        version=row.version, kind=row.kind, better=row.better, column=row.column, numerator=row.numerator,
        denominator=row.denominator, cap=row.cap, event_type=row.event_type, event_column=row.event_column,
        gap_weeks=row.gap_weeks, uses=tuple(_use(use) for use in row.uses.all()),
        description=row.description, published_at=row.published_at, current=current,
    )  # fmt: skip


def _use(use: MetricUse) -> Use:
    experiment = use.experiment
    return Use(
        experiment.key, experiment.name, experiment.standing, use.role, use.term or "", use.margin, use.weight
    )  # fmt: skip


def sources() -> tuple[CatalogSource, ...]:
    """Return the registered sources by key, then those of single experiments, with what was last read of each."""
    return _read_by(Q(key__isnull=False) | Q(experiments__isnull=False))


def source(source: Source) -> CatalogSource:
    """Return one source with who reads it."""
    return _read_by(Q(pk=source.pk))[0]


def _read_by(used: Q) -> tuple[CatalogSource, ...]:
    experiments = Experiment.objects.order_by("key")
    rows = list(Source.objects.filter(used).distinct().prefetch_related(Prefetch("experiments", experiments)))
    plans = [experiment.plan_id for row in rows for experiment in row.experiments.all()]
    looks = Look.objects.filter(plan__in=plans).distinct("plan_id")
    done = {
        look.plan_id: look for look in looks.filter(state=DONE).order_by("plan_id", "-as_of", "-finished_at", "-pk")
    }
    newest = {look.plan_id: look for look in looks.order_by("plan_id", "-as_of", "-planned_at", "-pk")}
    found = [
        _source(row, (_reading(one, done.get(one.plan_id or 0), newest.get(one.plan_id or 0))
                      for one in row.experiments.all()))
        for row in rows
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (not one.key, one.key, [reading.key for reading in one.readings])))


def _source(row: Source, readings: Iterable[Reading]) -> CatalogSource:
    columns = [
        ("unit", row.unit_column), ("variant", row.variant_column), ("exposed at", row.exposed_at_column),
        ("at", row.at_column), ("left at", row.left_at_column or ""),
    ]  # fmt: skip
    # Where uploads lie is nobody's business: they go by the names they were sent with.
    tables = {name: table.label for name, table in row.tables.items()} if row.uploaded else {}
    return CatalogSource(
        row.key or "", row.kind, "" if row.uploaded else row.place, tables.get("exposures", row.exposures),
        tables.get("facts", row.facts), tuple(columns), tuple(readings), row.uploaded,
    )  # fmt: skip


def _reading(experiment: Experiment, look: Look | None, newest: Look | None) -> Reading:
    return Reading(
        key=experiment.key, name=experiment.name, state=experiment.standing, as_of=look.as_of if look else None,
        first_fact=look.first_fact if look else None, last_fact=look.last_fact if look else None,
        fact_rows=look.fact_rows if look else 0, error=newest.error if newest else "",
    )  # fmt: skip
