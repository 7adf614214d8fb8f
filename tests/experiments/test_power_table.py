"""A plan in the terminal: every part on its own lines, plain, and with a reason where there is no number."""

from dataclasses import replace
from datetime import date

import numpy as np

from analysis import power
from analysis.moments import Layout
from analysis.plan import Plan
from analysis.planned import Planned, PlannedHistory
from experiments import power_table
from tests.analysis.unit_rows import ACTIVE, HEAD_SHARE, LINES, exact, make_plan, variants


def plan_of(mean: float = 2.0, weeks: int | None = None, rate: float = 3_000, **changes: object) -> Planned:
    plan: Plan = make_plan(**changes)
    columns = Layout.of(plan).columns
    return power.plan_power(plan, exact(900, [mean] * columns, np.eye(columns) + 0.2), rate, weeks)


def lines_of(planned: Planned, width: int = 100) -> list[str]:
    text = power_table.render(planned, width=width)
    assert text.isascii()
    assert text.endswith("\n")
    return text.splitlines()


def block(lines: list[str], title: str) -> list[str]:
    """The lines below a title, up to the next empty one."""
    after = lines[lines.index(title) + 1 :]
    return after[: after.index("")] if "" in after else after


def test_a_metric_that_is_to_fall_is_shown_with_a_minus() -> None:
    lines = lines_of(plan_of(metrics=(LINES, replace(LINES, key="errors", better="lower", role="secondary"))))
    found = {line.split()[0]: line.split()[4] for line in block(lines, "Smallest lifts") if ", weeks" in line}
    assert found["lines"].startswith("+")
    assert found["errors"].startswith("-")


def test_the_treatment_with_the_fewest_units_is_named_where_there_are_several() -> None:
    assert "Planned for b, the treatment with the fewest units." in lines_of(plan_of(variants=variants(50, 30, 20)))
    assert not any("fewest" in line for line in lines_of(plan_of()))


def test_a_reason_stands_below_the_table_it_belongs_to() -> None:
    lines = lines_of(plan_of(weeks=4), width=120)
    said = "the history has 4 of the 6 weeks since exposure that are needed."
    assert f"  lines late, active late, lines_a_row late: {said}" in block(lines, "Smallest lifts")
    assert f"  head_share late: {said}" in block(lines, "Guardrails")
    assert block(lines, "Early win, later loss") == [f"  lines, active, head_share: {said}"]
    late = next(line for line in block(lines, "Smallest lifts") if line.split()[:2] == ["lines", "late,"])
    assert late.split()[4:8] == ["-", "-", "-", "-"]


def test_a_loss_in_money_that_shrinks_is_a_win_with_a_minus() -> None:
    lines = lines_of(plan_of(mean=-2.0, metrics=(LINES,)))
    found = next(line for line in block(lines, "Smallest lifts") if ", weeks" in line)
    assert found.split()[4].startswith("-")
    first = block(lines, "Early win, later loss")[1].split()
    assert (first[1][0], first[3][0]) == ("-", "+")


def test_parts_that_a_plan_does_not_have_are_left_out() -> None:
    lines = lines_of(plan_of(metrics=(LINES, ACTIVE)))
    assert not {"Guardrails", "Time to event", "Take care"} & set(lines)
    assert "Guardrails" in lines_of(plan_of(metrics=(LINES, HEAD_SHARE)))


def test_the_history_is_told_in_one_sentence() -> None:
    history = PlannedHistory("facts", date(2023, 9, 4), date(2024, 1, 1), 12_345, 6, (5, 4, 3))
    assert "Rests on 12,345 past units by their first fact from 2023-09-04 on, followed for 6 weeks." in lines_of(
        replace(plan_of(), history=history)
    )
    own = replace(history, kind="control")
    assert "Rests on 12,345 units of control from 2023-09-04 on, followed for 6 weeks." in lines_of(
        replace(plan_of(), history=own)
    )


def test_sentences_are_wrapped_and_nothing_steers_the_terminal() -> None:
    planned = replace(plan_of(name="Evil \x1b[31m name"), warnings=("many words " * 20 + "\x1b[0m",))
    lines = lines_of(planned, width=60)
    assert not any("\x1b" in line for line in lines)
    care = block(lines, "Take care")
    assert len(care) > 3
    assert max(map(len, care)) <= 60
    assert care[0].startswith("  - Many words")
    assert care[1].startswith("    words") or care[1].startswith("    many")
