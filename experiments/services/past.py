"""Past looks: what each said or would have said, and any of them as a scorecard, stored or rebuilt."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import cast

from django.db.models import QuerySet

from analysis import scorecard as scorecards
from analysis import windows
from analysis.replay import NaiveLaunch, Replay
from analysis.results import Action, Scorecard
from experiments.models import CurrentTriangle, Experiment, Look, RecommendationRow, read_replay
from experiments.models.look import DONE
from experiments.services.results import NoLookYet, find_experiment, stored_scorecard

#: Rebuilt scorecards that a process keeps: somebody who moves through looks comes by the same ones again.
KEPT = 32


@dataclass(frozen=True)
class Advice:
    action: Action
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class PastLook:
    """A look with its advice by treatment: what it said if it was ``taken``, what it would have said otherwise."""

    number: int
    as_of: date
    taken: bool
    advice: Mapping[str, Advice]


@dataclass(frozen=True)
class History:
    """All looks up to the newest one, oldest first, and the two-week test beside them."""

    looks: tuple[PastLook, ...] = ()
    naive: tuple[NaiveLaunch, ...] = ()


def history(key: str) -> History:
    """Return the looks that were taken and those that could have been. Raises NoSuchExperiment.

    Weekly looks that were not taken come from the replay that the newest look stored.
    """
    experiment = find_experiment(key)
    newest = _done(experiment).order_by("-as_of", "-finished_at", "-pk").first()
    if newest is None:
        return History()
    replay = read_replay(newest)
    looks = {look.as_of: look for look in (*_replayed(replay), *_taken(experiment))}
    kept = _one_a_number(looks[day] for day in sorted(looks) if day <= newest.as_of)
    return History(tuple(kept), replay.naive)


def scorecard_as_of(key: str, as_of: date | None, *, for_page: bool = False) -> tuple[Scorecard, date | None]:
    """Return the scorecard as it stood on a day, and the day of the look from whose data it was rebuilt.

    None for that day: it is the look that was taken then. ``for_page`` as in ``stored_scorecard``. Raises
    NoSuchExperiment, NoLookYet.
    """
    try:
        return stored_scorecard(key, as_of, for_page=for_page), None
    except NoLookYet:
        if as_of is None:
            raise
        rebuilt = _rebuilt_as_of(key, as_of)
        if rebuilt is None:
            raise
        return rebuilt


def _rebuilt_as_of(key: str, as_of: date) -> tuple[Scorecard, date] | None:
    """A weekly look that nobody took, from the triangle of the newest one."""
    experiment = find_experiment(key)
    plan = experiment.current_plan.load()
    head = CurrentTriangle.objects.filter(plan=experiment.plan_id).first()
    if head is None or as_of not in windows.weekly_looks(plan, head.as_of):
        return None
    return replace(_rebuilt(head.pk, as_of), plan=plan), head.as_of


@lru_cache(maxsize=KEPT)
def _rebuilt(triangle_id: int, as_of: date) -> Scorecard:
    """A new look's triangle has a new number, so a number stands for the same data for good."""
    head = CurrentTriangle.objects.select_related("plan__experiment").get(pk=triangle_id)
    return scorecards.build(head.load().at(as_of))


def _done(experiment: Experiment) -> QuerySet[Look]:
    return Look.objects.filter(plan=experiment.plan_id, state=DONE)


def _replayed(replay: Replay) -> Iterable[PastLook]:
    numbers = {step.as_of: step.look for step in replay.steps}
    advice: dict[date, dict[str, Advice]] = {}
    for step in replay.steps:
        advice.setdefault(step.as_of, {})[step.variant] = Advice(step.action, step.reasons)
    return [PastLook(numbers[day], day, False, said) for day, said in advice.items()]


def _taken(experiment: Experiment) -> Iterable[PastLook]:
    """The looks that were taken, by day; of two of one day the one finished last."""
    rows = RecommendationRow.objects.filter(look__plan=experiment.plan_id, look__state=DONE)
    told = rows.order_by("look__as_of", "look__finished_at", "look__pk", "position").values_list(
        "look__as_of", "look__number", "look__pk", "variant", "action", "reasons"
    )
    found: dict[int, PastLook] = {}
    for day, number, pk, variant, action, reasons in told:
        look = found.setdefault(pk, PastLook(number, day, True, {}))
        said = {**look.advice, variant: Advice(cast(Action, action), tuple(reasons))}
        found[pk] = replace(look, advice=said)
    return list(found.values())


def _one_a_number(looks: Iterable[PastLook]) -> Iterable[PastLook]:
    """Leave out a look that was not taken where a later one of the same week was."""
    in_order = list(looks)
    taken = {look.number: look.as_of for look in in_order if look.taken}
    return [look for look in in_order if look.taken or taken.get(look.number, look.as_of) <= look.as_of]
