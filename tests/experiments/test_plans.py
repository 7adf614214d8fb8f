"""What a definition says of looks and of the designed split, as its plan has it and as it is stored."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from experiments.definitions import Definition
from experiments.models import Experiment
from experiments.services.apply import apply
from tests.experiments.looks import NOW, definition

pytestmark = pytest.mark.django_db

FUTURE = date(2030, 1, 7)

Define = Callable[..., Definition]


@pytest.fixture
def define(tmp_path: Path) -> Define:
    return lambda **changes: definition(tmp_path, **changes)


def action(defined: Definition) -> str:
    (applied,) = apply([defined], NOW)
    return applied.action


def test_the_looks_of_a_definition_are_those_of_its_plan(define: Define) -> None:
    weekly = define().plan.decision
    assert (weekly.looks, weekly.spending, weekly.planned_units) == ("weekly", "obrien_fleming", None)
    assert define(decision={"spending": "pocock"}).plan.decision.spending == "pocock"
    any_time = define(decision={"looks": "any_time", "planned_units": 5000})
    assert (any_time.plan.decision.looks, any_time.plan.decision.planned_units) == ("any_time", 5000)
    action(any_time)
    assert Experiment.objects.get().current_plan.load() == any_time.plan


def test_variants_without_weights_have_no_designed_split(define: Define) -> None:
    defined = define(variants=[{"key": "control", "control": True}, {"key": "treatment"}])
    assert [variant.weight for variant in defined.plan.variants] == [None, None]
    action(defined)
    stored = Experiment.objects.get()
    assert [variant.weight for variant in stored.variants.all()] == [None, None]
    assert stored.current_plan.load() == defined.plan
    assert action(defined) == "unchanged"


@pytest.mark.parametrize(
    "variants", [None, [{"key": "held_out", "control": True}, {"key": "launched"}]], ids=["left out", "named"]
)
def test_the_split_of_a_holdout_is_its_fraction(define: Define, variants: list[dict[str, Any]] | None) -> None:
    holdout = define(
        experiment=None, holdout="winter", fraction=0.05, planned_end_date=date(2024, 6, 3), variants=variants
    )
    weights = [(variant.key, variant.weight, variant.control) for variant in holdout.plan.variants]
    assert weights == [("held_out", 0.05, True), ("launched", 0.95, False)]


def test_a_plan_stored_before_looks_had_a_spending_is_loaded_and_is_the_same_plan(define: Define) -> None:
    action(define(start_date=FUTURE))
    stored = Experiment.objects.get().current_plan
    for key in ("spending", "planned_units"):
        del stored.body["decision"][key]
    stored.digest = "0" * 64
    stored.save()
    assert stored.load() == define(start_date=FUTURE).plan
    assert action(define(start_date=FUTURE)) == "unchanged"
