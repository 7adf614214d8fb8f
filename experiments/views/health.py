"""The health of a look's data in plain words: checks, what was left out, and the days the data cover."""

from dataclasses import dataclass
from typing import Literal

from analysis.results import CheckRow, Scorecard
from experiments import formatting

HealthState = Literal["ok", "alarm", "unknown", "info"]

MARKS: dict[HealthState, str] = {"ok": "✓", "alarm": "!", "unknown": "?", "info": "•"}
#: What a check is called when it is fine, when it alarms and when it cannot be known.
CHECKS = {
    "srm": ("Units split as designed", "Units are not split as designed", "Split of units not known"),
    "srm_sequential": (
        "Split holds, read weekly",
        "Units are not split as designed (read weekly)",
        "Weekly split not known",
    ),
    "srm_cohort": (
        "Split holds in each cohort",
        "A cohort is not split as designed",
        "Split by cohort not known",
    ),
    "pre_period_balance": ("Alike before exposure", "Not alike before exposure", "Balance not known"),
    "telemetry_gap": ("No gaps in the data", "Data are missing for whole weeks", "Gaps not known"),
    "jump": ("No one-week leaps", "A lift leaps for one week", "Leaps not known"),
    "attrition": ("Attrition alike", "Attrition differs between variants", "Attrition not known"),
    "freshness": ("Data are fresh", "Data are late", "Freshness not known"),
}
EXCLUDED = {
    "exposed_before_start": "units exposed before the start",
    "exposed_after_enrollment": "units exposed after enrollment closed",
    "two_variants": "units seen in two variants",
    "unknown_variant": "units in an unknown variant",
    "facts_of_unknown_units": "fact rows of unknown units",
    "facts_before_pre_period": "fact rows before the pre-period",
    "nulls": "empty values read as zero",
    "forced_testers": "testers",
}


@dataclass(frozen=True)
class HealthItem:
    state: HealthState
    label: str
    detail: str = ""
    lines: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        return MARKS[self.state]


def alarms(card: Scorecard) -> tuple[HealthItem, ...]:
    return tuple(check_item(row) for row in card.checks if row.state == "alarm")


def health_items(card: Scorecard) -> tuple[HealthItem, ...]:
    return (*(check_item(row) for row in card.checks), _excluded(card), _units(card), _data(card))


def check_item(row: CheckRow) -> HealthItem:
    plain = row.check.replace("_", " ").capitalize()
    names = CHECKS.get(row.check, (plain, f"{plain}: alarm", f"{plain} not known"))
    label = names[("ok", "alarm", "unknown").index(row.state)]
    parts = [row.detail] if row.detail else []
    parts += [formatting.p_value(row.p_value)] if row.p_value is not None else []
    return HealthItem(row.state, label, ", ".join(parts))


def _excluded(card: Scorecard) -> HealthItem:
    left_out = [(EXCLUDED.get(key, key.replace("_", " ")), n) for key, n in card.excluded.items() if n]
    if not left_out:
        return HealthItem("ok", "Nothing left out", "all units and rows were read")
    lines = tuple(f"{formatting.count(n)} {words}" for words, n in left_out)
    return HealthItem("info", "Left out", lines=lines)


def _units(card: Scorecard) -> HealthItem:
    parts = [f"{formatting.count(n)} {variant}" for variant, n in card.units.items()]
    return HealthItem("info", f"{formatting.count(sum(card.units.values()))} units", " · ".join(parts))


def _data(card: Scorecard) -> HealthItem:
    if card.last_fact is None:
        return HealthItem("unknown", "No data yet")
    span = f"from {formatting.day(card.first_fact)}, {formatting.count(card.fact_rows)} rows"
    return HealthItem("info", f"Data to {formatting.day(card.last_fact)}", span)
