"""Cells of work: leases, second deliveries, failures, several workers at once."""

import os
import time
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError

from analysis import scorecard as scorecards
from analysis.results import Scorecard
from experiments.models import (
    Claim,
    EffectRow,
    Look,
    LookCell,
)
from experiments.services import cells, leases, results
from experiments.services.refresh import plan_look
from experiments.sources import registry
from experiments.sources.base import SourceProblem
from tests.experiments.looks import (
    AS_OF,
    NOW,
    Mailbox,
    assert_same,
    at_once,
    fresh,
    look_of,
    run_out,
    taken,
)
from tests.experiments.small_data import SmallData

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_claimed_cell_cannot_be_claimed_again(key: str) -> None:
    planned = plan_look(key, None, NOW)
    (cell_id,) = LookCell.objects.ready(planned.look_id)
    assert LookCell.objects.claim(cell_id, 30) is not None
    assert LookCell.objects.claim(cell_id, 30) is None
    assert LookCell.objects.ready(planned.look_id) == []


def test_a_lease_that_ran_out_is_taken_over_and_the_late_result_is_refused(key: str, box: Mailbox) -> None:
    planned = plan_look(key, None, NOW)
    (cell_id,) = LookCell.objects.ready(planned.look_id)
    slow = LookCell.objects.claim(cell_id, 30)
    assert slow is not None
    run_out()
    quick = LookCell.objects.claim(cell_id, 30)
    assert quick is not None
    assert quick.cell.attempts == 2
    assert not cells._delivered(slow, b"late")
    assert not leases.extend(slow, 30)
    assert leases.extend(quick, 30)
    run_out()
    assert cells.wake(planned.look_id) == 1
    box.deliver_all()
    assert look_of(planned).state == "done"
    assert not cells._delivered(quick, b"later still")


