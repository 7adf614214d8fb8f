from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
import yaml
from django.db import DatabaseError, connection, transaction

from experiments import definitions
from experiments.definitions import Definition
from experiments.models import Amendment, CannotStart, Experiment, Metric, Plan, Source
from experiments.services.apply import Applied, CannotApply, Change, apply
from tests.experiments import small_data
from tests.experiments.commands import run
from tests.experiments.looks import NOW, definition

pytestmark = pytest.mark.django_db

FUTURE = date(2030, 1, 7)

Define = Callable[..., Definition]


@pytest.fixture
def define(tmp_path: Path) -> Define:
    return lambda **changes: definition(tmp_path, **changes)


def one(defined: Definition, **options: Any) -> Applied:
    (applied,) = apply([defined], options.pop("now", NOW), **options)
    return applied


def with_metric(number: int, **changes: Any) -> list[dict[str, Any]]:
    metrics = small_data.definition()["metrics"]
    metrics[number] |= changes
    return metrics


def test_a_new_experiment_whose_day_has_come_starts_and_its_plan_is_frozen(define: Define) -> None:
    applied = one(define())
    assert (applied.action, applied.plan_version, applied.starts) == ("created", 1, True)
    stored = Experiment.objects.get()
    assert (stored.state, stored.started_at, stored.current_plan.frozen_at) == ("running", NOW, NOW)
    assert [(variant.key, variant.weight, variant.control) for variant in stored.variants.all()] == [
        ("control", 50, True),
        ("treatment", 50, False),
    ]
    assert [(use.metric.key, use.role, use.margin) for use in stored.metric_uses.all()] == [
        ("lines", "primary", None),
        ("active", "primary", None),
        ("price", "guardrail", 0.02),
    ]


def test_what_was_applied_is_loaded_as_the_same_plan_and_source(define: Define) -> None:
    defined = define(source={"exposures": "e/*.csv", "facts": "f.csv", "columns": {"unit": "u", "left_at": "l"}})
    one(defined)
    stored = Experiment.objects.get()
    assert stored.current_plan.load() == defined.plan
    assert stored.source.spec == defined.source
    assert stored.definition == defined.text


def test_applying_the_same_file_again_changes_nothing(define: Define) -> None:
    one(define())
    applied = one(define())
    assert (applied.action, applied.changes, applied.starts) == ("unchanged", (), False)
    assert Plan.objects.count() == 1
    assert Source.objects.count() == 1


def test_the_digest_does_not_depend_on_name_hypothesis_and_owner(define: Define) -> None:
    one(define())
    before = Experiment.objects.get().current_plan
    applied = one(define(name="Another name", owner="editor@example.com", hypothesis="Better."))
    assert applied.action == "updated"
    assert applied.changes == (
        Change("name", "A small experiment", "Another name"),
        Change("hypothesis", None, "Better."),
        Change("owner", "owner@example.com", "editor@example.com"),
    )
    stored = Experiment.objects.get()
    assert stored.current_plan == before
    assert stored.current_plan.digest == before.digest
    assert stored.current_plan.load().name == "Another name"


def test_the_place_of_the_data_may_change_after_the_start(define: Define) -> None:
    one(define())
    applied = one(define(source={"exposures": "exposures.csv", "facts": "facts.parquet"}))
    assert applied.changes == (Change("source.exposures", "exposures.parquet", "exposures.csv"),)
    assert Experiment.objects.get().source.spec.exposures == "exposures.csv"
    assert Source.objects.count() == 1


def test_the_plan_of_a_started_experiment_is_not_changed_without_a_reason(define: Define) -> None:
    one(define())
    with pytest.raises(CannotApply, match=r"started on 2024-01-01 and its plan is frozen.*metrics\[price\].margin"):
        one(define(metrics=with_metric(2, margin=0.1), name="Another name"))
    assert Experiment.objects.get().name == "A small experiment"
    assert Plan.objects.count() == 1


def test_an_amendment_puts_a_new_version_in_force_and_keeps_the_old_one(define: Define) -> None:
    one(define())
    first = Experiment.objects.get().current_plan
    applied = one(define(metrics=with_metric(2, margin=0.1)), amend="  the margin was mistyped ")
    assert (applied.action, applied.plan_version) == ("amended", 2)
    assert applied.changes == (Change("metrics[price].margin", 0.02, 0.1),)
    stored = Experiment.objects.get()
    assert stored.current_plan.version == 2
    assert stored.current_plan.frozen_at == NOW
    assert stored.metric_uses.get(metric__key="price").margin == 0.1
    amendment = Amendment.objects.get()
    assert (amendment.before, amendment.after, amendment.reason) == (
        first,
        stored.current_plan,
        "the margin was mistyped",
    )
    assert first.load().metrics[2].margin == 0.02


def test_an_amendment_back_to_an_earlier_plan_puts_that_one_in_force_again(define: Define) -> None:
    one(define())
    one(define(metrics=with_metric(2, margin=0.1)), amend="a test of nerves")
    applied = one(define(), amend="it was right before")
    assert (applied.action, applied.plan_version) == ("amended", 1)
    assert [amendment.reason for amendment in Amendment.objects.all()] == ["a test of nerves", "it was right before"]
    assert Plan.objects.count() == 2


