"""Who of the units held out met a launch: a holdout with members in files and in PostgreSQL, against their rows.

A quarter of 400 units is held out. Some of them are in the exposures of members all the same.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.holdout import newest
from analysis.results import ContaminationRow
from experiments.api.holdout_schema import HoldoutScorecardOut
from experiments.holdout_table import met_words
from experiments.management.output import written
from experiments.models import ContaminationRow as Stored
from experiments.models import Look, LookCell, Plan
from experiments.services import cells, contamination, decisions, holdouts
from experiments.services.apply import apply
from experiments.services.holdouts import holdout_card
from experiments.services.refresh import plan_look
from experiments.services.results import find_experiment
from experiments.sources.base import SourceSpec
from tests.experiments import small_data
from tests.experiments.api import ROOT, program, undescribed
from tests.experiments.looks import NOW, definition, run_out
from tests.experiments.pages import words
from tests.experiments.small_data import START, write_table
from tests.people import person, signed_in
from tests.sources import in_postgres

pytestmark = pytest.mark.django_db

UNITS, WEEKS = 400, 8
AS_OF = START + timedelta(days=7 * WEEKS)

#: Shares are counts over counts.
EXACT = 1e-12

#: Unit, variant, day from the holdout's start.
Row = tuple[int, str, int]


def name(unit: int) -> str:
    return f"user-{unit:04d}"


def is_held_out(unit: int) -> bool:
    return unit % 4 == 0


def entered(unit: int) -> int:
    """The day on which a unit enters the holdout, in its first two weeks."""
    return unit % 14


@dataclass
class World:
    """A holdout in files, and its members' rows; ``launched`` by the day of the decision, ``waiting`` in review."""

    folder: Path
    members: dict[str, list[Row]] = field(default_factory=dict)
    launched: dict[str, int] = field(default_factory=dict)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    lag_days: dict[str, int] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()

    def write(self) -> None:
        rng = np.random.default_rng(3)
        units = np.arange(UNITS)
        write_table(self.folder / "exposures.parquet", {
            "unit_id": [name(unit) for unit in units],
            "variant": ["held_out" if is_held_out(unit) else "launched" for unit in units],
            "exposed_at": [START + timedelta(days=entered(int(unit))) for unit in units],
        })  # fmt: skip
        unit, day = (grid.ravel() for grid in np.meshgrid(units, np.arange(-14, 7 * WEEKS), indexing="ij"))
        write_table(self.folder / "facts.parquet", {
            "unit_id": [name(one) for one in unit], "at": [START + timedelta(days=int(one)) for one in day],
            "lines": rng.poisson(3.0, len(unit)).astype(float), "sales": rng.poisson(5.0, len(unit)).astype(float),
        })  # fmt: skip
        for key, rows in self.members.items():
            write_table(self.folder / f"{key}.parquet", self.exposures(rows))

    @staticmethod
    def exposures(rows: list[Row]) -> dict[str, Any]:
        return {
            "unit_id": [name(unit) for unit, _, _ in rows], "variant": [variant for _, variant, _ in rows],
            "exposed_at": [START + timedelta(days=day) for _, _, day in rows],
        }  # fmt: skip

    def apply(self) -> None:
        metrics = small_data.definition()["metrics"][:1]
        holdout = definition(
            self.folder, experiment=None, holdout="quiet", fraction=0.25, planned_end_date=date(2024, 5, 27),
            variants=None, horizon_weeks=10, metrics=metrics, members=list(self.members),
        )  # fmt: skip
        found = [holdout]
        for key in self.members:
            source = {
                "kind": "files",
                "exposures": f"{key}.parquet",
                "facts": "facts.parquet",
                "lag_days": self.lag_days.get(key, 0),
            }
            given = {"experiment": key, "source": source, "metrics": metrics, **self.changes.get(key, {})}
            found.append(definition(self.folder, **given))
        apply([one for one in found if one.plan.key not in self.waiting], NOW)
        apply([one for one in found if one.plan.key in self.waiting], NOW, review=True)
        for key, day in self.launched.items():
            launch(key, START + timedelta(days=day))

    def met(self, key: str, variant: str = "treatment", until: int = 7 * WEEKS) -> dict[int, int]:
        """The first day of each unit held out in a treatment, by loops over rows."""
        first: dict[int, int] = {}
        for unit, found, day in self.members[key]:
            if unit < UNITS and is_held_out(unit) and found == variant and day < until:
                first[unit] = min(day, first.get(unit, day))
        return first