def test_a_finish_that_lost_its_lease_writes_nothing(key: str, box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan_look(key, None, NOW)
    build = scorecards.build

    def stolen(triangle: Any) -> Scorecard:
        LookCell.objects.filter(kind="finish").update(token=uuid4())
        return build(triangle)

    monkeypatch.setattr(scorecards, "build", stolen)
    box.deliver_all()
    assert look_of(planned).state == "running"
    assert not EffectRow.objects.exists()
    monkeypatch.undo()
    run_out()
    box.waiting = []
    cells.run(LookCell.objects.get(kind="finish").pk, NOW)
    assert look_of(planned).state == "done"


def test_the_lease_is_extended_while_the_work_lasts(key: str) -> None:
    planned = plan_look(key, None, NOW)
    claim = LookCell.objects.claim(LookCell.objects.ready(planned.look_id)[0], 1)
    assert claim is not None
    with leases.kept(claim, 1):
        time.sleep(1.6)
        assert LookCell.objects.ready(planned.look_id) == []
    run_out()
    assert LookCell.objects.ready(planned.look_id) == [claim.cell.pk]


def test_a_heart_that_finds_its_cell_taken_stops(key: str) -> None:
    planned = plan_look(key, None, NOW)
    claim = LookCell.objects.claim(LookCell.objects.ready(planned.look_id)[0], 30)
    assert claim is not None
    LookCell.objects.filter(state="leased").update(token=uuid4())
    with leases.kept(claim, 0):
        time.sleep(0.2)
    assert LookCell.objects.get(kind="check").lease_until is not None


def test_a_heart_goes_on_beating_after_the_database_was_away_for_a_moment(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan_look(key, None, NOW)
    claim = LookCell.objects.claim(LookCell.objects.ready(planned.look_id)[0], 30)
    assert claim is not None
    beats = iter([DatabaseError("gone"), True, False])
    counted = []

    def beat(claim: Claim, seconds: int) -> bool:
        counted.append(1)
        outcome = next(beats)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(leases, "extend", beat)
    with leases.kept(claim, 0):
        time.sleep(0.2)
    assert len(counted) == 3


def test_of_several_workers_at_once_one_gets_the_cell(key: str) -> None:
    planned = plan_look(key, None, NOW)
    (cell_id,) = LookCell.objects.ready(planned.look_id)
    for _ in range(5):
        claims = at_once(lambda: LookCell.objects.claim(cell_id, 30))
        assert len([claim for claim in claims if claim is not None]) == 1
        run_out()


def test_of_several_refreshes_at_once_one_plans_the_look(key: str) -> None:
    planned = at_once(lambda: plan_look(key, None, NOW))
    assert sorted(one.outcome for one in planned) == ["planned", "resumed", "resumed", "resumed"]  # type: ignore[attr-defined]
    assert Look.objects.count() == 1
    assert LookCell.objects.count() == 3


def test_cells_run_by_several_workers_at_once_are_done_once(
    key: str, data: SmallData, box: Mailbox, settings: Any
) -> None:
    settings.HOLDFAST_MIN_PARTITIONS = 4
    planned = plan_look(key, None, NOW)
    while look_of(planned).is_open:
        messages, box.waiting = box.waiting, []
        assert messages
        for cell_id in dict.fromkeys(messages):
            at_once(lambda cell_id=cell_id: cells.run(cell_id, NOW), times=2)  # type: ignore[misc]
    assert set(LookCell.objects.values_list("attempts", flat=True)) == {1}
    assert_same(results.stored_scorecard(key), fresh(data, AS_OF), relative=1e-9)


def test_the_next_refresh_completes_a_look_whose_messages_were_lost(key: str, box: Mailbox) -> None:
    planned = plan_look(key, None, NOW)
    for _ in range(3):
        box.waiting.clear()
        assert plan_look(key, AS_OF, NOW).outcome == "resumed"
        box.deliver()
    assert look_of(planned).state == "done"


def test_data_that_are_refused_fail_the_look_at_once_with_their_message(
    key: str, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise SourceProblem("facts.parquet, column `lines`: 3 values are not numbers")

    planned = plan_look(key, None, NOW)
    monkeypatch.setattr("experiments.sources.duckdb.DuckDBSource.read_tallies", refuse)
    box.deliver_all()
    look = look_of(planned)
    assert (look.state, look.error) == ("failed", "facts.parquet, column `lines`: 3 values are not numbers")
    assert set(look.cells.values_list("state", "attempts")) == {("failed", 1), ("failed", 0)}
    with pytest.raises(results.NoLookYet, match=r"failed: facts\.parquet"):
        results.stored_scorecard(key)


def test_a_failed_look_is_planned_anew_by_the_next_refresh(
    key: str, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan_look(key, None, NOW)
    old = LookCell.objects.get(kind="check").pk
    look_of(planned).fail("a cable was pulled")
    again = plan_look(key, None, NOW)
    assert (again.look_id, again.outcome) == (planned.look_id, "planned")
    cells.run(old, NOW)
    box.deliver_all()
    look = look_of(planned)
    assert (look.state, look.error) == ("done", "")


def test_an_unexpected_error_is_tried_three_times_and_then_told_calmly(
    key: str, box: Mailbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def break_down(triangle: object) -> None:
        tried.append(1)
        raise RuntimeError("flux")

    monkeypatch.setattr(scorecards, "build", break_down)
    planned = plan_look(key, None, NOW)
    box.deliver_all()
    look = look_of(planned)
    assert len(tried) == 3
    assert look.state == "failed"
    assert look.error == (
        "something unexpected happened 3 times while estimating the effects (RuntimeError: flux); "
        "the worker's log has the details"
    )
    assert caplog.text.count("Traceback") == 3
    assert not look.fail("again")


def test_an_error_that_passes_does_no_harm(
    key: str, data: SmallData, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = registry.open_source
    failures = iter([OSError("a hiccup"), MemoryError()])

    def hiccup(*arguments: Any) -> Any:
        for error in failures:
            raise error
        return real(*arguments)

    planned = plan_look(key, None, NOW)
    monkeypatch.setattr(registry, "open_source", hiccup)
    box.deliver_all()
    assert look_of(planned).state == "done"
    assert LookCell.objects.get(kind="check").failures == 2
    assert_same(results.stored_scorecard(key), fresh(data, AS_OF))


def test_a_cell_that_keeps_killing_its_workers_is_given_up(key: str, box: Mailbox) -> None:
    planned = plan_look(key, None, NOW)
    LookCell.objects.filter(kind="check").update(attempts=cells.MOST_CLAIMS)
    box.deliver_all()
    assert look_of(planned).error == ("10 workers ended while checking the rows; the machine may be short of memory")


def test_data_that_change_while_they_are_read_fail_the_look(key: str, data: SmallData, box: Mailbox) -> None:
    planned = plan_look(key, None, NOW)
    box.deliver()
    data.facts["lines"] = [value + 1 for value in data.facts["lines"]]
    data.write()
    os.utime(data.folder / "facts.parquet")
    box.deliver_all()
    look = look_of(planned)
    assert (look.state, look.error) == ("failed", cells.DATA_CHANGED)
    taken(box, key)
    assert_same(results.stored_scorecard(key), fresh(data, AS_OF))
