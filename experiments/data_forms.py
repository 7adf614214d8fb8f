"""Forms of sources and metrics: where data are, what their columns are, how something is measured."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.conf import settings

from experiments.formatting import sentence
from experiments.models import SourceDraft
from experiments.services.sources import TABLES

LONGEST_PATTERN = 500


class UploadForm(forms.Form):
    """Two files. They are received, and judged, elsewhere: this draws their fields."""

    exposures = forms.FileField(widget=forms.FileInput(attrs={"accept": ".parquet,.pq,.csv,.tsv"}))
    facts = forms.FileField(widget=forms.FileInput(attrs={"accept": ".parquet,.pq,.csv,.tsv"}))


class FolderForm(forms.Form):
    """Files that are on the server already."""

    folder = forms.ChoiceField()
    exposures = forms.CharField(max_length=LONGEST_PATTERN, initial="exposures.parquet")
    facts = forms.CharField(max_length=LONGEST_PATTERN, initial="facts.parquet")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "id_server_%s", **kwargs})
        folders = [str(folder) for folder in settings.HOLDFAST_DATA_FOLDERS]
        field = self.fields["folder"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(folder, folder) for folder in folders]

    def patterns(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in TABLES}


class ColumnsForm(forms.Form):
    """The key of a source, and which column is what."""

    key = forms.CharField(max_length=63, strip=True, required=False)
    unit = forms.ChoiceField(required=False)
    variant = forms.ChoiceField(required=False)
    exposed_at = forms.ChoiceField(required=False)
    left_at = forms.ChoiceField(required=False)
    at = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, draft: SourceDraft, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tables = draft.tables
        exposures = [column.name for column in tables["exposures"].columns]
        facts = [column.name for column in tables["facts"].columns]
        self._choose("unit", [name for name in exposures if name in facts] or exposures)
        for field in ("variant", "exposed_at", "left_at"):
            self._choose(field, exposures)
        self._choose("at", facts)
        if draft.source is not None:
            del self.fields["key"]

    def _choose(self, name: str, columns: Iterable[str]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        nothing = "none of them" if name == "left_at" else "choose a column"
        field.choices = [("", nothing), *((column, column) for column in columns)]


class MetricForm(forms.Form):
    """What a metric measures. Which fields a kind needs, and what they may hold, the rules of definitions say."""

    key = forms.CharField(max_length=63, required=False)
    description = forms.CharField(max_length=500, required=False)
    kind = forms.ChoiceField(
        choices=[
            ("mean", "mean: the sum of a column"), ("active", "active: any row above zero"),
            ("ratio", "ratio: one sum over another"), ("event", "event: the time until something happens"),
        ]
    )  # fmt: skip
    better = forms.ChoiceField(choices=[("higher", "higher is better"), ("lower", "lower is better")])
    column = forms.CharField(max_length=200, required=False)
    numerator = forms.CharField(max_length=200, required=False)
    denominator = forms.CharField(max_length=200, required=False)
    cap = forms.FloatField(required=False)
    event_type = forms.ChoiceField(
        required=False,
        choices=[
            ("", "none"), ("occurrence", "occurrence: the first week with the column above zero"),
            ("inactivity", "inactivity: the first gap of some weeks"),
        ],
    )  # fmt: skip
    event_column = forms.CharField(max_length=200, required=False)
    gap_weeks = forms.IntegerField(required=False)

    def __init__(self, *args: Any, key: str | None = None, **kwargs: Any) -> None:
        """``key`` is that of a metric in the catalog, None for a new one."""
        super().__init__(*args, **kwargs)
        self._key = key
        if key is not None:
            del self.fields["key"]

    def as_definition(self) -> dict[str, Any]:
        """What was typed in the keys of a definition; empty fields are left out."""
        typed = self.cleaned_data
        values = {name: typed[name] for name in ("kind", "better", "column", "numerator", "denominator", "cap")}
        event = {
            "type": typed["event_type"], "column": typed["event_column"], "gap_weeks": typed["gap_weeks"]
        }  # fmt: skip
        values["event"] = {name: value for name, value in event.items() if value not in ("", None)} or None
        given = {name: value for name, value in values.items() if value not in ("", None)}
        return {"key": self._key or typed["key"], **given}


#: Fields of a definition's metric whose field in the form has another name.
EVENT_FIELDS = {
    "event": "event_type", "event.type": "event_type", "event.column": "event_column", "event.gap_weeks": "gap_weeks",
}  # fmt: skip


def add_problems(form: forms.Form, problems: Mapping[str, str]) -> None:
    """Put what a service found wrong beside the fields it is about; the rest goes above the form."""
    for field, message in problems.items():
        form.add_error(field if field in form.fields else None, sentence(message))
