"""The Winter holdout from its files to JSON, tables and pages: what is measured covers what is true, and adds up."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from analysis.holdout import newest
from analysis.results import Scorecard
from experiments import definitions, formatting
from experiments.charts import holdout as charts
from experiments.definitions import Definition, DefinitionProblem
from experiments.examples import winter
from experiments.management.output import written
from experiments.models import Experiment, Look, LookCell
from experiments.services import cells, holdouts
from experiments.services.analyze import analyze
from experiments.services.apply import apply
from experiments.services.holdouts import Beside, NoHoldout, holdout_card
from experiments.services.members import members as members_of_plan
from experiments.services.refresh import plan_look
from experiments.services.results import NoSuchExperiment, find_experiment, stored_scorecard
from experiments.sources.base import SourceSpec
from tests.experiments.pages import words
from tests.people import person, signed_in

#: Enough units that lifts of a few percent are launched as in the whole example.
UNITS = 40_000

#: Differences of totals near one.
ADDS_UP = 1e-12

#: Standard errors of a seeded draw: the seed is fixed, so a failure is a change of the code.
STANDARD_ERRORS = 3.0

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
#: A launch that was read to its end, one with a holdback, one that turned unseen, one that was ended, one that runs.
CHOSEN = ("winter-cards", "winter-autoplay", "winter-feed", "winter-tips", "winter-bundles")

pytestmark = pytest.mark.django_db


class Winter(NamedTuple):
    """The holdout's scorecard, what stands beside it, and the world it was drawn from."""

    files: list[Path]
    world: winter.World
    card: Scorecard
    beside: Beside


def take_look(key: str, as_of: date | None) -> None:
    """Do the work of a look here and now: within a transaction no message leaves."""
    look_id = plan_look(key, as_of, NOW).look_id
    while ready := LookCell.objects.ready(look_id):
        for cell_id in ready:
            cells.run(cell_id, NOW)
    assert Look.objects.get(pk=look_id).state == "done"


@pytest.fixture(scope="module")
def season(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Winter]:
    """All looks and decisions of the season, once for all tests of this file."""
    files = winter.build(tmp_path_factory.mktemp("examples"), units=UNITS)
    world = winter.draw(np.random.default_rng(winter.SEED), UNITS)
    with django_db_blocker.unblock(), transaction.atomic():
        taken = [file for file in files if file.stem in (winter.KEY, *CHOSEN)]
        apply([definitions.load(file) for file in taken], NOW)
        members = winter.members_of(CHOSEN)
        for member in members:
            take_look(member.key, winter.decision_day(member))
        assert len(list(winter.decide(members, person("owner")))) == 4
        assert list(winter.decide(members, person("owner"))) == []
        for key in ("winter-autoplay", winter.KEY):
            take_look(key, None)
        card, beside = holdout_card(winter.KEY)
        yield Winter(files, world, card, beside)
        transaction.set_rollback(True)


def test_what_is_measured_covers_what_all_launches_do(season: Winter) -> None:
    for kind in ("cumulative", "now"):
        row = newest(season.card.holdout, "lines", kind)  # type: ignore[arg-type]
        assert row is not None
        assert row.lift is not None
        assert row.drawn is not None
        truth = winter.true_lift(season.world, row.start_week, row.end_week)
        assert row.drawn[0] < truth < row.drawn[1]
        assert row.control_mean
        assert abs(row.lift - truth) < STANDARD_ERRORS * (row.effect_se or 0) / row.control_mean
    weeks = [row for row in season.card.holdout if (row.metric, row.kind) == ("lines", "weekly") and row.state == "ok"]
    assert [row.start_week for row in weeks] == list(range(1, 26))


