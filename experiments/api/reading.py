"""Operations that read experiments and what their looks say."""

from collections.abc import Callable
from typing import Annotated, Any, cast

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from ninja import Query, Router

from analysis.results import Scorecard, TrajectoryKind
from experiments.api.door import Token, token_of
from experiments.api.holdout_schema import HoldoutScorecardOut
from experiments.api.parameters import KEY_PATTERN, AsOf, Day, Key, Name, answers
from experiments.api.problems import FieldProblem, Refused
from experiments.api.schemas import (
    ExperimentBrief,
    ExperimentOut,
    Experiments,
    LookOut,
    Looks,
    Me,
    PlanOut,
    Replay,
    ReversedOut,
    Standing,
    Survival,
    Trajectories,
)
from experiments.api.scorecard_schema import Recommendation, ScorecardOut
from experiments.services import holdouts, past, portfolio, replays, results, scorecards
from experiments.services.portfolio import PortfolioEntry
from experiments.services.suggest import did_you_mean

router = Router(auth=Token("read"), tags=["Reading"])

#: Experiments on a page, if not said otherwise, and at most.
PAGE, LONGEST_PAGE = 100, 500


@router.get("/me", response=answers(Me), summary="Whose token this is")
def me(request: HttpRequest) -> Me:
    """Ask this first: a token that is not good is told why."""
    token = token_of(request)
    return Me(
        email=token.owner.email, role=token.owner.role, token=token.prefix, scopes=token.scopes,
        expires_at=token.expires_at,
    )  # fmt: skip


