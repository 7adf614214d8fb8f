"""The scorecard in the terminal: what a reader sees first, how wide it is, and that words carry what color shows."""

import re
from dataclasses import replace
from datetime import date

import pytest

from analysis.plan import Variant, Window
from analysis.results import ReversalRow, ReversalState, Scorecard
from experiments import tables
from tests.experiments import cards

CARDS = {
    "honeymoon": cards.honeymoon(),
    "early": cards.honeymoon(date(2017, 10, 2)),
    "placebo": cards.placebo(),
    "not_yet": cards.not_yet(),
    "srm_alarm": cards.srm_alarm(),
}


def words(text: str) -> str:
    """The text as one line: where it wraps does not matter."""
    return re.sub(r"\s+", " ", text)


def column(text: str, head: str, row: str) -> list[str]:
    """The lines of one cell, cut out of the table by the place of its head."""
    lines = text.splitlines()
    heads = next(line for line in lines if head in line)
    first = heads.index(head)
    rest = heads[first + len(head) :]
    last = first + len(head) + (len(rest) - len(rest.lstrip())) if rest.strip() else 1000
    start = next(number for number, line in enumerate(lines) if line.startswith(row + " "))
    return [line[first:last].strip() for line in lines[start : start + 3]]


def reversal(state: ReversalState, card: Scorecard, variant: str = "treatment") -> Scorecard:
    others = tuple(replace(row, state="none") for row in card.reversals[1:])
    return replace(card, reversals=(replace(card.reversals[0], state=state, variant=variant), *others))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("name", CARDS)
def test_no_line_is_wider_than_asked(name: str, width: int) -> None:
    assert max(len(line) for line in tables.render(CARDS[name], width=width).splitlines()) <= width


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", CARDS)
def test_without_a_terminal_the_text_is_plain_ascii(name: str, width: int) -> None:
    text = tables.render(CARDS[name], width=width)
    assert text.isascii()
    assert "\x1b" not in text
    assert not re.search(r"[ \t]$", text, re.MULTILINE)


@pytest.mark.parametrize("name", CARDS)
def test_color_adds_nothing_that_the_words_lack(name: str) -> None:
    colored = tables.render(CARDS[name], width=100, terminal=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    plain = plain.replace("−", "-").replace("—", "-").replace("\u202f", ",")
    assert [line.rstrip() for line in plain.splitlines()] == tables.render(CARDS[name], width=100).splitlines()


def test_the_flag_stands_before_every_number_and_says_it_in_words() -> None:
    text = words(tables.render(CARDS["honeymoon"], width=80))
    flag = re.search(
        r"EARLY WIN, LATER LOSS on lines: weeks 0-3 \+3\.\d %, weeks 13-25 -6\.\d %, confirmed, p < 0\.001", text
    )
    assert flag
    assert flag.start() < text.index("treatment against control") < text.index("Primary")


def test_the_head_names_experiment_day_look_units_and_data() -> None:
    lines = tables.render(CARDS["honeymoon"], width=100).splitlines()
    assert lines[:3] == [
        "Engagement-first ranker (honeymoon)",
        "As of 2017-12-31, look 30 of 30. Units: control 19,911, treatment 20,089.",
        "Facts: 2017-04-03 to 2017-12-30, 1,534,964 rows.",
    ]


def test_windows_stand_side_by_side_with_words_for_good_and_bad() -> None:
    text = tables.render(CARDS["honeymoon"], width=80)
    early = column(text, "early, weeks 0-3", "lines")
    late = column(text, "late, weeks 13-25", "lines")
    contrast = column(text, "late - early", "lines")
    assert re.fullmatch(r"\+3\.\d % better", early[0])
    assert re.fullmatch(r"\+\d\.\d to \+\d\.\d %", early[1])
    assert early[2] == "15.7 -> 16.2"
    assert re.fullmatch(r"-6\.\d % worse", late[0])
    assert re.fullmatch(r"-\d\.\d % worsened", contrast[0])


def test_lower_is_better_turns_the_words_but_not_the_signs() -> None:
    text = tables.render(CARDS["honeymoon"], width=80)
    cell = column(text, "early, weeks 0-3", "head_share")
    assert re.fullmatch(r"\+2\.\d % worse", cell[0])
    assert "lower is better" in text
    assert "margin 5.0 %" in text


def test_what_is_not_sure_is_called_unclear() -> None:
    text = tables.render(CARDS["placebo"], width=80)
    assert column(text, "early, weeks 0-3", "lines")[0].endswith(" unclear")
    assert " better\n" not in text
    assert " worse\n" not in text


def test_roles_group_the_metrics_in_order() -> None:
    text = tables.render(CARDS["honeymoon"], width=80)
    places = [text.index(f"\n{title}\n") for title in ("Primary", "Secondary", "Guardrails", "Diagnostic")]
    assert places == sorted(places)


def test_a_cell_that_waits_says_until_when() -> None:
    text = tables.render(CARDS["not_yet"], width=80)
    assert column(text, "late, weeks 13-25", "active")[:2] == ["not yet: readable", "from 2017-12-25"]
    assert column(text, "early, weeks 0-3", "active")[:2] == ["not yet: readable", "from 2017-07-24"]
    assert "Early win, later loss: not yet readable; it is from 2017-12-25 on." in words(text)


def test_a_window_read_on_a_part_of_the_units_says_so_at_its_head() -> None:
    card = CARDS["honeymoon"]
    partial = tuple(replace(row, n_control=900, n_treatment=1100) for row in card.effects if row.window == "late")
    early = tuple(row for row in card.effects if row.window == "early")
    card = replace(card, effects=early + partial, as_of=date(2017, 12, 10))
    text = tables.render(card, width=80)
    lines = text.splitlines()
    head = next(number for number, line in enumerate(lines) if "late, weeks 13-25" in line)
    assert "40,000 units" in lines[head + 1]
    assert "2,000 of 40,000" in lines[head + 1]
    assert "all from 2017-12-25" in words("\n".join(lines[head : head + 4]))


def test_alarms_are_shouted_and_left_out_units_counted() -> None:
    text = words(tables.render(CARDS["srm_alarm"], width=80))
    assert "Checks: sample ratio ALARM (p < 0.001): 20911 and 19089 units at designed 50:50;" in text
    assert "attrition unknown: the source has no left_at column" in text
    assert "Left out: 1,204 units in two variants, 3 nulls, read as zero." in text
    assert "Left out" not in tables.render(CARDS["honeymoon"])


@pytest.mark.parametrize("name", CARDS)
def test_the_last_line_says_whose_intervals_these_are(name: str) -> None:
    last = words(tables.render(CARDS[name], width=80)).strip()
    assert last.endswith(
        "Intervals hold over all planned looks, so they may be read every week. Primary metrics share one alpha. "
        "Better and worse are claims, unclear is none."
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("turned", "TURNED: lines won early and loses by now: weeks 0-3 +3"),
        ("warning", "WARNING, a later loss is likely on lines: weeks 0-3 +3"),
        ("fading", "Fading: the effect on lines shrank: weeks 0-3 +3"),
    ],
)
def test_every_state_of_a_reversal_has_its_sentence(state: ReversalState, said: str) -> None:
    text = words(tables.render(reversal(state, CARDS["honeymoon"])))
    assert said in text
    assert ("No early win with a later loss." in text) == (state == "fading")


