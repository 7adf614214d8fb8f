"""Flags in memory: every step from definitions, decisions and testers to what a unit is told, and staying warm."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import OperationalError, connection
from pytest_django import DjangoAssertNumQueries

from analysis.srm import chi_square
from experiments.assignment import bucket, fingerprint
from experiments.models import Decision, Plan, Traffic
from experiments.services import assignment, entry, keys, lifecycle, traffic
from experiments.services.apply import CannotApply
from experiments.services.assignment import BrokenFlag, Evaluation, UnknownFlag, Warm, current_version, load
from tests.experiments.stored import new_look
from tests.experiments.traffic_world import MONDAY, NEXT_MONDAY, NOW, experiment, holdout, named, put
from tests.people import person

pytestmark = pytest.mark.django_db

UNITS = [f"user-{number}" for number in range(4_000)]
#: A check that alarms on this is one in a million by chance; units are the same in every run.
SURE = 1e-6


def told(key: str, unit: str = "user-1", now: datetime = NOW, **attributes: Any) -> Evaluation:
    return load(current_version()).evaluate(key, unit, attributes, now)


def all_told(key: str, now: datetime = NOW) -> dict[str, Evaluation]:
    snapshot = load(current_version())
    return {unit: snapshot.evaluate(key, unit, {}, now) for unit in UNITS}


def logged(found: Evaluation) -> dict[str, str]:
    """What the answer says is to be logged: a variant for each experiment and holdout."""
    text = str(found.metadata.get("exposures", ""))
    return dict(pair.split(":") for pair in text.split(",") if pair)  # type: ignore[misc]


def split_is_as_designed(counts: tuple[int, ...], shares: tuple[float, ...]) -> bool:
    p_value = chi_square(counts, np.array(shares) / sum(shares))
    return p_value is not None and p_value > SURE


def test_an_answer_has_a_value_a_variant_a_reason_and_the_true_cause() -> None:
    put(experiment("a"))
    found = told("a")
    variant = "control" if bucket("a", "user-1") < 5_000 else "treatment"
    assert found == Evaluation(
        "a", variant, "SPLIT", variant,
        {"experiment": "a", "cause": "assigned", "version": named("a").revision, "counted": True,
         "propensity": 0.5, "exposures": f"a:{variant}"},
    )  # fmt: skip
    with pytest.raises(UnknownFlag, match="there is no flag `b`"):
        told("b")


def test_variants_deliver_their_payload_and_who_gets_none_that_of_the_control() -> None:
    variants = [{"key": "control", "weight": 1, "control": True, "payload": 1},
                {"key": "treatment", "weight": 9, "payload": 2.5}]  # fmt: skip
    rule = {"attribute": "country", "in": ["de"]}
    put(experiment("a", variants=variants, targeting=rule), holdout("winter", fraction=0.5))
    put(experiment("b", variants=variants, holdout="winter"))
    outside = told("a", country="fr")
    assert (outside.value, outside.variant, outside.reason) == (1.0, "none", "UNKNOWN")
    assert isinstance(outside.value, float)  # as the other variant's, so that the type never changes
    assert (outside.metadata["cause"], outside.metadata["counted"]) == ("not_targeted", False)
    assert told("a", country="de").variant in ("control", "treatment")
    held = next(found for found in all_told("b").values() if found.variant == "held_out")
    assert (held.value, held.reason, held.metadata["holdout"]) == (1.0, "SPLIT", "winter")


def test_units_split_by_weight_inside_their_buckets_and_others_get_none() -> None:
    weights = [{"key": "control", "weight": 80, "control": True}, {"key": "treatment", "weight": 20}]
    put(experiment("a", layer="search", share=0.4), experiment("b", layer="search", share=0.6, variants=weights))
    found, other = all_told("a"), all_told("b")
    for unit in UNITS:  # by the formulas of the methods page alone
        place = bucket("layer/search", unit)
        assert (found[unit].variant != "none") == (place < 4_000)
        assert (other[unit].variant != "none") == (place >= 4_000)
    counts = Counter(one.variant for one in other.values())
    assert split_is_as_designed((counts["control"], counts["treatment"]), (80, 20))


def test_the_share_of_an_experiment_without_a_layer_goes_by_other_buckets_than_its_variants() -> None:
    put(experiment("a", share=0.5))
    counts = Counter(one.variant for one in all_told("a").values())
    assert split_is_as_designed((counts["control"], counts["treatment"], counts["none"]), (1, 1, 2))


def test_a_ramp_grows_on_cohort_boundaries() -> None:
    put(experiment("a", phases=[{"week": 0, "share": 0.1}, {"week": 1, "share": 1}]))
    before = {unit for unit, one in all_told("a", NOW + timedelta(days=4)).items() if one.variant != "none"}  # Sunday
    assert len(before) == sum(bucket("entry/a", unit) < 1_000 for unit in UNITS)
    after = all_told("a", NOW + timedelta(days=5))
    assert all(one.variant != "none" for one in after.values())


def test_days_begin_where_the_experiment_is() -> None:
    put(experiment("a", timezone="Pacific/Auckland", phases=[{"week": 0, "share": 0.1}, {"week": 1, "share": 1}]))
    unit = next(unit for unit in UNITS if bucket("entry/a", unit) >= 1_000)
    sunday = NOW + timedelta(days=4)  # noon in UTC is midnight of the next day there
    assert (told("a", unit, sunday - timedelta(minutes=1)).variant, told("a", unit, sunday).variant != "none") == (
        "none", True,
    )  # fmt: skip


def test_a_draft_is_answered_with_its_control_and_logs_nothing() -> None:
    put(holdout(), experiment("a", start_date=NEXT_MONDAY, holdout="winter"))
    found = told("a")
    assert (found.value, found.variant, found.reason, found.metadata["cause"]) == (
        "control", "none", "DISABLED", "not_started",
    )  # fmt: skip
    assert logged(found) == {}


# --- Holdouts ---------------------------------------------------------------------------------------------------------
def test_both_sides_of_a_holdout_are_logged_at_the_same_trigger() -> None:
    put(holdout(fraction=0.2), holdout("spring", fraction=0.1, members=["a"]))
    put(experiment("a", holdout="winter", share=0.5, targeting={"attribute": "x", "exists": True}))
    for unit, found in all_told("a").items():
        sides = logged(found)
        for key, slice_ in (("winter", 2_000), ("spring", 1_000)):
            assert sides[key] == ("held_out" if bucket(key, unit) < slice_ else "launched")
        assert ("a" in sides) == (found.variant in ("control", "treatment"))


def test_the_split_of_a_member_is_as_designed_and_so_is_its_holdouts() -> None:
    put(holdout(fraction=0.2), experiment("a", holdout="winter"))
    found = all_told("a")
    sides = Counter(logged(one)["winter"] for one in found.values())
    assert split_is_as_designed((sides["held_out"], sides["launched"]), (0.2, 0.8))
    own = Counter(logged(one).get("a") for one in found.values())
    assert own[None] == sides["held_out"]  # the member's exposures have none of them
    assert split_is_as_designed((own["control"], own["treatment"]), (50, 50))
    assert split_is_as_designed((own[None], own["control"], own["treatment"]), (0.2, 0.4, 0.4))


HELD = {unit for unit in UNITS if bucket("winter", unit) < 500}


@pytest.mark.parametrize("happens", ["nothing", "launch", "hold back", "stop", "archive", "freeze", "reset"])
def test_units_of_a_holdout_stay_out_of_a_member_whatever_happens_to_it(happens: str) -> None:
    put(holdout(), experiment("a", holdout="winter"))
    if happens in ("launch", "hold back", "archive"):
        decided("a", "launch_with_holdback" if happens == "hold back" else "launch")
    if happens == "stop":
        decided("a", "stop")
    if happens == "archive":
        lifecycle.change("a", "archive", by=person("owner"), now=NOW)
    if happens == "freeze":
        entry.freeze("a", UNITS, by="x", now=NOW)
    if happens == "reset":
        put(experiment("a", holdout="winter", salt="again"), amend="reset")
    found = all_told("a", NOW + timedelta(days=30))
    assert {unit for unit, one in found.items() if one.variant == "held_out"} == HELD
    assert {one.value for unit, one in found.items() if unit in HELD} == {"control"}
    assert any(one.value == "treatment" for one in found.values()) == (happens != "stop")


def test_after_its_release_everybody_gets_what_was_launched() -> None:
    put(holdout(), experiment("a", holdout="winter"))
    decided("a", "launch")
    entry.release("winter", by="x", now=NOW, reason="over")
    assert {one.variant for one in all_told("a").values()} == {"treatment", "held_out"}  # until the day is over
    after = all_told("a", NOW + timedelta(days=1))
    assert {(one.variant, one.reason, logged(one).get("winter")) for one in after.values()} == {
        ("treatment", "STATIC", None)
    }
    assert told("winter", now=NOW + timedelta(days=1)).metadata["cause"] == "released"


def test_a_holdout_is_a_flag_for_what_is_launched_without_an_experiment() -> None:
    put(holdout(), holdout("spring", start_date=NEXT_MONDAY))
    found = all_told("winter")
    assert {unit for unit, one in found.items() if one.value == "held_out"} == HELD
    assert all(logged(one) == {"winter": one.variant} for one in found.values())
    early = told("spring")
    assert (early.value, early.metadata["cause"], logged(early)) == ("launched", "not_started", {})


# --- Ends, testers, freezing ------------------------------------------------------------------------------------------
def decided(key: str, action: str) -> None:
    """Decide as the page does, on a look that there is, if one is needed."""
    found = named(key)
    found.decide("treatment", action, by="x", now=NOW, reason="because")  # type: ignore[arg-type]
    look = None if action in ("stop", "roll_back") else new_look(key, date(2024, 6, 5))
    Decision.objects.create(
        experiment=found, revision=found.revision, variant="treatment", action=action, reason="because",
        by=person("owner"), decided_at=NOW, look=look, document=None if look is None else {},
    )  # fmt: skip
    traffic.let_go(found, NOW)


def test_after_a_launch_everybody_gets_it_and_after_a_stop_nobody() -> None:
    put(experiment("a"), experiment("b"), experiment("c", layer="x", share=0.5))
    for key, action in (("a", "launch"), ("b", "roll_back"), ("c", "launch_with_holdback")):
        decided(key, action)
    assert {(one.variant, one.reason) for one in all_told("a").values()} == {("treatment", "STATIC")}
    assert {(one.variant, one.value, one.reason) for one in all_told("b").values()} == {("none", "control", "DISABLED")}
    for unit, one in all_told("c").items():
        kept = bucket("layer/x", unit) < 5_000 and bucket("c", unit) < 5_000
        assert (one.variant, one.metadata["counted"]) == (("control", True) if kept else ("treatment", False))


def test_testers_get_their_variant_before_anything_else_and_are_never_logged() -> None:
    put(holdout(fraction=0.5), experiment("a", holdout="winter"))
    tester = next(unit for unit in UNITS if bucket("winter", unit) < 5_000)
    entry.force("a", tester, "treatment", by="x", now=NOW)
    found = told("a", tester)
    assert (found.variant, found.reason, found.metadata["counted"], logged(found)) == (
        "treatment", "TARGETING_MATCH", False, {},
    )  # fmt: skip


def test_frozen_enrollment_keeps_those_who_are_in_and_lets_nobody_else_in() -> None:
    put(experiment("a"))
    before = all_told("a")
    inside = set(UNITS[:1_000])
    entry.freeze("a", inside, by="x", now=NOW)
    for unit, one in all_told("a").items():
        if unit in inside:
            assert (one.variant, one.metadata["counted"]) == (before[unit].variant, True)
        else:
            assert (one.variant, one.metadata["cause"]) == ("none", "enrollment_closed")
    assert len({fingerprint(unit) for unit in UNITS}) == len(UNITS)


def test_the_end_of_enrollment_takes_nobodys_variant_away() -> None:
    put(experiment("a"))
    named("a").close_if_due(NOW + timedelta(weeks=3))
    assert named("a").state == "enrollment_closed"
    assert told("a", now=NOW + timedelta(weeks=3)).metadata["cause"] == "assigned"


# --- Staying warm -----------------------------------------------------------------------------------------------------
def test_warm_flags_are_evaluated_without_a_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    put(holdout(), *(experiment(key, holdout="winter") for key in "abc"))
    warm = Warm()
    warm.get(100.0)
    with django_assert_num_queries(0):
        for unit in UNITS[:100]:
            warm.get(100.9).evaluate("a", unit, {}, NOW)
    with django_assert_num_queries(2):  # the cheap check
        warm.get(101.1)
    with django_assert_num_queries(0):
        warm.get(101.2)


def changes() -> Iterator[tuple[str, Any]]:
    yield "a definition", lambda: put(experiment("b"))
    yield "an amendment", lambda: put(experiment("a", salt="c"), amend="reset")
    yield "a decision", lambda: decided("a", "stop")
    yield "a tester", lambda: entry.force("a", "me", "control", by="x", now=NOW)
    yield "freezing", lambda: entry.freeze("a", ["u"], by="x", now=NOW)
    yield "a release", lambda: entry.release("winter", by="x", now=NOW, reason="over")
    yield "a key", lambda: keys.create("k", "server", [], by="x", now=NOW)
    yield "a revoked key", lambda: keys.revoke("first", by="x", now=NOW)
    yield "closing", lambda: named("a").close_if_due(NOW + timedelta(weeks=3))


@pytest.mark.parametrize("change", [change for _, change in changes()], ids=[name for name, _ in changes()])
def test_every_change_is_seen_at_the_next_check(change: Any) -> None:
    put(holdout(), experiment("a"))
    keys.create("first", "server", [], by="x", now=NOW)
    warm = Warm()
    before = warm.get(0.0)
    change()
    assert warm.get(0.5) is before
    assert warm.get(1.5) is not before


def test_flags_are_served_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    put(experiment("a"))

    def away() -> Any:
        raise OperationalError("the server closed the connection")

    cold, warm = Warm(), Warm()
    before = warm.get(0.0)
    monkeypatch.setattr(assignment, "current_version", away)
    assert warm.get(2.0) is before
    with pytest.raises(OperationalError):
        cold.get(0.0)


def test_one_experiment_that_cannot_be_read_leaves_the_others_served() -> None:
    put(experiment("a", start_date=NEXT_MONDAY), experiment("b"))
    Plan.objects.filter(experiment__key="a").update(body={"key": "a"})
    assert told("b").variant in ("control", "treatment")
    with pytest.raises(BrokenFlag, match="what is stored of `a` cannot be read"):
        told("a")


def test_experiments_from_before_become_flags_when_they_are_applied_again() -> None:
    put(experiment("a"))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE experiments_traffic DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM experiments_traffic")
        cursor.execute("ALTER TABLE experiments_traffic ENABLE TRIGGER USER")
    with pytest.raises(UnknownFlag):
        told("a")
    with pytest.raises(CannotApply, match="members: a has started without the holdout winter"):
        put(holdout(members=["a"]))
    warm = Warm()
    warm.get(0.0)
    put(experiment("a"))
    assert warm.get(2.0).evaluate("a", "u", {}, NOW).metadata["cause"] == "assigned"
    assert Traffic.objects.get().first_day == MONDAY