@router.get("/experiments", response=answers(Experiments), summary="All experiments and holdouts")
def experiments(
    request: HttpRequest,
    standing: Annotated[Standing | None, Query()] = None,
    owner: Annotated[Name | None, Query(description="The e-mail address that the definition names")] = None,
    after: Annotated[str | None, Query(pattern=KEY_PATTERN, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = PAGE,
) -> Experiments:
    """By key, a page at a time."""
    found = [
        entry
        for entry in portfolio.portfolio(timezone.now())
        if (after is None or entry.key > after) and standing in (None, entry.state) and owner in (None, entry.owner)
    ]
    shown = found[:limit]
    return Experiments(
        experiments=[_brief(entry) for entry in shown], next=shown[-1].key if len(found) > limit else None
    )  # fmt: skip


@router.get("/experiments/{key}", response=answers(ExperimentOut, 404), summary="One experiment with its plan")
def experiment(request: HttpRequest, key: Key) -> ExperimentOut:
    """The plan in force and where it stands. What its looks say is the scorecard."""
    found = results.find_experiment(key)
    plan = found.current_plan
    return ExperimentOut(
        key=found.key, name=found.name, kind=found.kind, owner=found.owner,
        owners=[person.email for person in found.owners.all()], hypothesis=found.hypothesis,
        standing=cast(Standing, found.standing), revision=found.revision, source=found.source.key,
        created_at=found.created_at, started_at=found.started_at, enrollment_closed_at=found.enrollment_closed_at,
        decided_at=found.decided_at, archived_at=found.archived_at,
        plan=PlanOut(version=plan.version, digest=plan.digest, frozen_at=plan.frozen_at, body=plan.body),
    )  # fmt: skip


@router.get(
    "/experiments/{key}/definition",
    response=answers(None, 404),
    openapi_extra={"responses": {200: {"content": {"application/yaml": {"schema": {}}}}}},
    summary="The definition file",
)
def definition(request: HttpRequest, key: Key) -> HttpResponse:
    """The text that was applied last."""
    return HttpResponse(results.find_experiment(key).definition, content_type="application/yaml; charset=utf-8")


@router.get("/experiments/{key}/looks", response=answers(Looks, 404), summary="Looks that were asked for")
def looks(request: HttpRequest, key: Key) -> Looks:
    """Under the plan in force, oldest day first."""
    return Looks(looks=[LookOut.from_orm(status) for status in results.looks(key)])


@router.get("/experiments/{key}/looks/{as_of}", response=answers(LookOut, 404), summary="How far a look is")
def look(request: HttpRequest, key: Key, as_of: Day) -> LookOut:
    """Ask again every few seconds until ``state`` is done or failed."""
    return LookOut.from_orm(results.look_status(key, as_of))


@router.get(
    "/experiments/{key}/scorecard",
    response=answers(ScorecardOut | HoldoutScorecardOut, 404),
    summary="The scorecard of a look",
)
def scorecard(request: HttpRequest, key: Key, as_of: AsOf = None) -> HttpResponse:
    """The same JSON as `manage.py scorecard --format json`; a holdout has more. Floats are not rounded."""
    card = card_of(key, as_of)
    return JsonResponse(holdouts.whole_json(card, holdouts.beside(card)))


@router.get(
    "/experiments/{key}/trajectories", response=answers(Trajectories, 404), summary="Effects by week since exposure"
)
def trajectories(
    request: HttpRequest,
    key: Key,
    as_of: AsOf = None,
    metric: Name | None = None,
    variant: Name | None = None,
    kind: Annotated[TrajectoryKind | None, Query()] = None,
) -> HttpResponse:
    """Of all metrics, treatments and kinds, or of the ones that are named."""
    card = card_of(key, as_of)
    kept = _chosen(card, metric, variant, events=False)
    told = scorecards.to_json(card)
    rows = [row for row in told["trajectory"] if kept(row) and kind in (None, row["kind"])]
    return JsonResponse({"key": told["key"], "as_of": told["as_of"], "trajectory": rows})


@router.get("/experiments/{key}/survival", response=answers(Survival, 404), summary="Times to event")
def survival(
    request: HttpRequest, key: Key, as_of: AsOf = None, metric: Name | None = None, variant: Name | None = None
) -> HttpResponse:
    """Curves of every variant and what treatments differ by; with `variant`, that treatment and the control."""
    card = card_of(key, as_of)
    kept, told = _chosen(card, metric, variant, events=True), scorecards.to_json(card)
    control = card.plan.control.key
    curves = [
        row for row in told["survival"] if kept(row | ({"variant": variant} if row["variant"] == control else {}))
    ]
    compared = [row for row in told["survival_comparison"] if kept(row)]
    return JsonResponse(
        {"key": told["key"], "as_of": told["as_of"], "survival": curves, "survival_comparison": compared}
    )  # fmt: skip


@router.get("/experiments/{key}/replay", response=answers(Replay, 404), summary="What past looks would have said")
def replay(request: HttpRequest, key: Key) -> HttpResponse:
    """The recommendation at each past look, beside a two-week test."""
    found, as_of = replays.replay(key)
    return JsonResponse(replays.replay_to_json(key, found, as_of))


def card_of(key: str, as_of: Any) -> Scorecard:
    """The scorecard of a look. Raises NoSuchExperiment, NoLookYet."""
    return past.scorecard_as_of(key, as_of)[0]


def known(name: str, value: str | None, names: list[str]) -> None:
    """Refuse a name that the scorecard does not have."""
    if value is not None and value not in names:
        why = f"there is no {name} `{value}`{did_you_mean(value, names)}"
        raise Refused(404, why, FieldProblem(field=name, message=why))


def _chosen(
    card: Scorecard, metric: str | None, variant: str | None, *, events: bool
) -> Callable[[dict[str, Any]], bool]:
    """Which rows are of what was asked for. Refuses a metric that has none: ``events`` are told apart from values."""
    known("metric", metric, [one.key for one in card.plan.metrics])
    fitting = [one.key for one in card.plan.metrics if (one.event is not None) == events]
    if metric is not None and metric not in fitting:
        kind = "no time to event" if events else "a time to event, which survival tells"
        why = f"`{metric}` is {kind}; here there {'are ' + ', '.join(fitting) if fitting else 'is no metric'}"
        raise Refused(404, why, FieldProblem(field="metric", message=why))
    known("variant", variant, [one.key for one in card.plan.treatments])
    return lambda row: metric in (None, row["metric"]) and variant in (None, row["variant"])


def _brief(entry: PortfolioEntry) -> ExperimentBrief:
    plan = entry.plan
    return ExperimentBrief(
        key=entry.key, name=entry.name, kind=plan.kind, owner=entry.owner, hypothesis=entry.hypothesis,
        standing=cast(Standing, entry.state), start_date=plan.start_date, enrollment_weeks=plan.enrollment_weeks,
        horizon_weeks=plan.horizon_weeks, look=LookOut.from_orm(entry.look) if entry.look else None,
        as_of=entry.as_of, due=entry.due, alarms=[row.check for row in entry.alarms],
        reversals=[ReversedOut.from_orm(one) for one in entry.reversals], harmed=list(entry.harmed),
        recommendation=[Recommendation.from_orm(row) for row in entry.recommendations],
    )  # fmt: skip
