"""The cells that a scorecard's page should have, made from its JSON and ``formatting`` alone: a second way there."""

from collections.abc import Iterator, Mapping
from typing import Any

from experiments import formatting
from experiments.charts.tones import label

Json = Mapping[str, Any]
Cells = list[str]
NOT_BY_WINDOW = "not by window"


def expected(told: Json, variant: str, control: str = "control") -> dict[str, list[Cells]]:
    """Return the rows of each table of one treatment, without heads and without bars."""
    return {
        "effects": list(_effects(told, variant)),
        "trajectory": list(_trajectory(told, variant)),
        "survival": list(_survival(told, variant, control)),
        "hazards": list(_hazards(told, variant)),
        "at-risk": list(_at_risk(told, variant, control)),
        "objectives": list(_objectives(told, variant)),
    }


def spaced(text: str) -> str:
    """Spaces of all kinds as one: pages keep a percent sign on its line."""
    return " ".join(text.replace("\u00a0", " ").split())


def lift(row: Json, name: str = "lift") -> str:
    return formatting.percent(row[name])


def interval(row: Json, low: str, high: str) -> str:
    return formatting.percent_interval(row[low], row[high])


def _state(row: Json) -> str:
    if row["state"] == "ok":
        return "ok"
    return f"from {row['readable_from']}" if row["state"] == "not_yet" else row["reason"] or row["state"]


def _effects(told: Json, variant: str) -> Iterator[Cells]:
    for row in told["effects"]:
        if row["variant"] != variant or row["segment"] is not None:
            continue
        looks = row["sequential"] or {"lift_low": None, "lift_high": None}
        adjusted = formatting.NOTHING if row["state"] != "ok" else "yes" if row["adjusted"] else "no"
        yield [
            label(row["metric"]), row["window"], formatting.count(row["n_control"]),
            formatting.count(row["n_treatment"]), formatting.number(row["control_mean"]),
            formatting.number(row["treatment_mean"]), formatting.number(row["effect"]),
            formatting.number(row["effect_se"]), lift(row), interval(row, "lift_low", "lift_high"),
            interval(looks, "lift_low", "lift_high"), formatting.p_value(row["p_value"]),
            formatting.p_value(row["p_value_adjusted"]), adjusted, _state(row),
        ]  # fmt: skip


def _trajectory(told: Json, variant: str) -> Iterator[Cells]:
    """Weekly rows of all metrics whose numbers are on the page."""
    for row in told["trajectory"]:
        if (row["variant"], row["kind"]) != (variant, "weekly"):
            continue
        if row["state"] != "ok":
            why = f"readable from {row['readable_from']}" if row["state"] == "not_yet" else row["reason"]
            yield [row["metric"], str(row["week"]), why]
            continue
        yield [
            row["metric"], str(row["week"]), formatting.count(row["n_control"]), formatting.count(row["n_treatment"]),
            formatting.number(row["control_mean"]), formatting.number(row["treatment_mean"]), lift(row),
            interval(row, "lift_low", "lift_high"), interval(row, "band_low", "band_high"),
        ]  # fmt: skip


def curves(told: Json, metric: str, control: str, variant: str) -> tuple[Mapping[int, Json], Mapping[int, Json]]:
    found = {row["variant"]: {one["week"]: one for one in row["curve"]} for row in told["survival"]
             if row["metric"] == metric}  # fmt: skip
    return found.get(control, {}), found.get(variant, {})


def _survival(told: Json, variant: str, control: str) -> Iterator[Cells]:
    for row in told["survival_comparison"]:
        if row["variant"] != variant:
            continue
        sides = curves(told, row["metric"], control, variant)
        differences = {one["week"]: one for one in row["difference_curve"]}
        for week in sorted({*sides[0], *sides[1]}):
            cells = [row["metric"], str(week)]
            for side in sides:
                cells += _point(side[week]) if week in side else ["nobody is followed this long"]
            one = differences.get(week)
            cells += (
                [formatting.points(one["difference"]), formatting.points_interval(one["low"], one["high"])]
                if one
                else [formatting.NOTHING] * 2
            )
            yield cells


def _point(one: Json) -> Cells:
    return [
        formatting.count(one["at_risk"]), formatting.count(one["events"]), formatting.count(one["censored"]),
        formatting.percent(one["survival"], signed=False), formatting.share_interval(one["low"], one["high"]),
    ]  # fmt: skip


def _hazards(told: Json, variant: str) -> Iterator[Cells]:
    for row in told["survival_comparison"]:
        if row["variant"] != variant or row["rmst_difference"] is None:
            continue
        whole = {
            "hazard_ratio": row["hazard_ratio"], "low": row["hazard_ratio_low"], "high": row["hazard_ratio_high"],
            "p_value": row["hazard_p_value"],
        }  # fmt: skip
        found: list[tuple[str, Json]] = [("All weeks", whole)]
        if len(row["periods"]) > 1:
            found += [(_weeks(one), one) for one in row["periods"]]
        if row["adjusted_hazard"]:
            found.append(("Beside covariates", row["adjusted_hazard"]))
        for name, one in found:
            if one["hazard_ratio"] is None:
                yield [row["metric"], name, "a variant has no events in these weeks"]
            else:
                yield [
                    row["metric"], name, formatting.number(one["hazard_ratio"]),
                    formatting.number_interval(one["low"], one["high"]), formatting.p_value(one["p_value"]),
                ]  # fmt: skip


def _weeks(period: Json) -> str:
    last = period["end_week"] - 1
    return f"Week {last}" if last == period["start_week"] else f"Weeks {period['start_week']}-{last}"


def _at_risk(told: Json, variant: str, control: str) -> Iterator[Cells]:
    """Units at risk by week, as a map of all weeks: the page names some of them."""
    for row in told["survival_comparison"]:
        if row["variant"] != variant:
            continue
        for name, side in zip((control, variant), curves(told, row["metric"], control, variant), strict=True):
            yield [row["metric"], name, *(f"{week}:{formatting.count(one['at_risk'])}" for week, one in side.items())]


def _objectives(told: Json, variant: str) -> Iterator[Cells]:
    for row in told["oec"]:
        if row["variant"] == variant and row["value"] is not None:
            yield ["Together", lift(row, "value"), interval(row, "low", "high")]


def shown_interval(row: Json) -> str:
    """The interval of a cell: over all looks where there is one, that of this look otherwise."""
    looks = row["sequential"]
    if looks and looks["lift_low"] is not None and looks["lift_high"] is not None:
        return interval(looks, "lift_low", "lift_high")
    return interval(row, "lift_low", "lift_high")