def weekly(first: dict[int, int]) -> list[float]:
    """The share of days after meeting a treatment, day by day over units held out that are followed."""
    shares = []
    for week in range(WEEKS):
        followed = [unit for unit in range(0, UNITS, 4) if entered(unit) < 7 * week]
        days = [first.get(unit, 10**6) <= day for unit in followed for day in range(7 * week, 7 * week + 7)]
        shares.append(sum(days) / len(days) if days else 0.0)
    return shares


def drawn(seed: int, leak: float, first_day: int = 7, treatments: tuple[str, ...] = ("treatment",)) -> list[Row]:
    """A member's rows: everybody launched to in some variant, and a share of the units held out; some of them twice."""
    rng = np.random.default_rng(seed)
    rows = []
    for unit in range(UNITS + 20):  # some are no units of the holdout
        if unit >= UNITS or not is_held_out(unit) or rng.random() < leak:
            variant, day = str(rng.choice(["control", *treatments])), first_day + int(rng.integers(0, 7))
            rows.append((unit, variant, day))
            if rng.random() < 0.3:
                rows.append((unit, str(rng.choice(["control", *treatments])), day + int(rng.integers(0, 60))))
    return [rows[place] for place in rng.permutation(len(rows))]


def work(look_id: int, until: str = "") -> None:
    """Do the work of a look here and now, until cells of a kind would be next."""
    while (ready := LookCell.objects.ready(look_id)) and LookCell.objects.stage(look_id) != until:
        for cell_id in ready:
            cells.run(cell_id, NOW)


def take_look(as_of: date = AS_OF, key: str = "quiet") -> Look:
    look_id = plan_look(key, as_of, NOW).look_id
    work(look_id)
    return Look.objects.get(pk=look_id)


def launch(key: str, day: date) -> None:
    """Decide on a member by its look of a day, on that day."""
    look = take_look(day, key)
    decisions.decide(
        key, "treatment", "launch", reason="for the test", look_id=look.pk, by=person("owner"),
        now=datetime.combine(day, datetime.min.time(), UTC), revision=find_experiment(key).revision,
    )  # fmt: skip


def rows(look: Look) -> dict[str | None, ContaminationRow]:
    assert look.state == "done", look.error
    return {row.member: row for row in Stored.read(look)}


def two_launches(folder: Path) -> World:
    """Two launches that leak, one that does not, and one that still runs and leaks."""
    world = World(
        folder,
        {"ranker": drawn(1, 0.3), "cards": drawn(2, 0.1), "clean": drawn(3, 0.0), "runs": drawn(4, 0.2, 35)},
        {"ranker": 21, "cards": 28, "clean": 28},
        {"runs": {"start_date": START + timedelta(days=35)}},
    )
    world.write()
    world.apply()
    return world


def test_each_member_has_its_own_share_and_the_launches_together_have_theirs(tmp_path: Path) -> None:
    world = two_launches(tmp_path)
    found = rows(take_look())
    for key in world.members:
        first = world.met(key)
        row = found[key]
        assert (row.held_out, row.met, row.reason) == (100, len(first), None)
        assert row.weekly == pytest.approx(weekly(first), abs=EXACT)
        assert row.launched == (key != "runs")
        assert bool(row.met) == (key != "clean")
    either = world.met("ranker")
    for unit, day in world.met("cards").items():
        either[unit] = min(day, either.get(unit, day))
    together = found[None]
    assert (together.held_out, together.met, together.reason) == (100, len(either), None)
    assert together.weekly == pytest.approx(weekly(either), abs=EXACT)


def test_an_earlier_look_knows_what_was_met_and_launched_then(tmp_path: Path) -> None:
    world = two_launches(tmp_path)
    found = rows(take_look(START + timedelta(days=24)))
    assert set(found) == {"ranker", "cards", "clean", None}
    assert [found[key].launched for key in ("ranker", "cards", "clean")] == [True, False, False]
    assert found["cards"].met == len(world.met("cards", until=24))
    assert found[None].met == found["ranker"].met == len(world.met("ranker", until=24))
    # From the newest triangle: only the last step is done, and it reads the rows again.
    take_look()
    assert rows(take_look(START + timedelta(days=14)))["cards"].met == len(world.met("cards", until=14))


