"""What people do about who may enter: testers get a variant, enrollment is frozen, a holdout is released."""

from collections.abc import Iterable
from datetime import datetime

import numpy as np
from django.db import transaction

from experiments.assignment import fingerprint
from experiments.models import CannotChange, Experiment, ForcedVariant, Traffic
from experiments.models.states import ENROLLMENT_CLOSED, RUNNING
from experiments.services.lifecycle import check_revision
from experiments.services.results import find_experiment
from experiments.services.suggest import did_you_mean
from experiments.services.traffic import close
from experiments.sources import registry
from experiments.sources.base import SourceProblem

#: How units that had entered are kept: unsigned, 8 bytes, big-endian, sorted.
STORED = np.dtype(">u8")

LONGEST_UNIT = 1024


@transaction.atomic
def force(key: str, unit: str, variant: str | None, *, by: str, now: datetime) -> None:
    """Give a tester a variant of an experiment, or with None take it back. Their exposures are never counted.

    Raises NoSuchExperiment, CannotChange.
    """
    experiment = find_experiment(key)
    variants = [one.key for one in experiment.current_plan.load().variants]
    if experiment.kind != "experiment":
        raise CannotChange(f"{key} is a holdout; testers get variants of experiments")
    if not 0 < len(unit) <= LONGEST_UNIT:
        raise CannotChange(f"a unit is named by 1 to {LONGEST_UNIT:,} characters (found {len(unit):,})")
    rows = ForcedVariant.objects.filter(experiment=experiment, unit=unit)
    if variant is None:
        if not rows.delete()[0]:
            raise CannotChange(f"`{unit}` is no tester of {key}")
    elif variant not in variants:
        raise CannotChange(f"{key} has no variant `{variant}`{did_you_mean(variant, variants)}")
    else:
        ForcedVariant.objects.update_or_create(experiment=experiment, unit=unit, defaults={"variant": variant})
    experiment.record("tester changed", by=by, now=now, told={"unit": unit, "variant": variant})


@transaction.atomic
def freeze(key: str, units: Iterable[str], *, by: str, now: datetime) -> int:
    """Let nobody enter any more but ``units``, which have entered and keep their variant; return their number.

    Measuring goes on. Assignment remembers no unit, so whoever freezes says who is in. Raises NoSuchExperiment,
    CannotChange.
    """
    experiment = find_experiment(key)
    traffic = _traffic(experiment)
    if experiment.kind != "experiment" or experiment.state not in (RUNNING, ENROLLMENT_CLOSED):
        raise CannotChange(f"{key} is {experiment.standing}; enrollment of a running experiment can be frozen")
    if traffic.frozen_at is not None:
        raise CannotChange(f"enrollment of {key} was frozen on {traffic.frozen_at:%Y-%m-%d}; who is in stays in")
    entered = np.unique(np.fromiter((fingerprint(unit) for unit in units), dtype=np.uint64))
    if not entered.size:
        raise CannotChange(f"nobody has entered {key}: without any unit it would stop for everybody")
    traffic.frozen_at, traffic.entered = now, entered.astype(STORED).tobytes()
    traffic.save(update_fields=["frozen_at", "entered"])
    experiment.record("enrollment frozen", by=by, now=now, told={"units": int(entered.size)})
    return int(entered.size)


def freeze_exposed(key: str, *, by: str, now: datetime) -> int:
    """Freeze enrollment for all but the units that the experiment's own exposures name; see ``freeze``.

    A program that assigns but has not logged an exposure yet is not known: log first. Raises NoSuchExperiment,
    CannotChange.
    """
    experiment = find_experiment(key)
    try:
        with registry.open_source(experiment.read_from, experiment.today(now)) as source:
            units = source.entered(experiment.current_plan.load())
    except SourceProblem as problem:
        raise CannotChange(f"the exposures of {key} cannot be read: {problem}") from problem
    return freeze(key, units, by=by, now=now)


@transaction.atomic
def release(key: str, *, by: str, now: datetime, reason: str, revision: int | None = None) -> Traffic:
    """End a holdout: from tomorrow on its units get what was launched. Raises NoSuchExperiment, CannotChange.

    ``revision`` is the one that was looked at: if it is not the newest, nothing is done.
    """
    experiment = find_experiment(key)
    check_revision(experiment, revision)
    traffic = _traffic(experiment)
    if traffic.held_out is None:
        raise CannotChange(f"{key} is an experiment; holdouts are released")
    if experiment.started_at is None:
        raise CannotChange(f"{key} has not started; there is nobody to release")
    if traffic.released_on is not None:
        raise CannotChange(f"{key} was released; it holds nobody out from {traffic.released_on}")
    if not reason.strip():
        raise CannotChange("say why; it stands in the history for good")
    close(traffic, experiment.today(now))
    experiment.record("released", by=by, now=now, reason=reason.strip(), told={"from": str(traffic.released_on)})
    return traffic


def testers(experiment: Experiment) -> list[ForcedVariant]:
    """Who gets a variant of an experiment by name, in the order of units."""
    return list(ForcedVariant.objects.filter(experiment=experiment))


def slice_of(experiment: Experiment) -> Traffic | None:
    """What a holdout that has started holds out, or has held out until it was released; None of anything else."""
    if experiment.started_at is None:
        return None
    return Traffic.objects.filter(experiment=experiment, held_out__isnull=False).first()


def _traffic(experiment: Experiment) -> Traffic:
    traffic = Traffic.objects.for_update_of(experiment)
    if traffic is None:
        raise CannotChange(f"{experiment} takes no traffic yet; apply its definition again")
    return traffic
