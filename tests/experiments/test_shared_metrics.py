"""Metrics shared by reference: `use:` in definitions, versions that never change, pages to publish them."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.plan import Metric as Measured
from experiments import definitions
from experiments.definitions import Definition, DefinitionProblem, NotInCatalog
from experiments.models import AuditEntry, Experiment, Metric
from experiments.services import metrics
from experiments.services.apply import Applied, CannotApply, apply
from experiments.services.export import export
from experiments.services.metrics import CannotPublish, StoredCatalog
from tests.experiments import small_data
from tests.experiments.commands import run
from tests.experiments.looks import NOW
from tests.experiments.pages import words
from tests.experiments.small_data import SmallData
from tests.people import signed_in

pytestmark = pytest.mark.django_db

LINES = {"key": "lines", "kind": "mean", "better": "higher", "column": "lines"}
CAPPED = {**LINES, "cap": 20.0}
USE = {"use": "lines", "role": "primary", "term": "short"}
LATER = date(2030, 1, 7)


def published(values: dict[str, Any], description: str = "") -> Metric:
    return metrics.publish(values, description, by="editor@example.com", now=NOW)


def defined(metric: dict[str, Any], **changes: Any) -> Definition:
    raw = {**small_data.definition(), **changes}
    raw["metrics"][0] = metric
    return definitions.parse(yaml.safe_dump(raw).encode(), "small.yaml", Path("/nowhere"), StoredCatalog())


def problems(metric: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(DefinitionProblem) as caught:
        defined(metric)
    return {one.field: one.message for one in caught.value.violations}


def applied(definition: Definition, **options: Any) -> Applied:
    (one,) = apply([definition], NOW, **options)
    return one


def in_plan() -> Measured:
    return Experiment.objects.get().current_plan.load().metrics[0]


@pytest.mark.parametrize(
    "values",
    [
        LINES, CAPPED, {"key": "a", "kind": "active", "better": "lower", "column": "lines"},
        {"key": "r", "kind": "ratio", "better": "higher", "numerator": "a", "denominator": "rows", "cap": 3.0},
        {"key": "o", "kind": "event", "better": "lower", "event": {"type": "occurrence", "column": "arrested"}},
        {
            "key": "i", "kind": "event", "better": "lower",
            "event": {"type": "inactivity", "column": "x", "gap_weeks": 4},
        },
    ],
    ids=lambda values: values["kind"],
)  # fmt: skip
def test_a_used_metric_is_the_same_as_one_that_is_written_out(values: dict[str, Any]) -> None:
    published(values)
    part = {"role": "secondary", "term": "long"}
    raw = small_data.definition()
    raw["metrics"][1:] = []
    assert defined({"use": values["key"], **part}).plan == defined({**values, **part}).plan


def test_the_version_published_last_is_taken_and_any_other_can_be_pinned() -> None:
    published(LINES)
    published(CAPPED)
    assert defined(USE).plan.metrics[0].cap == 20.0
    assert defined({**USE, "version": 1}).plan.metrics[0].cap is None
    metrics.publish_version("lines", 1, by="a", now=NOW.replace(year=2025))
    assert defined(USE).plan.metrics[0].cap is None
    assert Metric.objects.filter(key="lines").count() == 2


def test_a_metric_of_another_definition_is_not_in_the_catalog_by_itself() -> None:
    applied(defined({**LINES, "role": "primary"}))
    assert "is measured by experiments here, but is not in the catalog" in problems(USE)["metrics[0].use"]
    assert defined({**USE, "version": 1}).plan.metrics[0].column == "lines"


@pytest.mark.parametrize(
    ("metric", "field", "message"),
    [
        ({**USE, "use": "line"}, "metrics[0].use", "there is no metric `line` in the catalog; did you mean `lines`?"),
        ({**USE, "version": 7}, "metrics[0].use", "`lines` has no version 7; it has 1"),
        ({**USE, "version": 0}, "metrics[0].version", "greater than or equal to 1"),
        ({**USE, "version": "1"}, "metrics[0].version", "valid integer"),
        ({**USE, "use": ["lines"]}, "metrics[0].use", "valid string"),
        ({**USE, "column": "sales"}, "metrics[0].column", "comes from the catalog with `use`; leave it out"),
        ({**USE, "key": "mine"}, "metrics[0].key", "comes from the catalog"),
        ({**USE, "rol": "primary"}, "metrics[0].rol", "did you mean `role`?"),
        ({"use": "lines"}, "metrics[0].role", "is missing"),
        ({**USE, "role": "guardrail"}, "metrics[0].margin", "needs a relative margin"),
        ({**USE, "adjust": ["age"]}, "metrics[0].adjust", "is not used by metrics of kind mean"),
    ],
)
def test_a_wrong_use_is_refused_by_field(metric: dict[str, Any], field: str, message: str) -> None:
    published(LINES)
    assert message in problems(metric)[field]


def test_two_uses_of_one_metric_are_refused() -> None:
    published(LINES)
    raw = small_data.definition()
    raw["metrics"][:1] = [dict(USE), dict(USE)]
    with pytest.raises(DefinitionProblem, match="`lines` stands 2 times"):
        definitions.parse(yaml.safe_dump(raw).encode(), "small.yaml", Path("/nowhere"), StoredCatalog())


def test_without_the_database_there_is_no_catalog(tmp_path: Path) -> None:
    data = SmallData(tmp_path)
    data.definition["metrics"][0] = dict(USE)
    done = run("analyze", data.write())
    assert done.code == 1
    assert "metrics[0].use: `lines` is in the catalog, which is kept in the database and not read here" in done.err
    assert "Of a definition that was applied `manage.py export small` does so" in done.err


# --- plans and versions -----------------------------------------------------------------------------------------------
def test_another_version_does_not_touch_a_frozen_plan_nor_the_next_apply_of_its_file() -> None:
    published(LINES)
    assert applied(defined(USE)).starts
    published(CAPPED)
    assert in_plan().cap is None
    assert applied(defined(USE)).action == "unchanged"
    assert in_plan().cap is None


def test_a_frozen_plan_takes_another_version_as_an_amendment_that_says_why() -> None:
    published(LINES)
    applied(defined(USE))
    published(CAPPED)
    pinned = defined({**USE, "version": 2})
    with pytest.raises(CannotApply, match=r"changes metrics\[lines\].cap"):
        applied(pinned)
    assert applied(pinned, amend="two outliers").action == "amended"
    assert in_plan().cap == 20.0


def test_a_draft_keeps_its_version_until_it_is_applied_again() -> None:
    published(LINES)
    applied(defined(USE, start_date=LATER))
    published(CAPPED)
    assert in_plan().cap is None
    assert applied(defined(USE, start_date=LATER)).action == "updated"
    assert in_plan().cap == 20.0


@pytest.mark.django_db(transaction=True)
def test_the_command_applies_a_file_that_uses_the_catalog(tmp_path: Path) -> None:
    published(LINES)
    data = SmallData(tmp_path)
    data.definition["metrics"][0] = dict(USE)
    assert run("apply", data.write()).code == 0


def test_an_exported_definition_writes_the_metric_out_and_is_taken_back_unchanged() -> None:
    published(LINES)
    applied(defined(USE))
    published(CAPPED)
    exported = export("small")
    assert yaml.safe_load(exported.text)["metrics"][0] == {**LINES, "role": "primary", "term": "short"}
    back = definitions.parse(exported.text.encode(), "small.yaml", Path(exported.folder), StoredCatalog())
    taken = applied(back)
    assert (taken.action, taken.changes) == ("unchanged", ())


def test_publishing_the_same_again_changes_nothing() -> None:
    first = published(LINES, "basket lines")
    assert published(LINES, "basket lines").pk == first.pk
    assert AuditEntry.objects.count() == 1
    published(LINES, "lines of all baskets")
    assert Metric.objects.get().description == "lines of all baskets"
    assert AuditEntry.objects.count() == 2


def test_a_new_metric_takes_no_key_of_the_catalog() -> None:
    published(LINES)
    with pytest.raises(CannotPublish, match="is in the catalog already"):
        metrics.publish(CAPPED, "", by="a", now=NOW, new=True)


def test_the_catalog_says_what_it_has() -> None:
    with pytest.raises(NotInCatalog, match="there is no metric `lines` in the catalog; there is none yet"):
        StoredCatalog().metric("lines", None, "")
    with pytest.raises(NotInCatalog, match="there is no metric `lines` in the catalog"):
        StoredCatalog().metric("lines", 1, "")


# --- pages ------------------------------------------------------------------------------------------------------------
FORM = {"key": "lines", "kind": "mean", "better": "higher", "column": "lines", "description": "lines of all baskets"}


def test_an_editor_adds_a_metric_edits_it_and_takes_the_first_version_again() -> None:
    editor = signed_in("editor")
    assert editor.post("/add/metric/", FORM).headers["Location"] == "/metrics/lines/"
    assert 'value="lines"' in editor.get("/metrics/lines/edit/").content.decode()
    editor.post("/metrics/lines/edit/", {**FORM, "cap": "20"})
    text = words(signed_in("viewer").get("/metrics/lines/"))
    assert "A definition takes version 2 with {use: lines, role: primary}" in text
    assert "version 2, in the catalog Sum of lines of a unit in a week, at most 20.0." in text
    assert "lines of all baskets" in text
    assert "Take version 1" not in text
    assert "Take version 1 in place of version 2" in words(editor.get("/metrics/lines/"))
    assert editor.post("/metrics/lines/publish/1/").status_code == 302
    assert "takes version 1" in words(editor.get("/metrics/lines/"))
    assert editor.post("/metrics/lines/publish/1/").status_code == 409
    assert editor.post("/metrics/lines/publish/9/").status_code == 404
    assert [entry.after["version"] for entry in AuditEntry.objects.order_by("pk")] == [1, 2, 1]


def test_who_uses_which_version_stands_on_its_page() -> None:
    published(LINES)
    applied(defined({**USE, "weight": 0.4}))
    published(CAPPED)
    text = words(signed_in("viewer").get("/metrics/lines/"))
    assert text.index("No plan in force uses this version.") < text.index("A small experiment primary, short term")


EVENT = {"kind": "event", "column": "", "event_column": "x"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"key": "Lines"}, "A key is 1 to 63 of a-z, 0-9, dot, underscore and dash"),
        ({"column": ""}, "Is missing; metric `lines` of kind mean needs it."),
        ({"kind": "ratio"}, "Is not used by metrics of kind ratio (metric `lines`)."),
        ({"kind": "percentile"}, "percentile is not one of the available choices"),
        ({"cap": "-1"}, "Should be greater than 0 (found -1.0)."),
        ({"cap": "nan"}, "Enter a number."),
        ({**EVENT}, "Is missing."),
        ({**EVENT, "event_type": "inactivity"}, "Is missing; the inactivity"),
        ({**EVENT, "event_type": "occurrence", "gap_weeks": "3"}, "Belongs to"),
    ],
)  # fmt: skip
def test_a_form_is_judged_by_the_rules_of_definitions(changes: dict[str, str], sentence: str) -> None:
    response = signed_in("editor").post("/add/metric/", {**FORM, **changes})
    assert response.status_code == 422
    assert sentence in words(response)
    assert not Metric.objects.exists()


def test_a_metric_that_is_nowhere_is_not_found() -> None:
    for address in ("/metrics/nothing/", "/metrics/nothing/edit/"):
        assert signed_in("editor").get(address).status_code == 404