def test_days_are_those_of_the_members_own_zone_and_lag(tmp_path: Path) -> None:
    """In New York a launch at two in the morning (UTC) is of the day before; its last day is not read yet."""
    world = World(tmp_path, {"abroad": []}, changes={"abroad": {"timezone": "America/New_York"}})
    world.lag_days["abroad"] = 1
    world.write()
    last = datetime.combine(AS_OF, datetime.min.time(), UTC)
    launched = [(name(unit), "control", last - timedelta(days=40)) for unit in (1, 2, 3)]
    leaks = [
        (name(0), "treatment", last - timedelta(days=1) + timedelta(hours=2)),  # read: two days before as_of there
        (name(4), "treatment", last - timedelta(days=1) + timedelta(hours=6)),  # not read: the day before as_of
        (name(8), "treatment", last + timedelta(hours=2)),
        (name(12), "control", last - timedelta(days=30)),
    ]
    unit, variant, at = (list(column) for column in zip(*launched, *leaks, strict=True))
    write_table(tmp_path / "abroad.parquet", {"unit_id": unit, "variant": variant, "exposed_at": at})
    world.apply()
    row = rows(take_look())["abroad"]
    assert (row.met, row.reason) == (1, None)
    # It met it on the evening of the second day before: six of seven days of the last week were before.
    assert row.weekly[-1] == pytest.approx(2 / 7 / 100, abs=EXACT)


def test_members_in_postgresql_and_with_two_treatments_are_compared_by_the_same_ids(tmp_path: Path) -> None:
    in_postgres.database()
    spec = SourceSpec("postgres", "exposures", "facts", tmp_path, dsn=in_postgres.DSN, schema="contaminated")
    in_postgres.database().execute("DROP SCHEMA IF EXISTS contaminated CASCADE; CREATE SCHEMA contaminated")
    treatments = ("first", "second")
    variants = [{"key": key, "weight": 1, "control": key == "control"} for key in ("control", *treatments)]
    source = {"kind": "postgres", "dsn": in_postgres.DSN, "schema": "contaminated", "exposures": "exposures",
              "facts": "facts"}  # fmt: skip
    world = World(tmp_path, {"tables": drawn(5, 0.4, treatments=treatments)})
    world.changes = {"tables": {"variants": variants, "source": source}}
    world.write()
    in_postgres.write(spec, "exposures", pd.DataFrame(world.exposures(world.members["tables"])))
    in_postgres.write(spec, "facts", pd.DataFrame({"unit_id": ["user-0001"], "at": [START], "lines": [1.0]}))
    world.apply()
    for row in Stored.read(take_look())[:-1]:
        first = world.met("tables", str(row.variant))
        assert (row.met, row.reason) == (len(first), None)
        assert row.weekly == pytest.approx(weekly(first), abs=EXACT)
        assert first


def test_a_member_that_cannot_be_read_has_its_reason_and_the_look_goes_on(tmp_path: Path) -> None:
    names = ("ranker", "gone", "broken", "alien", "other-unit", "young")
    world = World(tmp_path, {key: drawn(6, 0.2) for key in names}, {"ranker": 21, "gone": 21}, waiting=("other-unit",))
    world.members["young"] = [(1, "treatment", 7 * WEEKS + 1)]
    world.write()
    world.apply()
    (tmp_path / "gone.parquet").unlink()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    table = world.exposures(world.members["alien"])
    write_table(tmp_path / "alien.parquet", {**table, "unit_id": [f"acct:{unit}" for unit in table["unit_id"]]})
    plan = Plan.objects.get(experiment__key="other-unit")
    plan.hold(replace(plan.load(), unit="household"))
    plan.save()
    found = rows(take_look())
    assert found["ranker"].met == len(world.met("ranker"))
    assert "gone.parquet" in str(found["gone"].reason)
    assert "broken.parquet" in str(found["broken"].reason)
    assert found["alien"].reason == "none of its units is one of the holdout's; their ids may be written in another way"
    assert found["other-unit"].reason == "its unit is household, and the holdout's is user"
    for key in ("gone", "broken", "alien", "other-unit"):
        assert (found[key].met, found[key].weekly) == (None, ())
    # Nobody has met what has no exposures before as_of.
    assert (found["young"].met, found["young"].reason) == (0, None)
    assert (found[None].met, found[None].reason) == (found["ranker"].met, "not known of gone")
    card, beside = holdout_card("quiet")
    text = written(card, "table", StringIO(), beside)
    assert "Of 100 units held out at least" in text
    assert "met alien is not known: none of its units" in " ".join(text.split())
    assert beside.bounds[0].reason == "not known of gone"


