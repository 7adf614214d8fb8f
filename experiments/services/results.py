"""Read what looks have said and how far they are. Pages, commands and the API read results here and nowhere else."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar, cast

from django.db.models import QuerySet

from analysis import results
from analysis.plan import Plan as PlanBody
from analysis.results import Scorecard
from experiments.models import CheckRow, EffectRow, Experiment, Look, LookCell, ReversalRow, TrajectoryRow
from experiments.models import read_scorecard as read
from experiments.models.look import CHECK, DONE, FAILED, FINISH, LEASED, MOMENTS
from experiments.services.suggest import did_you_mean

R = TypeVar("R")


class NoSuchExperiment(LookupError):
    """No experiment or holdout has this key. The message names the closest one."""


class NoLookYet(LookupError):
    """The experiment has no finished look as asked for. The message says what to do."""


@dataclass(frozen=True)
class LookStatus:
    """How far a look is. ``step`` says in words what is being done; ``error`` why a failed one failed."""

    key: str
    as_of: date
    number: int
    planned: int
    state: str
    done_cells: int
    total_cells: int
    step: str
    error: str
    leased_cells: int = 0

    @property
    def percent(self) -> int:
        """Done cells in percent, rounded down; 100 only for a look that is done."""
        if self.state == DONE:
            return 100
        return min(99, 100 * self.done_cells // self.total_cells) if self.total_cells else 0


@dataclass(frozen=True)
class PortfolioEntry:
    """An experiment at a glance: its newest look, and of its newest finished one the rows that decide.

    Attributes:
        look: the newest look, whatever its state; None before the first one.
        as_of: the day of the finished look that the rows are from, None without one.
        effects: in each metric's deciding window.
        trajectory: week by week, of the first primary metric.
    """

    key: str
    name: str
    kind: str
    owner: str
    state: str
    start_date: date
    plan: PlanBody
    look: LookStatus | None
    as_of: date | None
    effects: tuple[results.EffectRow, ...]
    trajectory: tuple[results.TrajectoryRow, ...]
    reversals: tuple[results.ReversalRow, ...]
    checks: tuple[results.CheckRow, ...]


def find_experiment(key: str) -> Experiment:
    """Return an experiment or a holdout with its plan and source. Raises NoSuchExperiment."""
    found = _experiments().filter(key=key).first()
    if found is not None:
        return found
    keys = list(Experiment.objects.values_list("key", flat=True))
    if not keys:
        raise NoSuchExperiment(f"there is no experiment `{key}`, nor any other yet: apply a definition file first")
    raise NoSuchExperiment(f"there is no experiment `{key}`{did_you_mean(key, keys)}")


def stored_scorecard(key: str, as_of: date | None = None) -> Scorecard:
    """Return the scorecard of the newest finished look under the plan in force, or of the one as of a day.

    Raises NoSuchExperiment, NoLookYet.
    """
    experiment = find_experiment(key)
    done = _looks(experiment).filter(state=DONE)
    look = (done if as_of is None else done.filter(as_of=as_of)).first()
    if look is None:
        raise NoLookYet(_why_none(experiment, as_of))
    return read(look)


def look_status(key: str, as_of: date | None = None) -> LookStatus:
    """Return how far the newest look is, or the one as of a day. Raises NoSuchExperiment, NoLookYet."""
    experiment = find_experiment(key)
    looks = _looks(experiment)
    look = (looks if as_of is None else looks.filter(as_of=as_of)).order_by("-as_of", "-planned_at", "-pk").first()
    if look is None:
        raise NoLookYet(_why_none(experiment, as_of))
    return _statuses([look])[look.pk]


def status_of(look_id: int) -> LookStatus:
    """Return how far one look is, by its number in the database."""
    look = Look.objects.select_related("plan__experiment").get(pk=look_id)
    return _statuses([look])[look.pk]


def looks(key: str) -> tuple[LookStatus, ...]:
    """Return all looks under the plan in force, oldest day first, each day's newest data only."""
    newest = {look.as_of: look for look in _looks(find_experiment(key)).order_by("as_of", "planned_at", "pk")}
    statuses = _statuses(newest.values())
    return tuple(statuses[newest[day].pk] for day in sorted(newest))


def portfolio() -> tuple[PortfolioEntry, ...]:
    """Return all experiments and holdouts by key, in a number of queries that does not depend on how many there are."""
    experiments = list(_experiments())
    in_force = [experiment.plan_id for experiment in experiments]
    of_plans = Look.objects.filter(plan__in=in_force).select_related("plan__experiment")
    by_plan = of_plans.distinct("plan_id")
    newest = {look.plan_id: look for look in by_plan.order_by("plan_id", "-as_of", "-planned_at", "-pk")}
    done = by_plan.filter(state=DONE).order_by("plan_id", "-as_of", "-finished_at", "-pk")
    finished = {look.plan_id: look for look in done}
    statuses = _statuses(newest.values())
    rows = _PortfolioRows.of({look.pk: look.plan.load() for look in finished.values()})
    return tuple(
        _entry(experiment, newest.get(plan_id), finished.get(plan_id), statuses, rows)
        for experiment in experiments
        if (plan_id := cast(int, experiment.plan_id))
    )


def _experiments() -> QuerySet[Experiment]:
    return Experiment.objects.filter(plan__isnull=False).select_related("plan__experiment", "source").order_by("key")


def _looks(experiment: Experiment) -> QuerySet[Look]:
    """Looks under the plan in force, newest day first, and of one day the one finished last first."""
    of_plan = Look.objects.filter(plan=experiment.plan_id).select_related("plan__experiment")
    return of_plan.order_by("-as_of", "-finished_at", "-pk")