def test_a_reason_without_a_change_amends_nothing(define: Define) -> None:
    one(define())
    assert one(define(), amend="just in case").action == "unchanged"
    assert not Amendment.objects.exists()


def test_a_reason_needs_words(define: Define) -> None:
    with pytest.raises(CannotApply, match="--amend needs a reason"):
        one(define(), amend="  ")


def test_before_its_start_an_experiment_is_changed_freely(define: Define) -> None:
    assert not one(define(start_date=FUTURE)).starts
    applied = one(define(start_date=FUTURE, metrics=with_metric(0, cap=50.0)))
    assert (applied.action, applied.plan_version) == ("updated", 1)
    stored = Experiment.objects.get()
    assert (stored.state, stored.current_plan.frozen_at) == ("draft", None)
    assert stored.current_plan.load().metrics[0].cap == 50


def test_a_draft_whose_day_has_come_is_frozen_before_the_change_is_looked_at(define: Define) -> None:
    one(define(start_date=FUTURE))
    later = NOW.replace(year=2030, month=3)
    with pytest.raises(CannotApply, match="its plan is frozen"):
        one(define(start_date=FUTURE, metrics=with_metric(0, cap=50.0)), now=later)
    assert Experiment.objects.get().state == "draft"
    assert one(define(start_date=FUTURE), now=later).starts
    assert Experiment.objects.get().current_plan.frozen_at == later


def test_a_draft_moved_to_a_day_that_has_come_starts(define: Define) -> None:
    one(define(start_date=FUTURE))
    applied = one(define())
    assert (applied.action, applied.starts) == ("updated", True)


def test_the_day_begins_in_the_time_zone_of_the_plan(define: Define) -> None:
    late_evening = datetime.fromisoformat("2023-12-31T20:00:00+00:00")
    assert not one(define(), now=late_evening).starts
    assert one(define(experiment="early", timezone="Asia/Tokyo"), now=late_evening).starts


def test_starting_twice_or_too_early_is_refused(define: Define) -> None:
    one(define())
    with pytest.raises(CannotStart, match="started on 2024-06-01"):
        Experiment.objects.get().start(by="owner@example.com", now=NOW)
    one(define(experiment="later", start_date=FUTURE))
    with pytest.raises(CannotStart, match="starts on 2030-01-07; today is 2024-06-01"):
        Experiment.objects.get(key="later").start(by="owner@example.com", now=NOW)


def test_a_dry_run_says_the_same_and_writes_nothing(define: Define) -> None:
    assert one(define(), dry_run=True).action == "created"
    assert not Experiment.objects.exists()
    assert not Metric.objects.exists()
    one(define())
    changed = define(metrics=with_metric(2, margin=0.1))
    dry = one(changed, dry_run=True, amend="why not")
    assert Experiment.objects.get().current_plan.version == 1
    assert one(changed, amend="why not") == dry


def test_several_files_are_applied_all_or_none(define: Define) -> None:
    one(define())
    with pytest.raises(CannotApply, match="frozen"):
        apply([define(experiment="other"), define(metrics=with_metric(2, margin=0.1))], NOW)
    assert [experiment.key for experiment in Experiment.objects.all()] == ["small"]


def test_two_files_for_one_key_are_refused(define: Define) -> None:
    with pytest.raises(CannotApply, match=r"`small` is defined in .* too"):
        apply([define(), define(name="Again")], NOW)


def test_a_holdout_does_not_take_the_key_of_an_experiment(define: Define) -> None:
    one(define(experiment="winter"))
    holdout = define(experiment=None, holdout="winter", fraction=0.05, planned_end_date=date(2024, 6, 3), variants=None)
    with pytest.raises(CannotApply, match="belongs to the stored experiment; give the holdout another"):
        one(holdout)


def test_a_metric_measured_in_another_way_is_another_version_of_it(define: Define) -> None:
    one(define())
    one(define(experiment="same"))
    assert Metric.objects.filter(key="lines").count() == 1
    one(define(experiment="capped", metrics=with_metric(0, cap=50.0)))
    one(define(experiment="judged", metrics=with_metric(0, role="secondary", weight=0.3)))
    versions = {
        use.experiment.key: use.metric.version
        for metric in Metric.objects.filter(key="lines")
        for use in metric.uses.all()
    }
    assert versions == {"small": 1, "same": 1, "capped": 2, "judged": 1}


def test_a_registered_source_is_used_by_its_name(define: Define) -> None:
    registered = Source(key="warehouse")
    registered.spec = define().source
    registered.save()
    applied = one(define(source={"name": "warehouse"}))
    assert Change("source.name", None, "warehouse") in applied.changes
    assert Experiment.objects.get().source == registered
    assert one(define(source={"name": "warehouse"})).action == "unchanged"