def test_the_parts_add_up_and_tell_what_happened(season: Winter) -> None:
    told = season.beside.of("lines", "now")
    assert told is not None
    assert told.gap is not None
    parts = {part.name: part.value for part in told.parts}
    assert math.fsum(parts.values()) == pytest.approx(told.gap, abs=ADDS_UP)
    rows = {row.key: row for row in told.members}
    autoplay, feed, tips, bundles = (rows[key] for key in CHOSEN[1:])
    # Its holdback shows that autoplay has turned; endless feed lost its control before it did, so that is in the rest.
    assert autoplay.lift is not None
    assert autoplay.lift > 0.03
    assert autoplay.aged is not None
    assert autoplay.aged < 0
    assert parts["aging"] < -0.05
    assert feed.aged is not None
    assert feed.aged > 0.02
    assert parts["rest"] < -0.02
    assert (tips.state, bundles.state) == ("ended", "running")
    # Half of the units in the experiment have bundles: .8 x .5 x .5, and nobody has it for good.
    assert bundles.running_share == pytest.approx(0.2, abs=0.01)
    assert (bundles.launched_share, tips.running_share) == (0, 0)
    # Of autoplay's units a quarter is its holdback.
    assert autoplay.launched_share == pytest.approx(0.75, abs=0.03)
    whole = season.beside.of("lines", "cumulative")
    assert whole is not None
    assert (whole.span.start_week, whole.span.end_week) == (1, 26)


def test_a_launch_is_dated_by_its_decision(season: Winter) -> None:
    assert [(one.key, one.day, one.week) for one in season.beside.launches] == [
        ("winter-autoplay", date(2025, 12, 1), 8.0),
        ("winter-feed", date(2025, 12, 8), 9.0),
        ("winter-cards", date(2025, 12, 29), 12.0),
    ]
    assert [one.key for one in season.beside.ended] == ["winter-tips"]
    # As of an earlier day what was decided later is not known.
    then = holdouts.beside(replace(season.card, as_of=date(2025, 12, 5)))
    assert [one.key for one in then.launches] == ["winter-autoplay"]


def test_after_a_launch_with_holdback_the_experiment_goes_on_being_read(season: Winter) -> None:
    """Rollback criteria are live: the look of the end says what the one of the decision could not know."""
    decided = find_experiment("winter-autoplay")
    assert decided.standing == "launched with holdback"
    first, last = stored_scorecard("winter-autoplay", date(2025, 12, 1)), stored_scorecard("winter-autoplay")
    assert [card.recommendations[0].action for card in (first, last)] == ["launch_with_holdback", "roll_back"]
    assert (first.as_of, last.as_of) == (date(2025, 12, 1), date(2026, 4, 6))
    late = next(row for row in last.effects if (row.metric, row.window) == ("lines", "late"))
    assert late.lift is not None
    assert late.lift < 0
    (then,), (now,) = first.rollback, last.rollback
    assert (then.window, then.end_week, now.end_week) == ("latest", 5, 10)
    assert then.lift is not None
    assert now.lift is not None
    assert then.lift > 0 > now.lift
    reversal = next(row for row in last.reversals if row.metric == "lines")
    assert reversal.state == "confirmed"


def test_json_has_all_of_it_with_a_reason_for_every_null(season: Winter) -> None:
    told: dict[str, Any] = json.loads(written(season.card, "json", StringIO(), season.beside))
    assert told["kind"] == "holdout"
    part = told["holdout"]
    assert (part["fraction"], part["planned_end_date"]) == (0.05, "2026-05-04")
    kinds = {(row["metric"], row["kind"]) for row in part["effects"]}
    assert kinds == {(key, kind) for key in ("lines", "active", "churn") for kind in ("weekly", "cumulative", "now")}
    for row in part["effects"]:
        empty = [name for name, value in row.items() if value is None]
        assert row["reason"] or set(empty) <= {
            "margin", "verdict", "sequential", "p_value_adjusted", "band_low", "band_high", "reason",
        }  # fmt: skip
    # Nobody held out is in any member's exposures: measured, and none.
    held = int((season.world.held_out & (season.world.cohort < 26)).sum())
    assert [(one["member"], one["held_out"], one["met"], one["reason"]) for one in part["contamination"]] == [
        (key, held, 0, None) for key in sorted(CHOSEN)
    ]
    together = part["met_a_launch"]
    assert (together["held_out"], together["met"], together["share"], together["reason"]) == (held, 0, 0.0, None)
    for one in together["bounds"]:
        row = newest(season.card.holdout, one["metric"], one["kind"])
        assert row is not None
        assert (one["effect"], one["lift"]) == pytest.approx((row.effect, row.lift))
    assert [one["key"] for one in part["launches"]] == ["winter-autoplay", "winter-feed", "winter-cards"]
    spans = [(one["metric"], one["span"]["kind"]) for one in part["reconciliation"]]
    assert spans == [("lines", "now"), ("lines", "cumulative"), ("active", "now"), ("active", "cumulative")]
    for one in part["reconciliation"]:
        assert math.fsum(item["value"] for item in one["parts"]) == pytest.approx(one["gap"], abs=ADDS_UP)


