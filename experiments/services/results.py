"""Read what looks have said and how far they are. Pages, commands and the API read results here and nowhere else."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.db.models import Q, QuerySet

from analysis.plan import Plan as PlanBody
from analysis.results import Scorecard
from experiments.models import Experiment, Look, LookCell
from experiments.models import read_scorecard as read
from experiments.models.look import CHECK, DONE, FAILED, FINISH, LEASED, MOMENTS
from experiments.services.suggest import did_you_mean


class NoSuchExperiment(LookupError):
    """No experiment or holdout has this key. The message names the closest one."""


class NoLookYet(LookupError):
    """The experiment has no finished look as asked for. ``why`` says so; the message has a command that helps, too."""

    def __init__(self, why: str, command: str = "") -> None:
        super().__init__(f"{why}. {command}" if command else why)
        self.why = why


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


def find_experiment(key: str) -> Experiment:
    """Return an experiment or a holdout with its plan and source. Raises NoSuchExperiment."""
    found = in_force().filter(key=key).first()
    if found is not None:
        return found
    keys = list(Experiment.objects.values_list("key", flat=True))
    if not keys:
        raise NoSuchExperiment(f"there is no experiment `{key}`, nor any other yet: apply a definition file first")
    raise NoSuchExperiment(f"there is no experiment `{key}`{did_you_mean(key, keys)}")


def stored_scorecard(key: str, as_of: date | None = None, *, for_page: bool = False) -> Scorecard:
    """Return the scorecard of the newest finished look under the plan in force, or of the one as of a day.

    ``for_page`` leaves out what a page shows on demand only: of trajectories, which are most of a scorecard, it has
    the weekly rows, and all rows of primary metrics and events. Raises NoSuchExperiment, NoLookYet.
    """
    experiment = find_experiment(key)
    done = _looks(experiment).filter(state=DONE)
    look = (done if as_of is None else done.filter(as_of=as_of)).first()
    if look is None:
        raise _none(experiment, as_of)
    return read(look, _unfolded(look.plan.load()) if for_page else None)


def _unfolded(plan: PlanBody) -> Q:
    keys = [metric.key for metric in plan.metrics if metric.role == "primary" or metric.event is not None]
    return Q(kind="weekly") | Q(metric__in=keys)


def look_status(key: str, as_of: date | None = None) -> LookStatus:
    """Return how far the newest look is, or the one as of a day. Raises NoSuchExperiment, NoLookYet."""
    experiment = find_experiment(key)
    looks = _looks(experiment)
    look = (looks if as_of is None else looks.filter(as_of=as_of)).order_by("-as_of", "-planned_at", "-pk").first()
    if look is None:
        raise _none(experiment, as_of)
    return statuses([look])[look.pk]


def status_of(look_id: int) -> LookStatus:
    """Return how far one look is, by its number in the database."""
    look = Look.objects.select_related("plan__experiment").get(pk=look_id)
    return statuses([look])[look.pk]


def looks(key: str) -> tuple[LookStatus, ...]:
    """Return all looks under the plan in force, oldest day first, each day's newest data only."""
    newest = {look.as_of: look for look in _looks(find_experiment(key)).order_by("as_of", "planned_at", "pk")}
    found = statuses(newest.values())
    return tuple(found[newest[day].pk] for day in sorted(newest))


def in_force() -> QuerySet[Experiment]:
    """All experiments and holdouts that have a plan, with it and their source, by key."""
    return Experiment.objects.filter(plan__isnull=False).select_related("plan__experiment", "source").order_by("key")


def _looks(experiment: Experiment) -> QuerySet[Look]:
    """Looks under the plan in force, newest day first, and of one day the one finished last first."""
    of_plan = Look.objects.filter(plan=experiment.plan_id).select_related("plan__experiment")
    return of_plan.order_by("-as_of", "-finished_at", "-pk")


def _none(experiment: Experiment, as_of: date | None) -> NoLookYet:
    command = f"python manage.py refresh {experiment.key}" + (f" --as-of {as_of}" if as_of else "") + " --wait"
    day = f" as of {as_of}" if as_of else ""
    open_look = _looks(experiment).exclude(state=DONE)
    look = (open_look.filter(as_of=as_of) if as_of else open_look).first()
    if look is not None and look.state == FAILED:
        why = f"the look of {experiment.key} as of {look.as_of} failed: {look.error}"
        return NoLookYet(why, f"Try again with: {command}")
    if look is not None:
        why = f"the look of {experiment.key} as of {look.as_of} is not finished yet"
        return NoLookYet(why, f"Wait for it with: {command}")
    if as_of is None and experiment.current_plan.version > 1:
        return NoLookYet(f"the plan of {experiment.key} was amended, and has no look yet", f"Take one with: {command}")
    return NoLookYet(f"there is no look of {experiment.key}{day} yet", f"Take one with: {command}")


def statuses(found: Iterable[Look]) -> dict[int, LookStatus]:
    """Return the status of each look by its number in the database, in one query over their cells."""
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