def _why_none(experiment: Experiment, as_of: date | None) -> str:
    command = f"python manage.py refresh {experiment.key}" + (f" --as-of {as_of}" if as_of else "") + " --wait"
    day = f" as of {as_of}" if as_of else ""
    open_look = _looks(experiment).exclude(state=DONE)
    look = (open_look.filter(as_of=as_of) if as_of else open_look).first()
    if look is not None and look.state == FAILED:
        return f"the look of {experiment.key} as of {look.as_of} failed: {look.error}. Try again with: {command}"
    if look is not None:
        return f"the look of {experiment.key} as of {look.as_of} is not finished yet. Wait for it with: {command}"
    if as_of is None and experiment.current_plan.version > 1:
        return f"the plan of {experiment.key} was amended, and has no look yet. Take one with: {command}"
    return f"{experiment.key} has no look{day} yet. Take one with: {command}"


def _statuses(found: Iterable[Look]) -> dict[int, LookStatus]:
    """The status of each look, in one query over their cells."""
    looks_by_id = {look.pk: look for look in found}
    states: dict[int, list[tuple[str, str]]] = {pk: [] for pk in looks_by_id}
    for look_id, kind, state in LookCell.objects.filter(look__in=looks_by_id).values_list("look", "kind", "state"):
        states[look_id].append((kind, state))
    return {pk: _status(look, states[pk]) for pk, look in looks_by_id.items()}


def _status(look: Look, cells: list[tuple[str, str]]) -> LookStatus:
    return LookStatus(
        key=look.plan.experiment.key, as_of=look.as_of, number=look.number, planned=look.planned_looks,
        state=look.state, done_cells=sum(state == DONE for _, state in cells), total_cells=len(cells),
        step=_step(look, cells), error=look.error, leased_cells=sum(state == LEASED for _, state in cells),
    )  # fmt: skip


def _step(look: Look, cells: list[tuple[str, str]]) -> str:
    """What is being done, in words."""
    if not look.is_open:
        return "finished" if look.state == DONE else "failed"
    open_kinds = {kind for kind, state in cells if state != DONE}
    parts = [state for kind, state in cells if kind == MOMENTS]
    reading = f"reading the data, {sum(state == DONE for state in parts)} of {len(parts)} parts done"
    words = {CHECK: "checking the rows", MOMENTS: reading, FINISH: "estimating the effects"}
    step = next((words[kind] for kind in words if kind in open_kinds), words[FINISH])
    if any(state == LEASED for _, state in cells):
        return step
    return f"waiting for a worker ({step})"


@dataclass(frozen=True)
class _PortfolioRows:
    """The rows of finished looks that a portfolio shows, by look."""

    effects: dict[int, list[results.EffectRow]]
    trajectory: dict[int, list[results.TrajectoryRow]]
    reversals: dict[int, list[results.ReversalRow]]
    checks: dict[int, list[results.CheckRow]]

    @classmethod
    def of(cls, plans: dict[int, PlanBody]) -> "_PortfolioRows":
        """Read them, one query a table."""
        deciding = {(pk, m.key, m.deciding_window) for pk, plan in plans.items() for m in plan.estimated_metrics}
        first = {(pk, _first_primary(plan)) for pk, plan in plans.items()}
        effects = EffectRow.objects.filter(
            look__in=plans, window__in={window for _, _, window in deciding}, segment__isnull=True
        )
        weekly = TrajectoryRow.objects.filter(look__in=plans, metric__in={metric for _, metric in first}, kind="weekly")
        return cls(
            _by_look(
                (row.look_id, row.to_result(results.EffectRow))
                for row in effects
                if (row.look_id, row.metric, row.window) in deciding
            ),
            _by_look(
                (row.look_id, row.to_result(results.TrajectoryRow))
                for row in weekly
                if (row.look_id, row.metric) in first
            ),
            _by_look(
                (row.look_id, row.to_result(results.ReversalRow)) for row in ReversalRow.objects.filter(look__in=plans)
            ),
            _by_look((row.look_id, row.to_result(results.CheckRow)) for row in CheckRow.objects.filter(look__in=plans)),
        )


def _first_primary(plan: PlanBody) -> str:
    """The key of the first primary metric with an effect per window, empty without one."""
    return next((metric.key for metric in plan.estimated_metrics if metric.role == "primary"), "")


def _by_look(rows: Iterable[tuple[int, R]]) -> dict[int, list[R]]:
    found: dict[int, list[R]] = {}
    for look_id, row in rows:
        found.setdefault(look_id, []).append(row)
    return found


def _entry(
    experiment: Experiment,
    newest: Look | None,
    finished: Look | None,
    statuses: dict[int, LookStatus],
    rows: _PortfolioRows,
) -> PortfolioEntry:
    plan = experiment.current_plan.load()
    shown = finished.pk if finished else 0
    return PortfolioEntry(
        key=experiment.key, name=experiment.name, kind=experiment.kind, owner=experiment.owner,
        state=experiment.standing, start_date=plan.start_date, plan=plan,
        look=statuses[newest.pk] if newest else None, as_of=finished.as_of if finished else None,
        effects=tuple(rows.effects.get(shown, ())), trajectory=tuple(rows.trajectory.get(shown, ())),
        reversals=tuple(rows.reversals.get(shown, ())), checks=tuple(rows.checks.get(shown, ())),
    )  # fmt: skip
