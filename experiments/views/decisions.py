"""Deciding on a treatment, the log of decisions, and the evidence behind them."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from analysis.plan import Metric, Plan, Window
from analysis.results import RollbackRow
from experiments.forms import ACTION_WORDS, DecideForm
from experiments.holdback_table import foreseen
from experiments.models import CannotChange, Decision, Evidence
from experiments.services import decisions, holdbacks, results
from experiments.services.decisions import PAGE, Followed, Logged, Situation
from experiments.views.advice import ACTIONS
from experiments.views.estimates import Estimate, of_effect
from experiments.views.guard import needs, person_of


@dataclass(frozen=True)
class FollowedRow:
    """A metric in a window, then and now."""

    metric: Metric
    weeks: str
    then: Estimate | None
    now: Estimate | None
    reversal: str


@dataclass(frozen=True)
class EvidenceRow:
    metric: Metric
    role: str
    window: str
    estimate: Estimate
    verdict: str


@dataclass(frozen=True)
class CriterionRow:
    """A rollback criterion with its distance, at the look of a day."""

    as_of: date
    row: RollbackRow
    weeks: str


@dataclass(frozen=True)
class Card:
    """A decision as the log shows it."""

    entry: Logged
    action: str
    tone: str
    recommended: str
    followed: tuple[FollowedRow, ...]
    evidence: tuple[EvidenceRow, ...]
    criteria: tuple[CriterionRow, ...]

    @property
    def decision(self) -> Decision:
        return self.entry.decision


@require_GET
@needs("read")
def log(request: HttpRequest) -> HttpResponse:
    """All decisions, newest first, a page at a time."""
    older_than = request.GET.get("older", "")
    if older_than and not older_than.isdecimal():
        raise Http404(f"older is {older_than}; it must be the number of a decision")
    found = decisions.log(older_than=int(older_than) if older_than else None, limit=PAGE + 1)
    cards = [card_of(entry) for entry in found[:PAGE]]
    return render(request, "decisions.html", {"cards": cards, "more": len(found) > PAGE, "paged": bool(older_than)})


@require_GET
@needs("read")
def evidence(request: HttpRequest, number: int) -> HttpResponse:
    """The frozen evidence of a decision, as it was stored."""
    try:
        key, document = decisions.frozen_evidence(number)
    except Decision.DoesNotExist:
        raise Http404(f"there is no decision {number} with evidence") from None
    response = JsonResponse(document)
    response["Content-Disposition"] = f'attachment; filename="{key}-decision-{number}.json"'
    return response


@require_http_methods(["GET", "POST"])
@needs("decide")
def decide(request: HttpRequest, key: str, variant: str) -> HttpResponse:
    """The form; once it is filled in well, the decision is recorded and the experiment's history is shown."""
    try:
        situation = decisions.situation(key, variant)
    except (results.NoSuchExperiment, CannotChange) as missing:
        raise Http404(str(missing)) from None
    if request.method == "GET":
        initial = {"look": situation.look_id, "revision": situation.experiment.revision}
        return _form(request, situation, DecideForm(initial=initial, recommended=situation.recommended))
    form = DecideForm(request.POST, recommended=situation.recommended)
    if not form.is_valid():
        return _form(request, situation, form, status=422)
    values = form.cleaned_data
    try:
        decisions.decide(
            key, variant, values["action"], reason=values["reason"], look_id=values["look"],
            revision=values["revision"], by=person_of(request), now=timezone.now(),
        )  # fmt: skip
    except CannotChange as refusal:
        return _form(request, situation, form, refusal=str(refusal), status=409)
    return HttpResponseRedirect(reverse("history", args=[key]))


def _form(
    request: HttpRequest, situation: Situation, form: DecideForm, refusal: str = "", status: int = 200
) -> HttpResponse:
    frozen, now = situation.evidence, timezone.now()
    context: dict[str, Any] = {
        "key": situation.experiment.key,
        "situation": situation,
        "form": form,
        "refusal": refusal,
        "choices": [(action, *words) for action, words in ACTION_WORDS.items()],
        "chosen": form["action"].value(),
        "recommended": ACTIONS[situation.recommended] if situation.recommended else None,
        "rows": evidence_rows(situation.plan, frozen) if frozen else (),
        "criteria": [criterion_row(frozen.as_of, row) for row in frozen.rollback] if frozen else [],
        "last": ACTIONS[situation.last.ending][0] if situation.last else "",
        "foreseen": foreseen(situation.plan, holdbacks.ahead(situation.plan, situation.experiment.today(now))),
        "offered": "decide" in situation.experiment.offers(now),
    }
    return render(request, "decide.html", context, status=status)


def card_of(entry: Logged) -> Card:
    """Arrange one decision for the log."""
    decision, frozen = entry.decision, entry.evidence
    recommended = ACTIONS[decision.advised][0] if decision.advised else "nothing"
    return Card(
        entry=entry,
        action=ACTIONS[decision.ending][0],
        tone="open" if decision.follows_advice else "within",
        recommended=recommended,
        followed=tuple(_followed(one) for one in entry.since.followed) if entry.since else (),
        evidence=evidence_rows(entry.plan, frozen) if frozen else (),
        criteria=tuple(criterion_row(frozen.as_of, row) for row in frozen.rollback) if frozen else (),
    )


def evidence_rows(plan: Plan, frozen: Evidence) -> tuple[EvidenceRow, ...]:
    """Every estimate of the evidence, in the plan's order of metrics and windows."""
    metrics = {metric.key: metric for metric in plan.metrics}
    return tuple(
        EvidenceRow(
            metric=metrics[row.metric],
            role=row.role,
            window=f"{row.window}, weeks {row.start_week}-{row.end_week - 1}",
            estimate=of_effect(metrics[row.metric], row),
            verdict=(row.verdict or "").replace("_", "-"),
        )
        for row in frozen.effects
        if row.metric in metrics
    )


def criterion_row(as_of: date, row: RollbackRow) -> CriterionRow:
    known = row.start_week is not None and row.end_week is not None
    return CriterionRow(as_of, row, Window("", row.start_week or 0, row.end_week or 1).label if known else "")


def _followed(one: Followed) -> FollowedRow:
    states = [state for state in (one.reversal_then, one.reversal_now) if state]
    reversal = " → ".join(dict.fromkeys(states)) if states != ["none"] * len(states) else ""
    return FollowedRow(
        metric=one.metric,
        weeks=one.window.label,
        then=of_effect(one.metric, one.then) if one.then else None,
        now=of_effect(one.metric, one.now) if one.now else None,
        reversal=reversal,
    )