def test_an_experiment_moves_between_its_own_and_a_registered_source(define: Define) -> None:
    registered = Source(key="warehouse")
    registered.spec = define().source
    registered.save()
    one(define())
    one(define(source={"name": "warehouse"}))
    assert Source.objects.count() == 1
    applied = one(define())
    assert Change("source.name", "warehouse", None) in applied.changes
    assert Experiment.objects.get().source.key is None
    registered.refresh_from_db()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"name": "warehous"}, "no source is registered as `warehous`; did you mean `warehouse`?"),
        (
            {"name": "lake"},
            "as `lake`; there is only `warehouse`; register it on the page Sources",
        ),
        ({"name": "warehouse", "facts": "f.csv"}, "leave out exposures and facts"),
    ],
)
def test_a_source_name_that_does_not_fit_is_explained(define: Define, source: dict[str, str], message: str) -> None:
    registered = Source(key="warehouse")
    registered.spec = define().source
    registered.save()
    with pytest.raises(CannotApply, match=message.replace("?", r"\?")):
        one(define(source=source))


def test_a_value_the_database_has_no_place_for_is_refused_with_its_file(define: Define) -> None:
    with pytest.raises(CannotApply, match=r"small\.yaml: the database cannot store a value of it"):
        one(define(name="a\0b"))
    assert not Experiment.objects.exists()


def test_a_date_in_a_payload_does_not_look_changed_at_each_apply(define: Define) -> None:
    variants = small_data.definition()["variants"]
    variants[0]["payload"] = {}
    variants[1]["payload"] = {"from": date(2024, 1, 1), "share": 0.1}
    one(define(variants=variants))
    assert one(define(variants=variants)).action == "unchanged"


@pytest.mark.django_db(transaction=True)
def test_of_two_applies_at_once_one_waits_and_then_finds_nothing_to_do(define: Define) -> None:
    actions: list[str] = []
    together = Barrier(2)

    def work() -> None:
        try:
            together.wait()
            actions.append(one(define()).action)
        finally:
            connection.close()

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(actions) == ["created", "unchanged"]
    assert Experiment.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_apply_that_breaks_a_rule_of_the_database_leaves_nothing_behind(
    define: Define, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Experiment, "start_if_due", lambda self, now: transaction.get_connection().cursor().execute("x")
    )
    with pytest.raises(DatabaseError):
        one(define())
    assert not Experiment.objects.exists()


# --- the command -------------------------------------------------------------------------------------------------


def write(folder: Path, key: str = "small", **changes: Any) -> Path:
    path = folder / f"{key}.yaml"
    path.write_text(yaml.safe_dump({**small_data.definition(), "experiment": key, **changes}, sort_keys=False))
    return path


@pytest.mark.django_db(transaction=True)
def test_the_command_prints_the_difference(tmp_path: Path) -> None:
    first = run("apply", write(tmp_path))
    assert (first.code, first.err) == (0, "")
    assert first.out == "experiment small: created\n  its start date has come: the plan is frozen\n"
    assert run("apply", write(tmp_path)).out == "experiment small: unchanged\n"
    renamed = run("apply", write(tmp_path, name="Renamed", hypothesis="Better."), "--dry-run")
    assert renamed.out == (
        "experiment small: would be updated\n  ~ name: A small experiment -> Renamed\n  + hypothesis: Better.\n"
    )
    assert Experiment.objects.get().name == "A small experiment"


@pytest.mark.django_db(transaction=True)
def test_the_command_takes_a_folder_and_names_all_that_is_wrong_in_it(tmp_path: Path) -> None:
    write(tmp_path, "one")
    write(tmp_path, "two", horizon_weeks=0)
    (tmp_path / "three.yaml").write_text("version: [")
    refused = run("apply", tmp_path)
    assert refused.code == 1
    assert "two.yaml: horizon_weeks" in refused.err
    assert "three.yaml: line 1" in refused.err
    assert not Experiment.objects.exists()
    (tmp_path / "three.yaml").unlink()
    write(tmp_path, "two")
    assert run("apply", tmp_path).out.count("created") == 2


@pytest.mark.django_db(transaction=True)
def test_the_command_amends_only_with_a_reason(tmp_path: Path) -> None:
    run("apply", write(tmp_path))
    changed = write(tmp_path, enrollment_weeks=1)
    refused = run("apply", changed)
    assert refused.code == 1
    assert 'changes enrollment_weeks. Say why with --amend "..." (amend= in the API)' in refused.err
    amended = run("apply", changed, "--amend", "traffic was higher than planned")
    assert amended.out == "experiment small: amended (plan 2)\n  ~ enrollment_weeks: 2 -> 1\n"


@pytest.mark.django_db(transaction=True)
def test_the_command_says_what_it_cannot_read(tmp_path: Path) -> None:
    assert "there is no such file" in run("apply", tmp_path / "missing.yaml").err
    assert "has no *.yaml files" in run("apply", tmp_path).err
    assert run("apply", tmp_path / ("a" * 300)).err.endswith("cannot be read: File name too long\n")
    assert run("apply").code == 2


def test_a_definition_loaded_from_a_file_is_the_one_that_is_parsed(tmp_path: Path, define: Define) -> None:
    assert definitions.load(write(tmp_path)).plan == define().plan