def test_the_terminal_shows_effects_launches_and_the_sum(season: Winter) -> None:
    text = written(season.card, "table", StringIO(), season.beside)
    for part in (
        "weeks 1-25, so far", "weeks 22-25, now", "Decided on its members", "winter-autoplay (treatment)",
        "lines: the sum of launched lifts against weeks 22-25, now", "sum of lifts", "The rest is more than noise",
        "units held out 0 (0.0 %) met a launch", "2.3 x that of an even", "Recommendation: KEEP RUNNING",
    ):  # fmt: skip
        assert part in text
    assert text.isascii()
    assert max(len(line) for line in text.splitlines()) <= 80


def test_a_pass_without_a_database_has_the_same_effects_and_says_what_it_cannot_know(season: Winter) -> None:
    path = next(file for file in season.files if file.stem == "winter")
    card = analyze(path, season.card.as_of, lambda plan: NOW.date())
    assert [(row.metric, row.kind, row.end_week, row.state) for row in card.holdout] == [
        (row.metric, row.kind, row.end_week, row.state) for row in season.card.holdout
    ]
    for mine, stored in zip(card.holdout, season.card.holdout, strict=True):
        assert mine.effect == (None if stored.effect is None else pytest.approx(stored.effect, rel=1e-9))
    part = json.loads(written(card, "json", StringIO()))["holdout"]
    assert {part[name] for name in ("launches", "reconciliation", "contamination", "met_a_launch")} == {None}
    assert part["reason"] == holdouts.MEMBERS_UNKNOWN
    assert "No launches and no sum of lifts" in written(card, "table", StringIO())


def test_members_are_named_or_of_a_layer_or_say_so_themselves(season: Winter) -> None:
    plan = season.card.plan
    assert [one.key for one in members_of_plan(plan)] == sorted(CHOSEN)
    Experiment.objects.filter(key="winter-tips").update(key="other")
    # It is not named any more, and respects the holdout by its own plan.
    assert "other" in [one.key for one in members_of_plan(replace(plan, members=()))]


def test_an_experiment_is_no_holdout(season: Winter) -> None:
    with pytest.raises(NoHoldout, match="`winter-cards` is an experiment, not a holdout"):
        holdout_card("winter-cards")
    with pytest.raises(NoSuchExperiment):
        holdout_card("summer")


def test_what_a_holdout_can_find_is_its_precision_times_the_distance(season: Winter) -> None:
    size = holdouts.sizes(season.card)[0]
    row = newest(season.card.holdout, "lines", "cumulative")
    assert row is not None
    assert row.effect_se
    assert row.control_mean
    # 1.96 + .84 standard errors; 5 % held out cost 2.3 times.
    assert size.mde == pytest.approx(2.8016 * row.effect_se / row.control_mean, rel=1e-4)
    assert size.factor == pytest.approx(2.294, rel=1e-3)


def test_the_list_leads_to_the_page_and_the_page_shows_what_the_json_has(season: Winter) -> None:
    browser = signed_in("viewer")
    listed = browser.get("/holdouts/").content.decode()
    assert '<a href="/holdouts/winter/">Winter holdout</a>' in listed
    assert 'href="/holdouts/" aria-current="page"' in listed
    told = words(browser.get("/holdouts/winter/"))
    found = season.beside.of("lines", "now")
    so_far = newest(season.card.holdout, "lines", "cumulative")
    assert found is not None
    assert so_far is not None
    for text in (
        formatting.percent(so_far.lift), formatting.percent(found.raw), formatting.percent(found.expected),
        *(formatting.percent(part.value) for part in found.parts), "Autoplay", "launch with holdback on 2025-12-01",
        "Not launched: Tips of the day (stop on 2026-02-09)", "A holdout measures until its planned end",
    ):  # fmt: skip
        assert text.replace(" %", "\xa0%") in told or text in told, text
    told_as_json = browser.get("/experiments/winter/scorecard.json").json()["holdout"]
    assert told_as_json == json.loads(written(season.card, "json", StringIO(), season.beside))["holdout"]
    assert 'href="/holdouts/winter/"' in browser.get("/experiments/winter/").content.decode()
    numbers = browser.get("/experiments/winter/chart.csv?part=holdout&metric=lines&variant=launched").content.decode()
    assert numbers.count("\n") == 1 + sum(row.metric == "lines" for row in season.card.holdout)


