"""What is wrong in the two tables of a source whatever the plan: steps of a check, each of which yields findings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from experiments.sources.base import Columns, listed
from experiments.sources.fact_tallies import LARGEST
from experiments.sources.findings import Finding, Severity, TableName
from experiments.sources.tables import Moment, Table, id_family, is_number, literal, quoted, time_sql

#: The two tables.
NAMES: tuple[TableName, ...] = ("exposures", "facts")

#: More values in the column of variants than this are hardly variants.
MOST_VARIANTS = 50

#: A column of text in facts is taken for numbers gone wrong where at least this share of its values are numbers.
NUMBERS_SHARE = 0.5

#: Earlier days are taken for a slip, such as a year 0024.
EARLIEST = date(1970, 1, 1)

#: Days without a fact are looked for in at most this many days.
LONGEST_SPAN = 20_000


@dataclass
class Checked:
    """The two tables as views ``exposures`` and ``facts``, and which of their columns can be relied on."""

    connection: duckdb.DuckDBPyConnection
    tables: Mapping[TableName, Table]
    columns: Columns
    today: date
    timezone: str

    def ask(self, query: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self.connection.execute(query).fetchall()[0]
        return row

    def time(self, table: TableName, column: str) -> Moment:
        return time_sql(self.tables[table], column, self.timezone)

    @property
    def unit(self) -> str:
        return quoted(self.columns.unit)


def refusal(table: TableName, about: str, message: str) -> Finding:
    return Finding(table, about, "refused", 1, "", message)


def _counted(table: TableName, about: str, severity: Severity, found: tuple[Any, ...], what: str) -> Iterator[Finding]:
    """A finding if there are any: ``found`` is the count and an example; the message is the count and ``what``."""
    count, example = int(found[0] or 0), found[1]
    if count:
        shown = "" if example is None else str(example)
        yield Finding(table, about, severity, count, shown, f"{count:,} {what}")


def ids(checked: Checked) -> Iterator[Finding]:
    families = {}
    for name in NAMES:
        kind = checked.tables[name].need(checked.columns.unit, "it holds the unit ids")
        families[name] = id_family(kind)
        if families[name] is None:
            wrong = f"column `{checked.columns.unit}` is of type {kind}; ids are integers, text or uuids"
            yield refusal(name, "ids", wrong)
    if None not in families.values() and families["exposures"] != families["facts"]:
        yield refusal(
            "facts", "ids", f"unit ids are {families['exposures']} in exposures and {families['facts']} in facts; "
            "both tables need the same type",
        )  # fmt: skip
    for name in NAMES:
        found = checked.ask(f"SELECT count(*), NULL FROM {name} WHERE {checked.unit} IS NULL")
        if name == "exposures":
            yield from _counted(name, "ids", "refused", found, "rows have no unit id; every row needs one")
        else:
            yield from _counted(name, "no_unit", "left_out", found, "rows have no unit id and belong to nobody")


def dates(name: TableName, column: str) -> Callable[[Checked], Iterator[Finding]]:
    """The days of a table; ``column`` is the name of a field of ``Columns``."""

    def step(checked: Checked) -> Iterator[Finding]:
        called = getattr(checked.columns, column)
        time = checked.time(name, called)
        value, about = quoted(called), f"{name} dates"
        nulls = checked.ask(f"SELECT count(*), any_value({checked.unit}) FROM {name} WHERE {value} IS NULL")
        yield from _counted(name, about, "refused", nulls, f"rows have no date in `{called}`; every row needs one")
        unread = f"{value} IS NOT NULL AND ({time.instant} IS NULL OR NOT isfinite({time.day}))"
        found = checked.ask(f"SELECT count(*), min(CAST({value} AS VARCHAR)) FROM {name} WHERE {unread}")
        yield from _counted(name, about, "refused", found, f"rows are not dates in `{called}`; write 2024-03-31")
        late = f"isfinite({time.day}) AND {time.day} > {literal(checked.today.isoformat())}::DATE"
        found = checked.ask(f"SELECT count(*), max({time.day}) FROM {name} WHERE {late}")
        yield from _counted(
            name, about, "refused", found, f"rows are dated after today ({checked.today}) in `{called}`"
        )
        early = f"{time.day} < {literal(EARLIEST.isoformat())}::DATE"
        found = checked.ask(f"SELECT count(*), min({time.day}) FROM {name} WHERE {early}")
        yield from _counted(name, "early_dates", "noted", found, f"rows are dated before {EARLIEST.year}")

    return step


def variants(checked: Checked) -> Iterator[Finding]:
    checked.tables["exposures"].need(checked.columns.variant, "it holds the variants")
    name = f"CAST({quoted(checked.columns.variant)} AS VARCHAR)"
    blank = f"{name} IS NULL OR trim({name}) = ''"
    found = checked.ask(f"SELECT count(*), any_value({checked.unit}) FROM exposures WHERE {blank}")
    yield from _counted("exposures", "no_variant", "left_out", found, "rows have no variant; their units are left out")
    rows = checked.connection.execute(
        f"SELECT {name}, count(DISTINCT {checked.unit}) FROM exposures WHERE NOT ({blank}) GROUP BY 1 "
        f"ORDER BY 2 DESC, 1 LIMIT {MOST_VARIANTS + 1}"
    ).fetchall()
    if len(rows) > MOST_VARIANTS:
        yield Finding(
            "exposures", "variants", "noted", len(rows), str(rows[0][0]),
            f"`{checked.columns.variant}` has more than {MOST_VARIANTS} values; is it the column of variants?",
        )  # fmt: skip
    elif rows:
        shown = listed([f"{variant} ({units:,} units)" for variant, units in rows])
        yield Finding("exposures", "variants", "fine", len(rows), str(rows[0][0]), f"the variants are {shown}")
        yield from _alike([str(variant) for variant, _ in rows])


def _alike(variants: Sequence[str]) -> Iterator[Finding]:
    """Variants that are the same but for case and spaces: to a plan they are two."""
    seen: dict[str, str] = {}
    for variant in variants:
        first = seen.setdefault("".join(variant.lower().split()), variant)
        if first != variant:
            said = f"variants {first!r} and {variant!r} differ in case or spaces alone; a plan takes them for two"
            yield Finding("exposures", "alike_variants", "noted", 1, variant, said)


def repeated_exposures(checked: Checked) -> Iterator[Finding]:
    variant = f"CAST({quoted(checked.columns.variant)} AS VARCHAR)"
    day = checked.time("exposures", checked.columns.exposed_at).day
    checked.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE seen AS SELECT {checked.unit} AS unit, count(*) AS rows, min({day}) AS day, "
        f"max({day}) AS last_day, min({variant}) AS one, max({variant}) AS other FROM exposures GROUP BY 1"
    )
    found = checked.ask("SELECT sum(rows - 1), min(unit) FROM seen WHERE rows > 1 AND one IS NOT DISTINCT FROM other")
    yield from _counted(
        "exposures",
        "repeated_units",
        "noted",
        found,
        "rows repeat a unit in its variant; its first exposure counts",
    )
    shown = "unit::VARCHAR || ' in ' || one || ' and ' || other || ', ' || day || ' to ' || last_day"
    found = checked.ask(f"SELECT count(*), min({shown}) FROM seen WHERE one <> other")
    yield from _counted(
        "exposures", "two_variants", "left_out", found,
        "units are seen in two variants; each is left out from the day of the second on",
    )  # fmt: skip


def left(checked: Checked) -> Iterator[Finding]:
    column = checked.columns.left_at
    if column is None:
        yield Finding(
            "exposures", "left_at", "noted", 0, "", "no column says when units left, so attrition cannot be checked"
        )
        return
    left, day = checked.time("exposures", column), checked.time("exposures", checked.columns.exposed_at).day
    value = quoted(column)
    unread = f"{value} IS NOT NULL AND {left.instant} IS NULL"
    found = checked.ask(f"SELECT count(*), min(CAST({value} AS VARCHAR)) FROM exposures WHERE {unread}")
    yield from _counted("exposures", "left_at", "refused", found, f"rows are not dates in `{column}`")
    found = checked.ask(f"SELECT count(*), any_value({checked.unit}) FROM exposures WHERE {left.day} < {day}")
    yield from _counted(
        "exposures", "left_at", "noted", found, "rows left before they were exposed; they count as left on that day"
    )


def strangers(checked: Checked) -> Iterator[Finding]:
    """Facts and exposures that do not find each other. The table ``seen`` is there."""
    known = f"{checked.unit} IN (SELECT unit FROM seen)"
    rows, unknown, example = checked.ask(
        f"SELECT count(*), count(*) FILTER (NOT {known}), min({checked.unit}) FILTER (NOT {known}) FROM facts "
        f"WHERE {checked.unit} IS NOT NULL"
    )
    if rows and rows == unknown:
        other = checked.ask("SELECT min(unit) FROM seen")[0]
        yield Finding(
            "facts", "unknown_units", "refused", unknown, str(example),
            f"no row is of a unit in exposures, whose ids look like {other!r}; are they written in the same way?",
        )  # fmt: skip
        return
    yield from _counted(
        "facts", "unknown_units", "left_out", (unknown, example), "rows are of units that are not in exposures"
    )
    found = checked.ask(
        f"SELECT count(*), min(unit) FROM seen WHERE unit NOT IN "
        f"(SELECT {checked.unit} FROM facts WHERE {checked.unit} IS NOT NULL)"
    )
    yield from _counted(
        "exposures", "silent_units", "noted", found, "units have no fact; they count, with zeros in every week"
    )


def before(checked: Checked) -> Iterator[Finding]:
    day = checked.time("facts", checked.columns.at).day
    found = checked.ask(
        f"SELECT count(*), min(f.unit) FROM (SELECT {checked.unit} AS unit, {day} AS day FROM facts) f "
        "JOIN seen ON f.unit = seen.unit WHERE f.day < seen.day"
    )
    if found[0]:
        yield from _counted(
            "facts",
            "before_exposure",
            "fine",
            found,
            "rows lie before their unit's exposure: pre_weeks can use them",
        )
    else:
        said = "no row lies before its unit's exposure: leave pre_weeks at 0"
        yield Finding("facts", "before_exposure", "noted", 0, "", said)


def days(checked: Checked) -> Iterator[Finding]:
    day = checked.time("facts", checked.columns.at).day
    days = {row[0] for row in checked.connection.execute(f"SELECT DISTINCT {day} FROM facts").fetchall()}
    first, last = min(days), max(days)
    step = 7 if len(days) > 1 and len({one.weekday() for one in days}) == 1 else 1
    if step == 7:
        yield Finding(
            "facts", "weekly", "noted", len(days), first.isoformat(),
            f"all facts fall on a {first:%A}, so they are by week: definitions need `clock: calendar`",
        )  # fmt: skip
    span = (last - first).days
    missing = [
        date.fromordinal(number)
        for number in range(first.toordinal(), first.toordinal() + min(span, LONGEST_SPAN), step)
        if date.fromordinal(number) not in days
    ]
    what = "weeks" if step == 7 else "days"
    yield Finding("facts", "span", "fine", len(days), "", f"facts go from {first} to {last}")
    yield from _counted(
        "facts", "gaps", "noted", (len(missing), missing[0] if missing else None),
        f"{what} between the first and the last have no fact at all",
    )  # fmt: skip


def same_rows(checked: Checked) -> Iterator[Finding]:
    found = checked.ask(
        f"SELECT sum(n - 1), min(unit) FROM (SELECT {checked.unit} AS unit, count(*) AS n FROM facts GROUP BY "
        f"{listed([quoted(name) for name in checked.tables['facts'].types])} HAVING count(*) > 1)"
    )
    yield from _counted("facts", "same_rows", "noted", found, "rows are the same as another one; they add up")


def values(checked: Checked) -> Iterator[Finding]:
    table, columns = checked.tables["facts"], checked.columns
    for name, kind in table.types.items():
        if name in (columns.unit, columns.at):
            continue
        value = quoted(name)
        if is_number(kind):
            nulls = checked.ask(f"SELECT count(*) - count({value}), NULL FROM facts")
            yield from _counted("facts", "nulls", "noted", nulls, f"rows have no `{name}`, which is read as zero")
        if table.is_float(name):
            # Not a WHERE: DuckDB prunes by the file's statistics, which know nothing of NaN.
            unusable = table.dialect.is_unusable(value, LARGEST)
            found = checked.ask(f"SELECT count(*) FILTER ({unusable}), min({value}) FILTER ({unusable}) FROM facts")
            yield from _counted(
                "facts", "not_finite", "refused", found,
                f"rows of `{name}` are not finite numbers below {LARGEST:g}; metrics cannot use it",
            )  # fmt: skip
        if kind == "VARCHAR":
            yield from _text_numbers(checked, name)


def _text_numbers(checked: Checked, name: str) -> Iterator[Finding]:
    value = quoted(name)
    there, numbers, example = checked.ask(
        f"SELECT count({value}), count(TRY_CAST({value} AS DOUBLE)), "
        f"min({value}) FILTER (TRY_CAST({value} AS DOUBLE) IS NULL) FROM facts"
    )
    if there and NUMBERS_SHARE * there <= numbers:
        what = f"{there - numbers:,} of its rows are not" if numbers < there else "they are written as text"
        yield Finding(
            "facts", "text_numbers", "noted", int(there - numbers), "" if example is None else str(example),
            f"`{name}` is text, so no metric can use it: most of its values are numbers, but {what}",
        )  # fmt: skip
