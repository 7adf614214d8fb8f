"""Operations that read what people decided, and the catalog of metrics and sources."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Path, Query, Router

from experiments.api.door import Token
from experiments.api.parameters import KEY_PATTERN, answers
from experiments.api.problems import Refused
from experiments.api.schemas import (
    DecisionOut,
    Decisions,
    DecisionWithEvidence,
    MetricOut,
    Metrics,
    MetricVersionOut,
    ReadingOut,
    SourceOut,
    Sources,
    UseOut,
)
from experiments.models import Decision
from experiments.services import catalog, results
from experiments.services import decisions as log
from experiments.services.catalog import CatalogMetric, CatalogSource, Reading, Use

router = Router(auth=Token("read"), tags=["Records"])

PAGE, LONGEST_PAGE = 20, 100
#: PostgreSQL's largest number of a row.
LARGEST = 2**63 - 1


@router.get("/decisions", response=answers(Decisions, 404), summary="Decisions, newest first")
def decisions(
    request: HttpRequest,
    experiment: Annotated[str | None, Query(pattern=KEY_PATTERN)] = None,
    older_than: Annotated[int | None, Query(ge=1, le=LARGEST, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = PAGE,
) -> Decisions:
    """Of one experiment or of all, a page at a time."""
    if experiment is not None:
        results.find_experiment(experiment)
    found = log.log(experiment, older_than, limit + 1)
    shown = [entry.decision for entry in found[:limit]]
    return Decisions(
        decisions=[DecisionOut(**_decision(one)) for one in shown], next=shown[-1].pk if len(found) > limit else None
    )  # fmt: skip


@router.get("/decisions/{number}", response=answers(DecisionWithEvidence, 404), summary="A decision with its evidence")
def decision(request: HttpRequest, number: Annotated[int, Path(ge=1, le=LARGEST)]) -> DecisionWithEvidence:
    """What was recommended, what was decided and why, and the numbers as they were then."""
    found = Decision.objects.newest_first().filter(pk=number).first()
    if found is None:
        raise Refused(404, f"there is no decision {number}")
    return DecisionWithEvidence(**_decision(found), evidence=found.document)


@router.get("/metrics", response=answers(Metrics), summary="The catalog of metrics")
def metrics(request: HttpRequest) -> Metrics:
    """By key, with all versions and who uses each."""
    return Metrics(metrics=[_metric(one) for one in catalog.metrics()])


@router.get("/sources", response=answers(Sources), summary="The catalog of data sources")
def sources(request: HttpRequest) -> Sources:
    """Registered ones by key, then those of single experiments, with what was last read of each."""
    return Sources(sources=[_source(one) for one in catalog.sources()])


def _decision(found: Decision) -> dict[str, Any]:
    return {
        "number": found.pk, "experiment": found.experiment.key, "variant": found.variant, "action": found.ending,
        "recommended": found.advised, "reason": found.reason, "by": found.by.email, "decided_at": found.decided_at,
        "as_of": found.look.as_of if found.look else None,
    }  # fmt: skip


def _metric(found: CatalogMetric) -> MetricOut:
    versions = (
        {**vars(version), "uses": [UseOut(**_standing(use)) for use in version.uses]} for version in found.versions
    )  # fmt: skip
    return MetricOut(key=found.key, versions=[MetricVersionOut(**version) for version in versions])


def _standing(found: Use | Reading) -> dict[str, Any]:
    """The catalog calls it the state; it is where the experiment stands, in words."""
    told = dict(vars(found))
    return {"standing": told.pop("state"), **told}


def _source(found: CatalogSource) -> SourceOut:
    return SourceOut(
        key=found.key, kind=found.kind, columns=dict(found.columns),
        readings=[ReadingOut(**_standing(one)) for one in found.readings],
    )  # fmt: skip