def test_launches_stand_on_the_axis_of_calendar_weeks(season: Winter) -> None:
    rows = [row for row in season.card.holdout if (row.metric, row.kind) == ("lines", "weekly")]
    made = charts.spec(rows, [one.week for one in season.beside.launches], "title")
    rules = [layer for layer in made["layer"] if layer["mark"]["type"] == "rule" and "x" in layer["encoding"]]
    assert [layer["data"]["values"][0]["x"] for layer in rules] == [7.5, 8.5, 11.5]
    assert [one["week"] for one in made["datasets"]["rows"]] == list(range(1, 26))
    drawn = charts.waterfall([(0.0, 0.2, "total"), (0.2, -0.1, "bad"), (-0.1, -0.1, "good")])
    assert drawn.zero == pytest.approx(charts.WIDTH / 3, abs=0.01)
    assert [(bar.x, bar.width) for bar in drawn.bars] == [(66.67, 133.33), (0.0, 200.0), (0.0, 0.0)]


def test_pages_of_what_is_no_holdout_or_has_no_look_say_so(season: Winter) -> None:
    browser = signed_in("viewer")
    assert browser.get("/holdouts/winter-cards/").status_code == 404
    assert browser.get("/holdouts/summer/").status_code == 404
    plan = replace(season.card.plan, key="summer", name="Summer holdout", members=("to-come",))
    apply([Definition("summer.yaml", plan, SourceSpec("files", "e.parquet", "f.parquet", Path("/nowhere")), "")], NOW)
    assert "It has no look yet" in browser.get("/holdouts/").content.decode()
    assert "There is no look of summer yet" in browser.get("/holdouts/summer/").content.decode()


def test_a_holdout_is_not_read_at_any_time(tmp_path: Path) -> None:
    """Those intervals hold for units that arrive; here the same units are measured again."""
    text = winter.definition_path(winter.KEY).read_bytes()
    text += b"  looks: any_time\n  planned_units: 1000\n"
    with pytest.raises(DefinitionProblem, match=r"decision\.looks: `any_time` holds for units that arrive"):
        definitions.parse(text, "winter.yaml", tmp_path)


def test_the_truth_of_the_example_is_that_of_its_rows() -> None:
    """By brute force on the drawn multipliers, and on many more units than the example has."""
    world = winter.draw(np.random.default_rng(5), 4_000)
    followed = world.cohort < 22
    season_of = winter.season()
    lifts = []
    for week in range(22, 26):
        mean = world.multiplier[~world.held_out & followed, week].mean()
        lifts.append((mean - 1, season_of[week]))
    expected = np.average([lift for lift, _ in lifts], weights=[weight for _, weight in lifts])
    assert winter.true_lift(world, 22, 26) == pytest.approx(expected, rel=1e-9)
    assert (world.multiplier[world.held_out] == 1).all()


def test_the_example_is_built_once(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        winter.build(tmp_path, said.append, units=500)
    assert said[0].startswith("winter: writing 500 units")
    assert said[1] == "winter: up to date"
    assert all(definitions.load(file).plan.key == file.stem for file in winter.build(tmp_path, units=500))


def test_a_day_before_anything_can_be_read_has_no_numbers(season: Winter) -> None:
    path = next(file for file in season.files if file.stem == "winter")
    card = analyze(path, season.card.plan.start_date + timedelta(days=8), lambda plan: NOW.date())
    assert {row.state for row in card.holdout} == {"not_yet"}
    assert "Nothing can be read yet." in written(card, "table", StringIO())
