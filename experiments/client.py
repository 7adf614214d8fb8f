"""Holdfast in a notebook: scorecards as tables of pandas, and the charts of the pages. Needs requests and pandas alone.

    from experiments.client import Holdfast

    hf = Holdfast("https://holdfast.example.com", token="hf_...")
    hf.scorecard("honeymoon").effects
    hf.chart("honeymoon", "lines")

Lifts are fractions, effects and means are in the metric's own unit a week, signs are raw. A number that is not known is
missing, and the column ``reason`` says why.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any
from urllib.parse import quote

import pandas as pd
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

#: Seconds to wait for an answer.
TIMEOUT = 60.0
#: How often a question is asked again when the server is busy (429) or in trouble, with longer and longer pauses.
TRIES = 5
AGAIN = (429, 500, 502, 503, 504)
#: Pixels; on a page charts are as wide as their place.
WIDTH = 640
PAGE = 500

DATES = frozenset({"as_of", "readable_from", "first_seen", "turned_first_seen", "changes_on", "start_date", "due"})
TIMES = frozenset({"decided_at"})
WHOLE = frozenset({
    "start_week", "end_week", "week", "n_control", "n_treatment", "at_risk", "events", "censored", "tau",
    "horizon_week", "look", "sequential_look", "sequential_looks", "events_control", "events_treatment",
    "median_control", "median_treatment", "gap_weeks", "gap_advised", "late_start_week", "late_end_week",
    "turned_start_week", "turned_end_week", "values", "enrollment_weeks", "horizon_weeks", "number",
    "adjusted_hazard_units", "adjusted_hazard_left_out",
})  # fmt: skip
YES_OR_NO = frozenset({"adjusted", "sequential_significant", "decides", "met", "loss", "launched"})
WORDS = frozenset({
    "metric", "variant", "window", "segment", "role", "term", "kind", "state", "reason", "verdict", "check", "detail",
    "action", "recommended", "by", "experiment", "short_metric", "long_metric", "key", "name", "owner", "hypothesis",
    "standing",
})  # fmt: skip


class HoldfastError(Exception):
    """The server did not do what was asked. The message says why, and what to do.

    Attributes:
        status: of the answer; 0 where there was none.
        errors: the values that were refused, each with ``field`` and ``message``.
    """

    def __init__(self, message: str, status: int = 0, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.status, self.errors = status, tuple(errors)


@dataclass(frozen=True)
class Chart:
    """A chart of the pages. A notebook draws it by itself; ``spec`` is its Vega-Lite.

    Attributes:
        title: the finding.
        specs: the ways in which it can be drawn by name; the first is ``spec``.
    """

    title: str
    subtitle: str
    specs: Mapping[str, Mapping[str, Any]]

    @property
    def spec(self) -> dict[str, Any]:
        """The Vega-Lite spec, with its data and colors in it."""
        first = next(iter(self.specs.values()))
        return {**first, "width": WIDTH, "title": {"text": self.title, "subtitle": self.subtitle, "anchor": "start"}}

    def __getitem__(self, name: str) -> "Chart":
        """The same, drawn in another way, such as ``cumulative``."""
        if name not in self.specs:
            raise HoldfastError(f"there is no {name!r}; this chart has {', '.join(self.specs)}")
        return Chart(self.title, self.subtitle, {name: self.specs[name]})

    def __repr__(self) -> str:
        return f"<Chart: {self.title} ({', '.join(self.specs)})>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """What Jupyter draws: itself if it knows Vega-Lite, and a picture where vl-convert-python is installed."""
        spec = self.spec
        drawn = {f"application/vnd.vegalite.v{version}+json": spec for version in (6, 5)}
        try:
            import vl_convert
        except ImportError:
            return {**drawn, "text/plain": repr(self)}
        return {**drawn, "image/svg+xml": vl_convert.vegalite_to_svg(spec), "text/plain": repr(self)}


class Scorecard:
    """A look at an experiment. ``document`` is its JSON, whole; the rest are tables made from it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.key: str = document["key"]
        self.as_of = date.fromisoformat(document["as_of"])
        self.units: Mapping[str, int] = document["units"]

    def __repr__(self) -> str:
        told = ", ".join(f"{one['variant']}: {one['action']}" for one in self.document["recommendation"])
        return f"<Scorecard of {self.key} as of {self.as_of} ({told or 'nothing is recommended'})>"

    @cached_property
    def effects(self) -> pd.DataFrame:
        """All units: a row a metric, window and treatment. Claims are read from the ``sequential_`` columns."""
        rows = [row for row in self.document["effects"] if row["segment"] is None]
        return _table(rows, ["metric", "window", "variant"]).drop(columns="segment", errors="ignore")

    @cached_property
    def segments(self) -> pd.DataFrame:
        """Effects within segments, ``column=value``. They are for exploring: nothing is claimed of them."""
        rows = [row for row in self.document["effects"] if row["segment"] is not None]
        return _table(rows, ["metric", "window", "variant", "segment"])

    @cached_property
    def trajectory(self) -> pd.DataFrame:
        """Effects by week since exposure; ``band_low`` and ``band_high`` hold jointly over all weeks."""
        return _table(self.document["trajectory"], ["metric", "variant", "kind", "week"])

    @cached_property
    def survival(self) -> pd.DataFrame:
        """The share of units without the event after each completed week, by variant."""
        return _curves(self.document["survival"])

    @cached_property
    def survival_comparison(self) -> pd.DataFrame:
        """What treatments differ by in each time to event."""
        return _table(self.document["survival_comparison"], ["metric", "variant"])

    @cached_property
    def survival_difference(self) -> pd.DataFrame:
        """Treatment less control in the share without the event, for every week."""
        return _inner(self.document["survival_comparison"], "difference_curve", ["metric", "variant", "week"])

    @cached_property
    def hazard_periods(self) -> pd.DataFrame:
        """Hazard ratios by weeks since exposure."""
        return _inner(self.document["survival_comparison"], "periods", ["metric", "variant", "start_week"])

    @cached_property
    def reversals(self) -> pd.DataFrame:
        """Early wins that are, or may be, later losses."""
        return _table(self.document["reversals"], ["metric", "variant"])

    @cached_property
    def checks(self) -> pd.DataFrame:
        """Whether the data are fit to be read."""
        return _table(self.document["checks"], ["check"])

    @cached_property
    def recommendation(self) -> pd.DataFrame:
        """What to do with each treatment; ``reasons`` are lists of sentences."""
        return _table(self.document["recommendation"], ["variant"])


