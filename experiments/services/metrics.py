"""The catalog of metrics: published versions that definitions take with `use:`, and who uses each of them.

A version says what is measured and never changes. Publishing another definition makes another version; plans keep the
one they were made with.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from analysis import plan as plans
from experiments import definitions
from experiments.definitions import NotInCatalog
from experiments.definitions.shared import written
from experiments.models import AuditEntry, Metric, MetricUse
from experiments.models.audit import METRIC
from experiments.services.apply import APPLY_LOCK
from experiments.services.suggest import did_you_mean


class NoSuchMetric(LookupError):
    """There is no metric with this key, or no such version of it. The message says so."""


class CannotPublish(Exception):
    """A metric that cannot go into the catalog as asked. The message says why."""


class StoredCatalog:
    """The catalog as the parser of definitions asks for it; see ``definitions.Catalog``."""

    def metric(self, key: str, version: int | None, user: str) -> plans.Metric:
        """Return a version of a shared metric.

        Without a version it is the one that was published last; for a plan that is frozen already it is the one in
        that plan, so that an unchanged definition stays unchanged.
        """
        if version is not None:
            return self._pinned(key, version)
        frozen = MetricUse.objects.filter(
            experiment__key=user, experiment__plan__frozen_at__isnull=False, metric__key=key,
            metric__published_at__isnull=False,
        ).select_related("metric")  # fmt: skip
        use = frozen.first()
        if use is not None:
            return use.metric.measures
        newest = current(key)
        if newest is None:
            raise NotInCatalog(_missing(key))
        return newest.measures

    def _pinned(self, key: str, version: int) -> plans.Metric:
        found = Metric.objects.filter(key=key, version=version).first()
        if found is not None:
            return found.measures
        there = list(Metric.objects.filter(key=key).order_by("version").values_list("version", flat=True))
        if not there:
            raise NotInCatalog(_missing(key))
        raise NotInCatalog(f"`{key}` has no version {version}; it has {', '.join(str(one) for one in there)}")


def current(key: str) -> Metric | None:
    """Return the version of a metric that `use:` takes, None if it is not in the catalog."""
    return Metric.objects.published().filter(key=key).first()


def find(key: str, version: int | None = None) -> Metric:
    """Return the newest version of a metric, or this one. Raises NoSuchMetric."""
    versions = Metric.objects.filter(key=key).order_by("-version")
    found = (versions if version is None else versions.filter(version=version)).first()
    if found is None:
        keys = sorted(set(Metric.objects.values_list("key", flat=True)))
        raise NoSuchMetric(f"there is no metric `{key}`{did_you_mean(key, keys)}")
    return found


def publish(values: Mapping[str, Any], description: str, *, by: str, now: datetime, new: bool = False) -> Metric:
    """Put a metric into the catalog, from the keys that a definition would have: a version there is, or a new one.

    ``new``: the key must not be in the catalog yet. Raises DefinitionProblem, CannotPublish.
    """
    measured = definitions.metric_of(values)
    with transaction.atomic():
        with connection.cursor() as cursor:  # versions are numbered by definitions that are applied, too
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [APPLY_LOCK])
        before = current(measured.key)
        if new and before is not None:
            raise CannotPublish(f"`{measured.key}` is in the catalog already; edit it to publish another version")
        metric = Metric.objects.register(measured)
        if before is not None and before.pk == metric.pk and before.description == description:
            return metric
        metric.description, metric.published_at = description, now
        metric.save(update_fields=["description", "published_at"])
        AuditEntry.objects.record(
            by=by, verb="metric published", kind=METRIC, key=metric.key, now=now,
            before=_said(before) if before is not None else None, after=_said(metric),
        )  # fmt: skip
    return metric


def publish_version(key: str, version: int, *, by: str, now: datetime) -> Metric:
    """Make a version that is there the one that `use:` takes. Raises NoSuchMetric, CannotPublish."""
    metric = find(key, version)
    newest = current(key)
    if newest is not None and newest.pk == metric.pk:
        raise CannotPublish(f"version {version} is what `use: {key}` takes already")
    return publish(written(metric.measures), metric.description, by=by, now=now)


def audit(key: str) -> tuple[AuditEntry, ...]:
    """Return what was done to a metric of the catalog, newest first."""
    return tuple(AuditEntry.objects.of(METRIC, key))


def _said(metric: Metric) -> dict[str, Any]:
    event = metric.measures.event
    values = written(metric.measures)
    values.pop("event", None)
    if event is not None:
        values |= {"event": event.type, "event column": event.column, "gap weeks": event.gap_weeks or None}
    return {"version": metric.version, "description": metric.description or None, **values}


def _missing(key: str) -> str:
    known = sorted(set(Metric.objects.published().values_list("key", flat=True)))
    if Metric.objects.filter(key=key).exists():
        return f"`{key}` is measured by experiments here, but is not in the catalog; publish it on its page first"
    return f"there is no metric `{key}` in the catalog{did_you_mean(key, known)}"
