"""Decide on a treatment, with the evidence frozen beside the decision; and the log that shows what became of it.

What is recommended is a pure function of the data; what is decided is a person's act. The two are kept apart: a
decision against the recommendation needs a reason, and neither changes the other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from analysis import results
from analysis.plan import Metric, Window
from analysis.plan import Plan as PlanBody
from analysis.results import Action, EffectRow, ReversalRow
from experiments import models as tables
from experiments.models import CannotDecide, Decision, Evidence, Experiment, Look, Person, RollbackRow
from experiments.models import evidence as evidences
from experiments.models.decision import BLIND
from experiments.models.look import DONE
from experiments.services import access, traffic
from experiments.services.lifecycle import check_revision
from experiments.services.results import find_experiment

#: Decisions on a page of the log.
PAGE = 20

#: The windows in which a primary metric is followed after a decision; other metrics in the window that decides.
FOLLOWED = ("early", "late")


@dataclass(frozen=True)
class Situation:
    """What somebody who is about to decide has before them.

    Attributes:
        look_id, evidence: the newest finished look, as it would be frozen; None without any.
        last: the decision on this treatment that stands.
    """

    experiment: Experiment
    plan: PlanBody
    variant: str
    look_id: int | None
    evidence: Evidence | None
    last: Decision | None

    @property
    def recommended(self) -> Action | None:
        advice = self.evidence.recommendation if self.evidence else None
        return advice.action if advice else None


@dataclass(frozen=True)
class Followed:
    """One metric in one window: what the decision saw, and what the newest look says. None where it says nothing."""

    metric: Metric
    window: Window
    then: EffectRow | None
    now: EffectRow | None
    reversal_then: results.ReversalState | None
    reversal_now: results.ReversalState | None


@dataclass(frozen=True)
class Since:
    """What became true after a decision, as of the newest look."""

    as_of: date
    recommended: Action | None
    followed: tuple[Followed, ...]


@dataclass(frozen=True)
class Logged:
    """A decision with its evidence, and what is known since. ``since`` is None until a newer look is there."""

    decision: Decision
    evidence: Evidence | None
    plan: PlanBody
    since: Since | None


@dataclass(frozen=True)
class CriterionReading:
    """A rollback criterion at one look."""

    as_of: date
    row: results.RollbackRow


def situation(key: str, variant: str) -> Situation:
    """Return what there is to decide on. Raises NoSuchExperiment, CannotDecide for an unknown treatment."""
    experiment = find_experiment(key)
    plan = experiment.current_plan.load()
    treatments = [treatment.key for treatment in plan.treatments]
    if variant not in treatments:
        raise CannotDecide(f"{key} has no treatment `{variant}`; it has {', '.join(treatments)}")
    look = _newest_look(experiment)
    return Situation(
        experiment=experiment, plan=plan, variant=variant, look_id=look.pk if look else None,
        evidence=evidences.of_look(look, variant) if look else None, last=experiment.last_decisions().get(variant),
    )  # fmt: skip


def decide(
    key: str,
    variant: str,
    action: Action,
    *,
    reason: str,
    look_id: int | None,
    revision: int,
    by: Person,
    now: datetime,
) -> Decision:
    """Record a decision. ``look_id`` and ``revision`` are those that were read: anything newer has to be read first.

    Raises NoSuchExperiment, NotAllowed, CannotChange.
    """
    experiment = find_experiment(key)
    access.require(by, "decide", experiment)
    check_revision(experiment, revision)
    look, why = _newest_look(experiment), reason.strip()
    if (look.pk if look else None) != look_id:
        what = f"the look as of {look.as_of}" if look else "no look any more"
        raise CannotDecide(f"there is {what} since this page was opened; read it first")
    evidence = evidences.of_look(look, variant) if look else None
    _check_grounds(key, action, evidence, why)
    with transaction.atomic():
        experiment.decide(variant, action, by=by.email, now=now, reason=why)
        decision = Decision.on(
            experiment, evidence, look, variant=variant, action=action, reason=why, by=by, now=now
        )  # fmt: skip
        decision.save()
        traffic.let_go(experiment, now)
    return decision


def _check_grounds(key: str, action: Action, evidence: Evidence | None, reason: str) -> None:
    if evidence is None and action not in BLIND:
        raise CannotDecide(f"{key} has no look to decide on; without one it can only be stopped or rolled back")
    advice = evidence.recommendation if evidence else None
    if not reason and (advice is None or advice.action != action):
        against = f"the recommendation is {advice.action.replace('_', ' ')}" if advice else "nothing is recommended"
        raise CannotDecide(f"{against}: say why it is decided otherwise")


def log(key: str | None = None, older_than: int | None = None, limit: int = PAGE) -> tuple[Logged, ...]:
    """Return the newest decisions, of one experiment or of all, in a constant number of queries.

    ``older_than``: only those recorded before the decision of this number.
    """
    rows = Decision.objects.select_related("by", "look__plan__experiment", "experiment__plan__experiment")
    rows = rows.order_by("-pk")
    rows = rows if key is None else rows.filter(experiment__key=key)
    rows = rows if older_than is None else rows.filter(pk__lt=older_than)
    decisions = list(rows[:limit])
    newest = _Newest.of({decision.experiment for decision in decisions})
    return tuple(_logged(decision, newest) for decision in decisions)


def criteria_by_look(key: str) -> tuple[CriterionReading, ...]:
    """Return every rollback criterion at every finished look under the plan in force, newest look first."""
    experiment = find_experiment(key)
    looks = _finished(experiment).order_by("as_of", "-finished_at", "-pk").distinct("as_of")
    rows = RollbackRow.objects.filter(look__in=looks.values("pk")).select_related("look")
    return tuple(
        CriterionReading(row.look.as_of, row.to_result(results.RollbackRow))
        for row in rows.order_by("-look__as_of", "position")
    )


def frozen_evidence(decision_id: int) -> tuple[str, Mapping[str, Any]]:
    """Return an experiment's key and a decision's evidence as it was stored. Raises Decision.DoesNotExist."""
    decision = Decision.objects.select_related("experiment").get(pk=decision_id, document__isnull=False)
    document: Mapping[str, Any] = decision.document or {}
    return decision.experiment.key, document


def _finished(experiment: Experiment) -> QuerySet[Look]:
    return Look.objects.filter(plan=experiment.plan_id, state=DONE)


def _newest_look(experiment: Experiment) -> Look | None:
    looks = _finished(experiment).select_related("plan__experiment")
    return looks.order_by("-as_of", "-finished_at", "-pk").first()


@dataclass(frozen=True)
class _Newest:
    """What the newest looks of some experiments say: read at once, whatever their number."""

    looks: Mapping[int, Look]
    effects: Mapping[tuple[int, str, str, str], EffectRow]
    reversals: Mapping[tuple[int, str, str], ReversalRow]
    recommended: Mapping[tuple[int, str], Action]

    @classmethod
    def of(cls, experiments: Iterable[Experiment]) -> "_Newest":
        plans = [experiment.plan_id for experiment in experiments]
        looks = Look.objects.filter(plan__in=plans, state=DONE).distinct("plan_id")
        by_plan = {look.plan_id: look for look in looks.order_by("plan_id", "-as_of", "-finished_at", "-pk")}
        found = [look.pk for look in by_plan.values()]
        effects = tables.EffectRow.objects.filter(look__in=found, segment__isnull=True)
        reversals = tables.ReversalRow.objects.filter(look__in=found)
        advice = tables.RecommendationRow.objects.filter(look__in=found)
        return cls(
            by_plan,
            {(row.look_id, row.variant, row.metric, row.window): row.to_result(EffectRow) for row in effects},
            {(row.look_id, row.variant, row.metric): row.to_result(ReversalRow) for row in reversals},
            {(row.look_id, row.variant): row.to_result(results.RecommendationRow).action for row in advice},
        )


def _logged(decision: Decision, newest: _Newest) -> Logged:
    plan = (decision.look.plan if decision.look else decision.experiment.current_plan).load()
    evidence = decision.evidence
    look = newest.looks.get(decision.experiment.plan_id or 0)
    since = None
    if look is not None and (evidence is None or look.pk != decision.look_id):
        since = Since(
            as_of=look.as_of,
            recommended=newest.recommended.get((look.pk, decision.variant)),
            followed=tuple(_followed(decision.variant, plan, evidence, look.pk, newest)),
        )
    return Logged(decision, evidence, plan, since)


def _followed(
    variant: str, plan: PlanBody, evidence: Evidence | None, look_id: int, newest: _Newest
) -> Iterable[Followed]:
    for metric in plan.estimated_metrics:
        if metric.role not in ("primary", "guardrail"):
            continue
        reversal_then = evidence.reversal(metric.key) if evidence else None
        reversal_now = newest.reversals.get((look_id, variant, metric.key))
        for window in FOLLOWED if metric.role == "primary" else (metric.deciding_window,):
            yield Followed(
                metric=metric,
                window=plan.window(window),
                then=evidence.effect(metric.key, window) if evidence else None,
                now=newest.effects.get((look_id, variant, metric.key, window)),
                reversal_then=reversal_then.state if reversal_then else None,
                reversal_now=reversal_now.state if reversal_now else None,
            )