def test_without_a_reversal_that_is_said_too() -> None:
    card = reversal("none", CARDS["honeymoon"])
    assert "No early win with a later loss." in tables.render(card)
    some = replace(card, reversals=(replace(card.reversals[0], state="immature"), *card.reversals[1:]))
    assert "No early win with a later loss (1 of 5 not yet readable)." in tables.render(some)
    assert "not tested, because no metric" in tables.render(replace(card, reversals=()))


def test_each_of_two_treatments_has_a_block_and_flags_name_theirs() -> None:
    card = CARDS["honeymoon"]
    variants = (Variant("control", 1, control=True), Variant("bold", 1), Variant("shy", 1))
    effects = tuple(replace(row, variant=key) for key in ("bold", "shy") for row in card.effects)
    reversals: tuple[ReversalRow, ...] = tuple(
        replace(row, variant=key) for key in ("bold", "shy") for row in card.reversals
    )
    units = {"control": 19911, "bold": 20089, "shy": 20089}
    card = replace(card, plan=replace(card.plan, variants=variants), effects=effects, reversals=reversals, units=units)
    text = tables.render(card, width=100)
    assert text.index("bold against control") < text.index("shy against control")
    assert "EARLY WIN, LATER LOSS on lines (bold)" in text
    assert "EARLY WIN, LATER LOSS on lines (shy)" in text


def test_more_windows_than_fit_go_into_a_table_below() -> None:
    card = CARDS["honeymoon"]
    middle = Window("middle", 4, 13)
    rows = tuple(
        replace(row, window="middle", start_week=4, end_week=13) for row in card.effects if row.window == "early"
    )
    plan = replace(card.plan, windows=(*card.plan.windows, middle))
    card = replace(card, plan=plan, effects=card.effects + rows)
    narrow, wide = tables.render(card, width=80), tables.render(card, width=120)
    assert narrow.count("\nlines ") == 2
    assert wide.count("\nlines ") == 1
    assert "middle, weeks 4-12" in narrow
    assert "middle, weeks 4-12" in wide


def test_an_effect_without_a_lift_is_shown_in_its_own_unit_with_the_reason() -> None:
    card = CARDS["honeymoon"]
    row = replace(card.effects[0], lift=None, lift_low=None, lift_high=None, reason="the control mean is zero")
    text = tables.render(replace(card, effects=(row, *card.effects[1:])), width=100)
    assert re.match(r"effect 0\.\d+ better", column(text, "early, weeks 0-3", "lines")[0])
    assert "lines, early: the control mean is zero" in text


@pytest.mark.parametrize(("state", "said"), [("too_few", "too few units: 4 and"), ("failed", "failed: see below")])
def test_a_cell_without_a_number_says_what_happened(state: str, said: str) -> None:
    card = CARDS["honeymoon"]
    row = replace(card.effects[0], state=state, n_control=4, n_treatment=5, reason="only so many")  # type: ignore[arg-type]
    text = tables.render(replace(card, effects=(row, *card.effects[1:])), width=120)
    assert said in column(text, "early, weeks 0-3", "lines")[0]
    assert "lines, early: only so many" in text


def test_names_cannot_steer_the_terminal() -> None:
    card = CARDS["honeymoon"]
    card = replace(card, plan=replace(card.plan, name="Evil \x1b[2J\x07[bold]name[/bold]"))
    head = tables.render(card).splitlines()[0]
    assert head == "Evil  [2J [bold]name[/bold] (honeymoon)"


def test_no_facts_are_said_in_words() -> None:
    card = replace(CARDS["not_yet"], first_fact=None, last_fact=None, fact_rows=0)
    assert "No facts have been read." in tables.render(card)
