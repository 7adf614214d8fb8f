"""Experiments and holdouts: who owns them, where their data are, which plan is in force, and what becomes of them."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.db import models, transaction
from django.db.models import F

from analysis import plan as plans
from analysis.results import Action
from experiments.models import states
from experiments.models.audit import EXPERIMENT, HOLDFAST, AuditEntry
from experiments.models.constraints import finite, one_of
from experiments.models.person import Person
from experiments.models.source import Source
from experiments.models.states import ARCHIVED, DECIDED, DRAFT, ENROLLMENT_CLOSED, IN_REVIEW, RUNNING
from experiments.sources.base import SourceSpec

if TYPE_CHECKING:
    from experiments.models.decision import Decision, DecisionQuerySet
    from experiments.models.plan import Plan
    from experiments.models.traffic import ForcedVariant


class CannotChange(Exception):
    """What was asked for does not fit the state of the experiment. The message says why."""


class CannotSubmit(CannotChange):
    """The experiment cannot be given to review."""


class CannotWithdraw(CannotChange):
    """The experiment cannot be taken back from review."""


class CannotStart(CannotChange):
    """The experiment cannot start."""


class CannotClose(CannotChange):
    """Enrollment cannot be closed."""


class CannotDecide(CannotChange):
    """The decision cannot be made."""


class CannotArchive(CannotChange):
    """The experiment cannot be put away."""


class Experiment(models.Model):
    """An experiment or a holdout. What it is called and who owns it may change at any time; its plan may not.

    Every verb is one conditional UPDATE on ``revision``, with its audit entry in the same transaction. Of several
    processes that try at once, one changes the row, and the others are told that it was changed meanwhile.

    Attributes:
        owner: the e-mail address that the definition file names; ``owners`` were assigned besides.
        outcome: what was decided last; set from the first decision on.
        plan: the plan in force, the newest version; earlier ones keep their looks.
        definition: the text of the definition file applied last.
        revision: how often the state or the plan has changed.
    """

    key = models.CharField(max_length=63, unique=True)
    kind = models.TextField()
    name = models.CharField(max_length=200)
    hypothesis = models.TextField(blank=True)
    owner = models.CharField(max_length=200)
    owners = models.ManyToManyField(Person, related_name="assigned")
    state = models.TextField(default=DRAFT)
    outcome = models.TextField(null=True)  # noqa: DJ001 - None: nothing is decided
    revision = models.PositiveIntegerField(default=0)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="experiments")
    plan = models.OneToOneField("Plan", on_delete=models.PROTECT, null=True, related_name="in_force_for")
    definition = models.TextField(blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    enrollment_closed_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)

    if TYPE_CHECKING:
        decisions: "DecisionQuerySet"
        forced: models.QuerySet["ForcedVariant"]

    class Meta:
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(
                condition=one_of("kind", ("experiment", "holdout")), name="experiment_kind_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(key__regex=r"^[a-z0-9][a-z0-9._-]{0,62}$"), name="experiment_key_is_well_formed"
            ),
            models.CheckConstraint(condition=states.FITS_ITS_DATES, name="experiment_state_fits_its_dates"),
            models.CheckConstraint(condition=states.OUTCOME_IS_KNOWN, name="experiment_outcome_is_known"),
            models.CheckConstraint(condition=states.DATES_ARE_IN_ORDER, name="experiment_dates_are_in_order"),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def current_plan(self) -> "Plan":
        """The plan in force. There is one as soon as the experiment has been applied."""
        assert self.plan is not None
        return self.plan

    @property
    def read_from(self) -> SourceSpec:
        """What adapters open for this experiment: its source, less its testers as they are now."""
        return replace(self.source.spec, testers=tuple(sorted(self.forced.values_list("unit", flat=True))))

    @property
    def standing(self) -> str:
        """The state in words; of a decided experiment what was decided."""
        return states.WORDS[self.outcome if self.state == DECIDED and self.outcome else self.state]

    def is_owned_by(self, person: Person) -> bool:
        """Whether the definition names this person, or an admin has assigned them."""
        return self.owner.strip().lower() == person.email or self.owners.filter(pk=person.pk).exists()

    def today(self, now: datetime) -> date:
        """The day it is where the experiment's days begin."""
        return now.astimezone(ZoneInfo(self.current_plan.load().timezone)).date()

    def offers(self, now: datetime) -> tuple[states.Verb, ...]:
        """What can be done with it now, whoever asks."""
        verbs = states.VERBS[self.state]
        return verbs if self._has_its_day_come(now) else tuple(verb for verb in verbs if verb != "start")

    def submit(self, *, by: str, now: datetime) -> None:
        """Give a draft to review: from now on it waits for somebody to start it. Raises CannotSubmit."""
        self._must_be(CannotSubmit, DRAFT)
        self._move(CannotSubmit, "submitted for review", by, now, state=IN_REVIEW)

    def withdraw(self, *, by: str, now: datetime) -> None:
        """Take it back from review. Raises CannotWithdraw."""
        self._must_be(CannotWithdraw, IN_REVIEW)
        self._move(CannotWithdraw, "withdrawn from review", by, now, state=DRAFT)

    @transaction.atomic
    def start(self, *, by: str, now: datetime) -> None:
        """Start, and freeze the plan. Raises CannotStart."""
        if self.started_at is not None:
            raise CannotStart(f"{self.key} started on {self.started_at:%Y-%m-%d}")
        self._must_be(CannotStart, DRAFT, IN_REVIEW)
        plan = self.current_plan.load()
        if not self._has_its_day_come(now):
            raise CannotStart(f"{self.key} starts on {plan.start_date}; today is {self.today(now)}")
        if self.kind == "experiment" and all(metric.role != "primary" for metric in plan.metrics):
            raise CannotStart(
                f"{self.key} has no primary metric, so nothing could be decided; give one `role: primary`"
            )
        self._move(CannotStart, "started", by, now, state=RUNNING, started_at=now)
        self.current_plan.freeze(now)

    def start_if_due(self, now: datetime) -> bool:
        """Start a draft whose start date has come, and say whether that happened now. Raises CannotStart."""
        if self.state != DRAFT or not self._has_its_day_come(now):
            return False
        self.start(by=HOLDFAST, now=now)
        return True

    def changes_itself(self, now: datetime) -> bool:
        """Whether its start, or the end of its enrollment, is due."""
        return (self.state == DRAFT and self._has_its_day_come(now)) or (
            self.state == RUNNING and self.today(now) >= self._enrollment_end()
        )

    def close_enrollment(self, *, by: str, now: datetime) -> None:
        """Say that later exposures do not count, once the plan's enrollment weeks are over. Raises CannotClose."""
        self._must_be(CannotClose, RUNNING)
        if self.today(now) < self._enrollment_end():
            raise CannotClose(f"enrollment of {self.key} lasts until {self._enrollment_end()}; that is in the plan")
        self._move(
            CannotClose,
            "enrollment closed",
            by,
            now,
            state=ENROLLMENT_CLOSED,
            enrollment_closed_at=self._not_before(now),
        )

    def close_if_due(self, now: datetime) -> bool:
        """Close enrollment if its weeks are over, and say whether that happened now."""
        if self.state != RUNNING or self.today(now) < self._enrollment_end():
            return False
        self.close_enrollment(by=HOLDFAST, now=now)
        return True

    def decide(self, variant: str, action: Action, *, by: str, now: datetime, reason: str = "") -> None:
        """Take a decision on a treatment. Raises CannotDecide.

        The experiment is decided as soon as all of its treatments are. The row that says on what the decision rests is
        the caller's, in the same transaction.
        """
        self._must_be(CannotDecide, RUNNING, ENROLLMENT_CLOSED, DECIDED)
        treatments = [treatment.key for treatment in self.current_plan.load().treatments]
        if variant not in treatments:
            raise CannotDecide(f"{self.key} has no treatment `{variant}`; it has {', '.join(treatments)}")
        final = {key: last.ending for key, last in self.last_decisions().items() if last.ending in states.OUTCOMES}
        if action not in states.OUTCOMES and variant in final:
            done = states.WORDS[states.OUTCOMES[final[variant]]]
            raise CannotDecide(f"{variant} of {self.key} was {done} already; only another ending can be decided now")
        if final.get(variant) == action:
            raise CannotDecide(f"{variant} of {self.key} was {states.WORDS[states.OUTCOMES[action]]} already")
        if action in states.OUTCOMES:
            final[variant] = action
        changes: dict[str, Any] = {}
        if all(key in final for key in treatments):
            outcome = next(words for ending, words in states.OUTCOMES.items() if ending in final.values())
            changes = {"state": DECIDED, "outcome": outcome, "decided_at": self.decided_at or self._not_before(now)}
        self._move(CannotDecide, "decided", by, now, {"variant": variant, "action": action}, reason, **changes)

    def last_decisions(self) -> dict[str, "Decision"]:
        """The newest decision on each treatment that has one."""
        rows = self.decisions.select_related("by").defer("document").order_by("pk")
        return {decision.variant: decision for decision in rows}

    def archive(self, *, by: str, now: datetime) -> None:
        """Put it away: nothing is read any more. What was started has to be decided first. Raises CannotArchive."""
        if self.state in (RUNNING, ENROLLMENT_CLOSED):
            raise CannotArchive(f"{self.key} is {self.standing}: decide on it first")
        self._must_be(CannotArchive, DRAFT, IN_REVIEW, DECIDED)
        self._move(CannotArchive, "archived", by, now, state=ARCHIVED, archived_at=self._not_before(now))

    def record(self, verb: str, *, by: str, now: datetime, told: dict[str, Any], reason: str = "") -> None:
        """Write down what else was done, unless it was changed meanwhile. Raises CannotChange."""
        self._move(CannotChange, verb, by, now, told, reason)

    def _has_its_day_come(self, now: datetime) -> bool:
        return self.today(now) >= self.current_plan.load().start_date

    def _enrollment_end(self) -> date:
        """The first day whose exposures are left out."""
        plan = self.current_plan.load()
        return plan.start_date + timedelta(days=7 * plan.enrollment_weeks)

    def _not_before(self, now: datetime) -> datetime:
        """``now``, but not before what has happened: the clocks of two machines differ by seconds."""
        return max(moment for moment in (now, self.started_at, self.decided_at) if moment is not None)

    def _must_be(self, refusal: type[CannotChange], *allowed: str) -> None:
        if self.state not in allowed:
            needed = " or ".join(states.WORDS.get(state, state) for state in allowed)
            raise refusal(f"{self.key} is {self.standing}; this needs one that is {needed}")

    @transaction.atomic
    def _move(
        self,
        refusal: type[CannotChange],
        verb: str,
        by: str,
        now: datetime,
        told: dict[str, Any] | None = None,
        reason: str = "",
        **changes: Any,
    ) -> None:
        """Change the row if nobody else has since it was read, and write down who did it."""
        rows = Experiment.objects.filter(pk=self.pk, revision=self.revision)
        if not rows.update(revision=F("revision") + 1, **changes):
            current = Experiment.objects.get(pk=self.pk)
            raise refusal(f"{self.key} was changed meanwhile: it is {current.standing} now. Read it again")
        before = self.standing
        self.revision += 1
        for field, value in changes.items():
            setattr(self, field, value)
        AuditEntry.objects.record(
            by=by, verb=verb, kind=EXPERIMENT, key=self.key, now=now, reason=reason,
            before={"state": before}, after={"state": self.standing, **(told or {})},
        )  # fmt: skip


class Variant(models.Model):
    """One side of the comparison, as the plan in force has it. ``weight`` is null where no split was designed."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="variants")
    key = models.CharField(max_length=63)
    position = models.PositiveIntegerField()
    weight = models.FloatField(null=True)
    control = models.BooleanField(default=False)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "key"], name="variant_key_is_unique"),
            models.UniqueConstraint(fields=["experiment", "position"], name="variant_position_is_unique"),
            models.UniqueConstraint(
                fields=["experiment"], condition=models.Q(control=True), name="experiment_has_one_control"
            ),
            models.CheckConstraint(
                condition=(models.Q(weight__gt=0) | models.Q(weight__isnull=True)) & finite("weight"),
                name="variant_weight_is_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @classmethod
    def of(cls, experiment: Experiment, variant: plans.Variant, position: int) -> "Variant":
        return cls(
            experiment=experiment, key=variant.key, position=position, weight=variant.weight, control=variant.control
        )