def test_json_table_and_page_say_who_met_a_launch_and_what_that_hides(tmp_path: Path) -> None:
    world = two_launches(tmp_path)
    found = rows(take_look())
    card, beside = holdout_card("quiet")
    told = holdouts.whole_json(card, beside)["holdout"]
    names = ("member", "held_out", "met", "share", "reason")
    assert [tuple(one[name] for name in names) for one in told["contamination"]] == [
        (key, 100, len(world.met(key)), len(world.met(key)) / 100, None) for key in sorted(world.members)
    ]
    together = told["met_a_launch"]
    share = found[None].share
    assert share
    assert (together["held_out"], together["met"], together["share"]) == (100, found[None].met, share)
    for one in together["bounds"]:
        row = newest(card.holdout, one["metric"], one["kind"])
        assert row is not None
        assert row.effect is not None
        assert row.lift
        # Control less the part of it that has what launched units have; both means are the adjusted ones.
        control = row.effect / row.lift
        clean = (control - share * (control + row.effect)) / (1 - share)
        assert one["effect"] == pytest.approx(row.effect / (1 - share))
        assert one["lift"] == pytest.approx(one["effect"] / clean)
    said = f"Of 100 units held out {found[None].met} ({found[None].met}.0 %) met a launch"
    text = " ".join(written(card, "table", StringIO(), beside).split())
    assert said in text
    assert "If units held out that met a launch had all of what is launched" in text
    page = words(signed_in("viewer").get("/holdouts/quiet/")).replace("\xa0", " ")
    assert said in page
    assert "If units held out that met a launch had all of what is launched" in page
    api = signed_in("viewer").get("/experiments/quiet/scorecard.json").json()["holdout"]
    assert api["contamination"] == told["contamination"]


def test_the_api_tells_all_of_a_holdout_as_its_schema_says(tmp_path: Path) -> None:
    two_launches(tmp_path)
    take_look()
    told = program("viewer").get(f"{ROOT}/experiments/quiet/scorecard").json()
    assert told == json.loads(json.dumps(holdouts.whole_json(*holdout_card("quiet"))))
    assert told["holdout"]["launches"]
    assert told["holdout"]["reconciliation"]
    assert not undescribed(told, HoldoutScorecardOut)
    HoldoutScorecardOut.model_validate(told)


def test_what_is_launched_after_a_look_is_said_not_to_be_in_it(tmp_path: Path) -> None:
    world = World(tmp_path, {"ranker": drawn(1, 0.3)})
    world.write()
    world.apply()
    take_look()
    beside = holdout_card("quiet")[1]
    assert beside.met is not None
    assert met_words(beside.met) == "How many units held out met a launch is not known: nothing has been launched yet."
    launch("ranker", AS_OF)
    beside = holdout_card("quiet")[1]
    assert beside.met is not None
    assert (beside.met.met, beside.met.reason) == (None, "launched after this look was taken: ranker")
    # A look from before any of it was measured has no rows, and says so.
    Stored.objects.all().delete()
    beside = holdout_card("quiet")[1]
    assert beside.met is not None
    assert beside.met.reason == holdouts.NOT_IN_THIS_LOOK


def test_a_worker_that_dies_while_it_measures_leaves_a_look_with_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_launches(tmp_path)
    undisturbed = rows(take_look())
    Look.objects.filter(plan__experiment__key="quiet").delete()

    class Killed(BaseException):
        """Nothing catches it, as nothing catches a kill."""

    def die(*_: object) -> None:
        raise Killed

    look_id = plan_look("quiet", AS_OF, NOW).look_id
    with monkeypatch.context() as patched:
        patched.setattr(contamination, "measured", die)
        with pytest.raises(Killed):
            work(look_id)
    finish = LookCell.objects.get(look=look_id, kind="finish")
    assert finish.state == "leased"
    assert not Stored.objects.exists()
    run_out()
    for _ in range(2):
        cells.run(finish.pk, NOW)
    assert rows(Look.objects.get(pk=look_id)) == undisturbed


def test_a_holdout_whose_units_changed_before_the_last_step_is_not_finished(tmp_path: Path) -> None:
    two_launches(tmp_path)
    look_id = plan_look("quiet", AS_OF, NOW).look_id
    work(look_id, until="finish")
    write_table(tmp_path / "exposures.parquet", World.exposures([(1, "launched", 1), (4, "held_out", 1)]))
    work(look_id)
    look = Look.objects.get(pk=look_id)
    assert (look.state, look.error) == ("failed", cells.DATA_CHANGED)
