"""Layers, slices of holdouts, members: what is given, what is refused, and what the database keeps by itself."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from experiments.models import (
    AuditEntry,
    CannotChange,
    Experiment,
    ForcedVariant,
    HoldoutMember,
    Layer,
    Traffic,
)
from experiments.services import decisions, entry, lifecycle, traffic
from experiments.services.apply import CannotApply
from experiments.services.traffic import free
from tests.experiments import broken_traffic
from tests.experiments.traffic_world import MONDAY, NEXT_MONDAY, NOW, buckets, experiment, holdout, named, of, put
from tests.people import person

pytestmark = pytest.mark.django_db


def refused(match: str, *definitions: Any, **options: Any) -> None:
    """Nothing of what is refused is stored, not even the layer."""
    before = list(Traffic.objects.values()), Layer.objects.count(), Experiment.objects.count()
    with pytest.raises(CannotApply, match=match):
        put(*definitions, **options)
    assert (list(Traffic.objects.values()), Layer.objects.count(), Experiment.objects.count()) == before


# --- Layers -----------------------------------------------------------------------------------------------------------
def test_experiments_of_a_layer_get_buckets_of_their_own_and_are_told_which() -> None:
    first, second = put(experiment("a", layer="search", share=0.4), experiment("b", layer="search", share=0.6))
    assert (buckets("a"), buckets("b")) == ((0, 4_000), (4_000, 10_000))
    assert first.traffic == ("layer search: buckets 0-3,999 (40 %)", "effective traffic: 40 % of all units")
    assert second.traffic == ("layer search: buckets 4,000-9,999 (60 %)", "effective traffic: 60 % of all units")


def test_what_does_not_fit_is_refused_with_what_is_free_and_who_has_the_rest() -> None:
    put(experiment("a", layer="search", share=0.4), experiment("b", layer="search", share=0.4))
    refused(
        r"c\.yaml: share: the layer `search` has no 30 % of its buckets free in one piece from 2024-06-03 on\. "
        r"Free: 8,000-9,999 \(20 %\); taken by a \(40 %\), b \(40 %\)\. Take a smaller share, or decide",
        experiment("c", layer="search", share=0.3),
    )
    refused("less than one of the 10,000 buckets", experiment("c", layer="search", share=0.00001))
    refused("is a layer of the unit `user`", experiment("c", layer="search", share=0.1, unit="household"))
    put(experiment("c", layer="search", share=0.2), experiment("d", layer="ads"))
    assert (buckets("c"), buckets("d")) == ((8_000, 10_000), (0, 10_000))


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ([], ((0, 10_000),)), ([(0, 10_000)], ()), ([(0, 10), (20, 30)], ((10, 20), (30, 10_000))),
        ([(0, 5_000), (1_000, 2_000)], ((5_000, 10_000),)),  # of different days
    ],
)  # fmt: skip
def test_what_is_free_is_what_nobody_has(taken: list[tuple[int, int]], left: tuple[tuple[int, int], ...]) -> None:
    assert free(taken) == left


def test_a_decision_lets_go_of_the_buckets_from_the_next_day_on() -> None:
    put(experiment("a", layer="search"))
    found = named("a")
    decisions.decide("a", "treatment", "stop", reason="broken", look_id=None, revision=found.revision,
                     by=person("owner"), now=NOW)  # fmt: skip
    assert of("a").released_on == date(2024, 6, 6)
    refused("taken by a", experiment("b", layer="search", start_date=date(2024, 6, 5)))
    put(experiment("b", layer="search", start_date=date(2024, 6, 6)))
    assert (buckets("a"), buckets("b")) == ((0, 10_000), (0, 10_000))


def test_a_holdback_keeps_the_buckets_of_its_control() -> None:
    put(experiment("a", layer="search"))
    found = named("a")
    found.decide("treatment", "launch_with_holdback", by="x", now=NOW)
    traffic.let_go(found, NOW)
    assert of("a").released_on is None


def test_a_draft_that_is_put_away_leaves_nothing_behind() -> None:
    put(holdout(), experiment("a", layer="search", start_date=NEXT_MONDAY, holdout="winter"))
    lifecycle.change("a", "archive", by=person("owner"), now=NOW)
    assert not Traffic.objects.filter(experiment__key="a").exists()
    assert not HoldoutMember.objects.exists()


def test_a_draft_may_change_its_part_and_keeps_its_place_if_it_can() -> None:
    put(*(experiment(key, layer="search", share=0.3, start_date=NEXT_MONDAY) for key in "ab"))
    put(experiment("a", layer="ads", share=0.3, start_date=NEXT_MONDAY))
    put(experiment("b", layer="search", share=0.3, start_date=NEXT_MONDAY, name="Another"))
    assert (of("a").layer.key, buckets("b")) == ("ads", (3_000, 6_000))  # type: ignore[union-attr]
    put(experiment("b", layer="search", share=0.5, start_date=NEXT_MONDAY))
    assert buckets("b") == (0, 5_000)


def test_a_started_experiment_grows_in_place_and_nothing_else() -> None:
    put(*(experiment(key, layer="search", share=0.3) for key in "ab"))
    put(experiment("b", layer="search", share=0.7), amend="more power")
    assert buckets("b") == (3_000, 10_000)
    refused("can grow in place to 30 %, not to 50 %", experiment("a", layer="search", share=0.5), amend="more")
    refused("with 20 % units would drop out", experiment("a", layer="search", share=0.2), amend="less")
    refused("has started in the layer `search`", experiment("a", layer="ads", share=0.3), amend="other")
    refused("has started in the layer `search`", experiment("a"), amend="none")


def test_applying_again_changes_nothing() -> None:
    files = (holdout(members=["search"]), experiment("a", layer="search", share=0.4), experiment("b", share=0.5))
    put(*files)
    before = list(Traffic.objects.values())
    assert {one.action for one in put(*files)} == {"unchanged"}
    assert list(Traffic.objects.values()) == before


def test_a_dry_run_says_what_would_be_given_and_takes_it_back() -> None:
    (found,) = put(experiment("a", layer="search", share=0.4), dry_run=True)
    assert found.traffic[0] == "layer search: buckets 0-3,999 (40 %)"
    assert not Layer.objects.exists()


def test_two_experiments_with_one_salt_would_go_together_and_are_refused() -> None:
    put(experiment("a"))
    refused("salt: `a` is the salt of a; with the same one their variants would go together", experiment("b", salt="a"))
    put(experiment("b", salt="b-2"))
    assert of("b").salt == "b-2"


# --- Holdouts ---------------------------------------------------------------------------------------------------------
def test_a_holdout_takes_its_slice_and_its_members_are_told_what_is_left() -> None:
    found = {one.key: one.traffic for one in put(
        experiment("b", layer="search", share=0.4), experiment("a", holdout="winter"),
        holdout(members=["search", "later"]),
    )}  # fmt: skip
    assert (of("winter").held_out, of("winter").salt) == (500, "winter")
    assert {one.member.experiment.key for one in HoldoutMember.objects.all()} == {"a", "b"}
    assert found["b"][1:] == ("held out by winter 5 %", "effective traffic: 38 % of all units")
    assert found["a"] == ("held out by winter 5 %", "effective traffic: 95 % of all units")
    assert found["winter"] == (
        "holds out 5 % of all units from 2024-06-03 on, before any layer (planned until 2024-12-30)",
        "no member yet: search, later (an experiment or a layer of this name will be)",
    )
    assert traffic.told(named("winter"))[1:] == (
        "no member yet: later (an experiment or a layer of this name will be)",
        "effective traffic of a: 95 % of all units",
        "effective traffic of b: 38 % of all units",
    )


def test_overlapping_holdouts_show_the_effective_traffic() -> None:
    found = put(
        holdout(members=["search"]), holdout("spring", fraction=0.1, members=["search"]),
        experiment("a", layer="search", share=0.5),
    )[-1]  # fmt: skip
    assert found.traffic[1] == ("held out by spring 10 %, winter 5 %; together 14.5 %, for each holds out by itself")
    assert found.traffic[2] == "effective traffic: 42.75 % of all units"  # 0.5 x 0.95 x 0.9


@pytest.mark.parametrize("how", ["a member", "its layer"])
def test_a_holdout_over_a_running_experiment_is_refused_with_the_reason(how: str) -> None:
    put(experiment("a", layer="search", share=0.4))
    refused(
        "winter.yaml|None.yaml.*members: a has started without the holdout winter, and may have treated units",
        holdout(members=["a" if how == "a member" else "search"]),
    )


def test_a_started_experiment_does_not_come_under_a_holdout_and_does_not_leave_one() -> None:
    put(holdout(), experiment("a"), experiment("b", holdout="winter"))
    refused("holdout: a has started without the holdout winter", experiment("a", holdout="winter"), amend="now")
    refused("b has started as a member of the holdout `winter`", experiment("b"), amend="leave")
    put(holdout("spring", members=["c"]), experiment("c"))
    refused("c has started as a member; it must not treat", holdout("spring", members=["d"]), amend="other members")


@pytest.mark.parametrize("changes", [{"fraction": 0.1}, {"salt": "other"}, {"start_date": date(2024, 5, 27)}], ids=str)
def test_the_slice_of_a_started_holdout_stays(changes: dict[str, Any]) -> None:
    put(holdout())
    refused("winter has started: its fraction, salt and start_date .5 %, winter, 2024-06-03. stay until",
            holdout(**changes), amend="why")  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"holdout": "wintre"}, "there is no holdout `wintre`; did you mean `winter`?"),
        ({"holdout": "winter", "unit": "household"}, "holds out by the unit `user`, and a has the unit `household`"),
        ({"holdout": "winter", "start_date": date(2024, 5, 27)}, "starts on 2024-05-27, before the holdout `winter`"),
    ],
    ids=["unknown", "unit", "before"],
)
def test_an_experiment_that_does_not_fit_its_holdout_is_refused(changes: dict[str, Any], match: str) -> None:
    put(holdout())
    refused(match, experiment("a", **changes))


def start(key: str) -> None:
    named(key).start(by="x", now=NOW + timedelta(days=7))


def end(action: str) -> Callable[[str], None]:
    def ended(key: str) -> None:
        start(key)
        found = named(key)
        found.decide("treatment", action, by="x", now=NOW + timedelta(days=8))  # type: ignore[arg-type]
        traffic.let_go(found, NOW + timedelta(days=8))

    return ended


def archive(key: str) -> None:
    end("launch")(key)
    lifecycle.change(key, "archive", by=person("owner"), now=NOW + timedelta(days=9))


def freeze(key: str) -> None:
    start(key)
    entry.freeze(key, ["u"], by="x", now=NOW + timedelta(days=8))


def reset(key: str) -> None:
    start(key)
    again = experiment(key, start_date=NEXT_MONDAY, holdout="winter", salt="again")
    put(again, now=NOW + timedelta(days=8), amend="reset: all units are assigned anew")
    assert of(key).salt == "again"


@pytest.mark.parametrize(
    "happens",
    [start, end("launch"), end("launch_with_holdback"), end("stop"), end("roll_back"), archive, freeze, reset],
)
def test_a_holdout_survives_whatever_happens_to_a_member(happens: Callable[[str], None]) -> None:
    put(holdout(), experiment("a", start_date=NEXT_MONDAY, holdout="winter"))
    before = Traffic.objects.filter(experiment__key="winter").values().get()
    happens("a")
    assert Traffic.objects.filter(experiment__key="winter").values().get() == before
    assert HoldoutMember.objects.filter(holdout__experiment__key="winter", member__experiment__key="a").exists()


def test_a_holdout_that_holds_units_out_is_released_before_it_is_put_away() -> None:
    put(holdout())
    owner = person("owner")
    named("winter").decide("launched", "stop", by="x", now=NOW)
    with pytest.raises(CannotChange, match="winter still holds units out: release it first"):
        lifecycle.change("winter", "archive", by=owner, now=NOW)
    assert (named("winter").state, of("winter").released_on) == ("decided", None)
    entry.release("winter", by="x", now=NOW, reason="the half year is over")
    lifecycle.change("winter", "archive", by=owner, now=NOW)
    assert named("winter").state == "archived"
    put(holdout("never", start_date=NEXT_MONDAY))
    lifecycle.change("never", "archive", by=owner, now=NOW)  # it never held anybody out
    assert not Traffic.objects.filter(experiment__key="never").exists()


def test_a_released_holdout_holds_nobody_out_from_the_next_day_and_takes_no_new_members() -> None:
    put(holdout(members=["search"]))
    released = entry.release("winter", by="x", now=NOW, reason="the half year is over")
    assert released.released_on == date(2024, 6, 6)
    (late,) = put(experiment("a", layer="search", start_date=NEXT_MONDAY))
    assert late.traffic[-1] == "effective traffic: 100 % of all units"
    refused("was released; it holds nobody out from 2024-06-06",
            experiment("b", holdout="winter", start_date=NEXT_MONDAY))  # fmt: skip
    with pytest.raises(CannotChange, match="was released; it holds nobody out"):
        entry.release("winter", by="x", now=NOW, reason="again")
    assert AuditEntry.objects.filter(verb="released", reason="the half year is over").exists()


def test_the_next_holdout_waits_for_the_washout_and_never_takes_the_same_units() -> None:
    put(holdout(members=["search"]))
    entry.release("winter", by="x", now=NOW, reason="rotation")
    soon = {"members": ["search"], "start_date": date(2024, 6, 10), "planned_end_date": date(2025, 6, 2)}
    refused(r"within the washout of 2 weeks after the holdout winter was released; start on 2024-06-20 or later",
            holdout("spring", **soon))  # fmt: skip
    refused("washout of 4 weeks", holdout("spring", **{**soon, "start_date": date(2024, 6, 24)}, washout_weeks=4))
    refused("the same units would be held out again", holdout("spring", **soon, washout_weeks=0, salt="winter"))
    put(holdout("spring", **soon, washout_weeks=0), holdout("other", **{**soon, "members": ["ads"]}))
    assert of("spring").held_out == 500


# --- What the database keeps by itself --------------------------------------------------------------------------------
def broken(sql: str, *values: object) -> str:
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)
    return str(caught.value)


def test_the_database_keeps_experiments_of_a_layer_apart() -> None:
    put(*(experiment(key, layer="search", share=0.3) for key in "ab"))
    found = of("a")
    found.buckets = (0, 3_001)
    with pytest.raises(IntegrityError, match="traffic_of_a_layer_does_not_overlap"), transaction.atomic():
        found.save()
    found.days = (date(2020, 1, 1), MONDAY)  # at another time it may
    found.save()
    assert "overlap" in broken(
        "UPDATE experiments_traffic SET days = daterange('2020-01-01', '2024-06-04') WHERE id = %s", found.pk
    )


@pytest.mark.parametrize(("rule", "statement"), broken_traffic.REFUSED)
def test_the_database_refuses_what_cannot_be(rule: str, statement: str) -> None:
    broken_traffic.world()
    assert f'"{rule}"' in broken(statement)


@pytest.mark.parametrize(
    ("key", "statement", "words"),
    [
        ("a", "DELETE FROM experiments_traffic", "cannot be deleted"),
        ("a", "UPDATE experiments_traffic SET layer_id = NULL, buckets = NULL", "may grow, and never move"),
        ("a", "UPDATE experiments_traffic SET buckets = int4range(1, 3000)", "may grow, and never move"),
        ("a", "UPDATE experiments_traffic SET buckets = int4range(0, 2999)", "may grow, and never move"),
        ("winter", "DELETE FROM experiments_traffic", "cannot be deleted"),
        ("winter", "UPDATE experiments_traffic SET held_out = 400", "slice of a holdout stays"),
        ("winter", "UPDATE experiments_traffic SET salt = 'x'", "slice of a holdout stays"),
        ("winter", "UPDATE experiments_traffic SET days = daterange('2024-06-04', NULL)", "slice of a holdout stays"),
    ],
)
def test_the_database_keeps_what_a_started_one_rests_on(key: str, statement: str, words: str) -> None:
    put(holdout(members=["search"]), experiment("a", layer="search", share=0.3))
    assert words in broken(f"{statement} WHERE id = %s", of(key).pk)


def test_the_database_keeps_the_holdouts_of_a_started_experiment() -> None:
    put(holdout(), holdout("spring"), experiment("a", holdout="winter"), experiment("b", start_date=NEXT_MONDAY))
    insert = "INSERT INTO experiments_holdoutmember (holdout_id, member_id) VALUES (%s, %s)"
    for words, statement, *values in (
        ("stay as they are", insert, of("spring").pk, of("a").pk),
        ("stay as they are", "DELETE FROM experiments_holdoutmember WHERE member_id = %s", of("a").pk),
        ("never changed", "UPDATE experiments_holdoutmember SET holdout_id = %s", of("spring").pk),
        ("has experiments as members", insert, of("a").pk, of("b").pk),
        ("has experiments as members", insert, of("b").pk, of("b").pk),
        ("stay as they are", insert, of("winter").pk, of("spring").pk),
    ):
        assert words in broken(statement, *values)


# --- Testers, freezing -----------------------------------------------------------------------------------
def test_testers_are_named_with_a_variant_that_there_is() -> None:
    put(experiment("a"), holdout())
    entry.force("a", "me", "control", by="x", now=NOW)
    entry.force("a", "me", "treatment", by="x", now=NOW)
    assert [(one.unit, one.variant) for one in ForcedVariant.objects.all()] == [("me", "treatment")]
    for args, words in (
        (("a", "me", "treatmnt"), "has no variant `treatmnt`; did you mean `treatment`"),
        (("a", "", "control"), "1 to 1,024 characters"),
        (("winter", "me", "held_out"), "testers get variants of experiments"),
        (("a", "you", None), "`you` is no tester of a"),
    ):
        with pytest.raises(CannotChange, match=words):
            entry.force(*args, by="x", now=NOW)
    entry.force("a", "me", None, by="x", now=NOW)
    assert not ForcedVariant.objects.exists()
    assert AuditEntry.objects.filter(verb="tester changed").count() == 3


def test_enrollment_is_frozen_once_for_units_that_are_in() -> None:
    put(experiment("a"), experiment("draft", start_date=NEXT_MONDAY), holdout())
    for key, words in (("draft", "is draft; enrollment of a running"), ("winter", "is running; enrollment of a")):
        with pytest.raises(CannotChange, match=words):
            entry.freeze(key, ["u"], by="x", now=NOW)
    with pytest.raises(CannotChange, match="nobody has entered a"):
        entry.freeze("a", [], by="x", now=NOW)
    assert entry.freeze("a", ["u", "v", "u"], by="x", now=NOW) == 2
    assert len(of("a").entered or b"") == 16
    with pytest.raises(CannotChange, match="was frozen on 2024-06-05"):
        entry.freeze("a", ["w"], by="x", now=NOW)
