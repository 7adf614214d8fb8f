"""From uploaded files to a scorecard: what is read of a registered source is what one pass over the files says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import definitions
from experiments.models import Experiment, SourceDraft
from experiments.services import sources
from experiments.services.apply import apply
from experiments.services.metrics import StoredCatalog, publish
from experiments.services.refresh import CannotRefresh, plan_look
from experiments.services.results import stored_scorecard
from tests.experiments.looks import AS_OF, NOW, Mailbox, assert_same, fresh, taken
from tests.experiments.registered import csv_of, parquet_of, sent
from tests.experiments.small_data import SmallData, stacked
from tests.people import signed_in

pytestmark = pytest.mark.django_db(transaction=True)


def uploaded(data: SmallData, address: str = "/add/source/") -> None:
    """Send the tables and keep them, as they are guessed, under the key ``shop``."""
    files = {
        "exposures": sent("exposures.csv", csv_of(data.exposures)), "facts": sent("f.parquet", parquet_of(data.facts))
    }  # fmt: skip
    editor = signed_in("editor")
    assert editor.post(address, {"how": "upload", **files}).status_code == 302
    draft = SourceDraft.objects.get()
    columns = sources.fields_of(sources.guessed(draft))
    assert editor.post(f"/add/source/{draft.token}/", {"key": "shop", **columns}).status_code == 302


def test_an_uploaded_source_and_a_shared_metric_give_the_scorecard_of_the_files_themselves(
    data: SmallData, box: Mailbox, tmp_path: Path, settings: Any
) -> None:
    settings.HOLDFAST_UPLOADS = tmp_path / "uploads"
    data.write()
    expected = fresh(data, AS_OF)
    uploaded(data)
    lines = {"key": "lines", "kind": "mean", "better": "higher", "column": "lines"}
    publish(lines, "", by="editor@example.com", now=NOW)
    data.definition["source"] = {"name": "shop"}
    data.definition["metrics"][0] = {"use": "lines", "term": "short", "role": "primary"}
    data.path.write_text(definition_text(data))
    apply([definitions.load(data.path, StoredCatalog())], NOW)
    look = taken(box, "small", AS_OF)
    assert look.state == "done", look.error
    assert_same(stored_scorecard("small"), expected)
    # Newer data in place of the old are read by the next look; the look that was taken stays.
    late = {name: [column[-1]] for name, column in data.facts.items()}
    data.facts = stacked({name: list(column) for name, column in data.facts.items()}, late)
    uploaded_again(data, box)
    assert stored_scorecard("small").fact_rows == expected.fact_rows + 1
    assert Experiment.objects.get().current_plan.looks.count() == 2


def uploaded_again(data: SmallData, box: Mailbox) -> None:
    uploaded(data, "/sources/shop/data/")
    assert taken(box, "small", AS_OF).state == "done"


def test_a_link_that_leads_out_of_a_registered_folder_is_refused_by_the_look(
    data: SmallData, box: Mailbox, tmp_path: Path, settings: Any
) -> None:
    settings.HOLDFAST_UPLOADS = tmp_path / "uploads"
    data.write()
    uploaded(data)
    data.definition["source"] = {"name": "shop"}
    data.path.write_text(definition_text(data))
    apply([definitions.load(data.path)], NOW)
    folder = Path(Experiment.objects.get().source.folder)
    (folder / "facts.parquet").unlink()
    (folder / "facts.parquet").symlink_to(tmp_path / "facts.parquet")
    with pytest.raises(CannotRefresh, match="leads out of"):
        plan_look("small", AS_OF, NOW)


def definition_text(data: SmallData) -> str:
    return str(yaml.safe_dump(data.definition, sort_keys=False))