class Holdfast:
    """A server of Holdfast. The token needs the scope ``read``; people make one on the page Tokens."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        """Take the address and the token, or read them from HOLDFAST_URL and HOLDFAST_TOKEN."""
        self.url = (url or os.environ.get("HOLDFAST_URL", "")).rstrip("/")
        secret = (token or os.environ.get("HOLDFAST_TOKEN", "")).strip()  # files of secrets end in a new line
        if not self.url.startswith(("http://", "https://")):
            raise HoldfastError(f"the address is {self.url!r}; give one such as http://127.0.0.1:8000, or HOLDFAST_URL")
        if not secret:
            raise HoldfastError(f"there is no token; make one on {self.url}/tokens/ and give it, or HOLDFAST_TOKEN")
        if not (secret.isascii() and secret.isprintable()):  # it could not be sent, and an error would print it
            raise HoldfastError("the token has characters that no token has; copy it anew")
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {secret}"
        retry = Retry(
            total=TRIES, backoff_factor=0.2, status_forcelist=AGAIN, allowed_methods={"GET"}, raise_on_status=False
        )  # fmt: skip
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def __repr__(self) -> str:
        return f"<Holdfast at {self.url}>"

    def experiments(self) -> pd.DataFrame:
        """All experiments and holdouts; ``recommendation`` is by treatment, ``reversals`` by metric."""
        rows: list[dict[str, Any]] = []
        after = None
        while True:
            page = self._get("experiments", after=after, limit=PAGE)
            rows += [_brief(row) for row in page["experiments"]]
            after = page["next"]
            if after is None:
                return _table(rows, ["key"])

    def scorecard(self, key: str, as_of: date | str | None = None) -> Scorecard:
        """The newest look, or the one of a day, taken then or rebuilt from the newest data."""
        return Scorecard(self._get(f"experiments/{key}/scorecard", as_of=as_of))

    def effects(self, key: str, as_of: date | str | None = None) -> pd.DataFrame:
        """``scorecard(key, as_of).effects``."""
        return self.scorecard(key, as_of).effects

    def trajectory(
        self,
        key: str,
        metric: str | None = None,
        variant: str | None = None,
        kind: str | None = "weekly",
        as_of: date | str | None = None,
    ) -> pd.DataFrame:
        """Effects by week since exposure: ``weekly``, ``cumulative`` or by ``calendar`` week; None is all of them."""
        found = self._get(f"experiments/{key}/trajectories", metric=metric, variant=variant, kind=kind, as_of=as_of)
        return _table(found["trajectory"], ["metric", "variant", "kind", "week"])

    def survival(self, key: str, metric: str | None = None, as_of: date | str | None = None) -> pd.DataFrame:
        """The share of units without the event after each completed week, by variant."""
        return _curves(self._get(f"experiments/{key}/survival", metric=metric, as_of=as_of)["survival"])

    def replay(self, key: str) -> pd.DataFrame:
        """What each past look would have recommended."""
        return _table(self._get(f"experiments/{key}/replay")["looks"], ["variant", "as_of"])

    def decisions(self, key: str | None = None) -> pd.DataFrame:
        """What people decided, newest first, beside what was recommended."""
        rows: list[dict[str, Any]] = []
        older_than = None
        while True:
            page = self._get("decisions", experiment=key, older_than=older_than, limit=100)
            rows += page["decisions"]
            older_than = page["next"]
            if older_than is None:
                return _table(rows, ["number"])

    def chart(
        self,
        key: str,
        metric: str | None = None,
        part: str = "trajectory",
        variant: str | None = None,
        as_of: date | str | None = None,
        colors: str = "light",
    ) -> Chart:
        """A chart of the pages: trajectory; of an event retention, survival or difference; objectives."""
        asked = {"metric": metric, "part": part, "variant": variant, "as_of": as_of, "colors": colors}
        return Chart(**self._get(f"experiments/{key}/chart", **asked))

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        given = {name: str(value) for name, value in query.items() if value is not None}
        address = f"{self.url}/api/v1/{quote(path)}"
        try:
            response = self._session.get(address, params=given, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise HoldfastError(
                f"{self.url} cannot be reached: {error}. Is it running, and the address right?"
            ) from error
        try:
            found = response.json()
        except requests.JSONDecodeError as error:
            raise HoldfastError(
                f"what answers at {address} is no Holdfast (status {response.status_code}); look at the address",
                response.status_code,
            ) from error
        if not response.ok:
            fix = f" To do: {found['fix']}." if found.get("fix") else ""
            told = found.get("detail", f"status {response.status_code}")
            end = "" if told.endswith((".", "?")) else "."
            raise HoldfastError(f"{told}{end}{fix}", response.status_code, found.get("errors", ()))
        answer: dict[str, Any] = found
        return answer


def _brief(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row, "look": (row["look"] or {}).get("number"),
        "recommendation": {one["variant"]: one["action"] for one in row["recommendation"]},
        "reversals": {one["metric"]: one["state"] for one in row["reversals"]},
    }  # fmt: skip


def _table(rows: Iterable[Mapping[str, Any]], index: list[str]) -> pd.DataFrame:
    """Rows of JSON as a table: objects within a row as columns of their own, lists of objects left out.

    With several keys it is sorted by them, so that pandas finds parts of it at once.
    """
    flat = [_flat(row) for row in rows]
    table = pd.DataFrame(flat, columns=None if flat else index)
    for name in table.columns:
        table[name] = _typed(name, table[name])
    keyed = table.set_index(index)
    return keyed.sort_index() if len(index) > 1 else keyed


def _typed(name: str, column: pd.Series) -> pd.Series:
    """A column in the type of its field, the same whatever is missing: numbers may all be, in a young experiment."""
    if name in DATES:
        return pd.to_datetime(column, format="%Y-%m-%d")
    if name in TIMES:
        return pd.to_datetime(column, format="ISO8601", utc=True)
    for names, kind in ((WHOLE, "Int64"), (YES_OR_NO, "boolean"), (WORDS, "string")):
        if name in names:
            return column.astype(kind)
    numbers = column.map(lambda value: value is None or isinstance(value, (int, float))).all()
    return column.astype("float64") if numbers else column


#: Objects within a row whose fields are told even where there is none, so that a table has the same columns always.
PARTS: Mapping[str, tuple[str, ...]] = {
    "turned": ("start_week", "end_week", "lift", "p_value", "first_seen"),
    "adjusted_hazard": ("hazard_ratio", "low", "high", "p_value", "units", "left_out"),
}
_CLAIMED = ("look", "looks", "critical", "{}_low", "{}_high", "lift_low", "lift_high", "significant")


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name == "sequential":
            fields = tuple(one.format("rmst" if "tau" in row else "effect") for one in _CLAIMED)
            flat |= {f"{name}_{field}": (value or {}).get(field) for field in fields}
        elif name in PARTS:
            flat |= {f"{name}_{field}": (value or {}).get(field) for field in PARTS[name]}
        elif name == "unadjusted":
            flat |= {f"{name}_{field}": inner for field, inner in value.items()}
        elif not (isinstance(value, list) and name in ("survival_difference", "difference_curve", "periods")):
            flat[name] = value
    return flat


def _curves(curves: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    return _inner(curves, "curve", ["metric", "variant", "week"])


def _inner(rows: Iterable[Mapping[str, Any]], part: str, index: list[str]) -> pd.DataFrame:
    told = [{"metric": row["metric"], "variant": row["variant"], **point} for row in rows for point in row[part]]
    return _table(told, index)
