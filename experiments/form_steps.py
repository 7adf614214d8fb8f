"""The steps and fields of the forms: of an experiment, and of a holdout, which has some of the same steps.

A field's name is the path at which the definition has its value. Only fields that a definition of the kind may have
stand in its form; what its rules leave no choice about (the variants of a holdout, its clock) is said and not asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from experiments.definitions.partial import DefinitionKind, top

FieldKind = Literal["text", "long", "integer", "number", "day", "choice", "names"]

#: Stands for the number of a row in the paths of a step's rows.
ROW = "#"

REVIEW = "review"


@dataclass(frozen=True)
class Field:
    """One input.

    Attributes:
        only: the choices that it belongs to, as classes of the style sheet.
        of: the table whose columns it names, ``exposures`` or ``facts``.
    """

    path: str
    label: str
    kind: FieldKind = "text"
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    only: str = ""
    of: str = ""


@dataclass(frozen=True)
class Section:
    """Fields that belong together. ``path`` takes the violations of no field of its own."""

    title: str
    fields: tuple[Field, ...]
    path: str = ""
    help: str = ""


@dataclass(frozen=True)
class Step:
    """One page of the form. ``keys`` of the definition are filled in on it; ``rows`` is a list with a section each."""

    name: str
    title: str
    lead: str
    keys: tuple[str, ...]
    sections: tuple[Section, ...] = ()
    rows: str = ""
    row: Section | None = None


def _choices(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value.replace("_", " ")) for value in values)


_OPTIONAL = ("", "—")
_SPENDINGS = (_OPTIONAL, ("obrien_fleming", "O'Brien-Fleming"), ("pocock", "Pocock"))

# Fields of both forms.
_LAG = Field("source.lag_days", "Lag in days", "integer", "The newest days that are not complete yet.")
_ZONE = Field("timezone", "Time zone", help="Where a day begins, such as UTC or Europe/Berlin.")
_SEGMENTS = Field("segments", "Segments", "names", "Columns of the exposures, with commas. Optional.", of="exposures")
_PRE_WEEKS = Field("pre_weeks", "Pre-period in weeks", "integer", "Feeds the CUPED adjustment; 0 switches it off.")
_ALPHA = Field("decision.alpha", "Alpha", "number", "The rate of false claims over all looks: 0.05 is 5 %.")
_POWER = Field("decision.power", "Power", "number", "How surely a true effect should be found: 0.8 is 80 %.")

BASICS = Step(
    "basics", "Basics", "What is tried, and what it should do.", ("experiment", "name", "hypothesis", "owner", "unit"),
    (
        Section("What", (
            Field("name", "Name"),
            Field("experiment", "Key", help="Its name in addresses and commands: small letters, digits, dot, dash, _."),
            Field("hypothesis", "Hypothesis", "long", "What changes for whom, by how much, and what it must not cost."),
        )),
        Section("Who", (
            Field("owner", "Owner", help="The e-mail address of whoever starts it and decides on it."),
            Field("unit", "Unit", help="What is assigned and followed: user, household, device."),
        )),
    ),
)  # fmt: skip

DATA = Step(
    "data", "Data", "Where exposures and facts are read.",
    ("source", "clock", "timezone", "segments", "layer", "share", "holdout"),
    (
        Section("Source", (
            _LAG,
            Field("clock", "Clock", "choice", "Calendar if facts come by the week.", _choices("unit", "calendar")),
            _ZONE, _SEGMENTS,
        ), "source"),
        Section("Traffic", (
            Field("layer", "Layer", help="Experiments of one layer share out its units. Optional."),
            Field("share", "Share", "number", "Of the layer's units: 0.5 is half of them. Optional."),
            Field("holdout", "Holdout", help="Key of the holdout whose units are left out. Optional."),
        ), "", "Two experiments on the same units disturb each other unless one layer keeps them apart."),
    ),
)  # fmt: skip

VARIANTS = Step(
    "variants", "Variants", "The sides that are compared, and how units are split.", ("variants",), (), "variants",
    Section("Variant", (
        Field("variants[#].key", "Key"),
        Field("variants[#].weight", "Weight", "number", "50 and 50, or 9 and 1."),
    ), "variants[#]"),
)  # fmt: skip

METRICS = Step(
    "metrics", "Metrics", "What decides, what must not get worse, and what is only watched.", ("metrics",), (),
    "metrics",
    Section("Metric", (
        Field("metrics[#].key", "Key"),
        Field("metrics[#].kind", "Kind", "choice", "A unit's sum a week, its share of active weeks, a ratio of sums, "
              "or the time to an event.", _choices("mean", "active", "ratio", "event")),
        Field("metrics[#].column", "Column", only="mean active", of="facts"),
        Field("metrics[#].numerator", "Numerator", only="ratio", of="facts"),
        Field("metrics[#].denominator", "Denominator", help="A column, or: rows.", only="ratio", of="facts"),
        Field("metrics[#].event.type", "Event", "choice", choices=_choices("inactivity", "occurrence"), only="event"),
        Field("metrics[#].event.column", "Column of the event", only="event", of="facts"),
        Field("metrics[#].event.gap_weeks", "Gap in weeks", "integer", "So long without any is inactivity.",
              only="inactivity"),
        Field("metrics[#].better", "Better", "choice", choices=_choices("higher", "lower")),
        Field("metrics[#].role", "Role", "choice", "Primary decides; a guardrail must not get worse.",
              _choices("primary", "secondary", "guardrail", "diagnostic")),
        Field("metrics[#].margin", "Margin", "number", "The relative loss that is tolerated: 0.02 is 2 %.",
              only="guardrail"),
        Field("metrics[#].term", "Term", "choice", "Short: the early window decides. Long: the late one.",
              (_OPTIONAL, ("short", "short"), ("long", "long"))),
        Field("metrics[#].window", "Window", help="Only if another one decides. Optional."),
        Field("metrics[#].weight", "Weight", "number", "In the objective of all metrics together. Optional.",
              only="mean active ratio"),
        Field("metrics[#].cap", "Cap", "number", "Upper limit of a unit's week. Optional.", only="mean ratio"),
        Field("metrics[#].adjust", "Adjust for", "names", "Columns of the exposures, with commas. Optional.",
              only="event", of="exposures"),
    ), "metrics[#]"),
)  # fmt: skip

TIMING = Step(
    "timing", "Timing", "When it starts, how long units are followed, and which weeks decide.",
    ("start_date", "planned_end_date", "enrollment_weeks", "horizon_weeks", "pre_weeks", "windows"),
    (
        Section("Dates", (
            Field("start_date", "Start", "day", "The first day on which a unit can be exposed."),
            Field("planned_end_date", "Planned end", "day", "By when it has to be decided. Optional."),
            Field("enrollment_weeks", "Enrollment weeks", "integer", "Later exposures are left out, and counted."),
            Field("horizon_weeks", "Horizon in weeks", "integer", "So long each unit is followed after its exposure."),
            _PRE_WEEKS,
        )),
        Section("Early window", (
            Field("windows.early[0]", "From week", "integer"),
            Field("windows.early[1]", "to before week", "integer"),
        ), "windows.early", "Weeks since exposure, counted from 0. It decides for short-term metrics."),
        Section("Late window", (
            Field("windows.late[0]", "From week", "integer"),
            Field("windows.late[1]", "to before week", "integer"),
        ), "windows.late", "It decides for long-term metrics and guardrails."),
    ),
)  # fmt: skip

RULE = Step(
    "rule", "Decision rule", "How sure one has to be, and what ends it early.", ("decision",),
    (
        Section("Claims", (
            _ALPHA, _POWER,
            Field("decision.looks", "Looks", "choice", "Weekly looks share alpha; any time holds at every moment.",
                  _choices("weekly", "any_time")),
            Field("decision.spending", "Spending", "choice",
                  "How weekly looks share alpha. O'Brien-Fleming if nothing is said.", _SPENDINGS, "weekly"),
            Field("decision.planned_units", "Planned units", "integer", "Where intervals are tightest.",
                  only="any-time"),
            Field("decision.min_weeks", "No launch before week", "integer", "Weeks since the start."),
        ), "decision"),
    ),
    "decision.rollback",
    Section("Criterion", (
        Field("decision.rollback[#].metric", "Metric"),
        Field("decision.rollback[#].window", "Window", help="early, late, or latest: the newest matured week."),
        Field("decision.rollback[#].below", "Surely below", "number", "The lift as a fraction: -0.05 is -5 %."),
    ), "decision.rollback[#]"),
)  # fmt: skip


# --- holdouts ---------------------------------------------------------------------------------------------------------
HELD_BASICS = Step(
    "basics", "Basics", "From which launches units are kept, and what that should show.",
    ("holdout", "name", "hypothesis", "owner", "unit"),
    (
        Section("What", (
            Field("name", "Name"),
            Field("holdout", "Key", help="Its name in addresses and commands: small letters, digits, dot, dash, _."),
            Field("hypothesis", "Hypothesis", "long", "What all launches should do together, and what not cost."),
        )),
        Section("Who", (
            Field("owner", "Owner", help="The e-mail address of whoever starts it and releases it."),
            Field("unit", "Unit", help="What is held out and followed, as in its members: user, household, device."),
        )),
    ),
)  # fmt: skip

SLICE = Step(
    "slice", "Slice", "How many units are held out, and from what. From its start on the slice stays.",
    ("fraction", "members", "washout_weeks", "variants", "layer", "share", "phases", "targeting", "salt"),
    (
        Section("Size", (
            Field("fraction", "Fraction held out", "number", "0.05 is 5 % of all units; 0.5 at most."),
            Field("washout_weeks", "Washout in weeks", "integer", "After another holdout over the same members was "
                  "released, so long nobody is held out again. Two if nothing is said. Optional."),
        ), "", "Its variants are held_out, the control, and launched: all other units."),
        Section("Members", (
            Field("members", "Others", "names", "Keys of experiments or layers that are still to come, with commas."),
        ), "", "Their treatments, and what is launched of them, never reach the units held out. A member starts with "
               "the holdout or later: one that runs already may have treated those units."),
    ),
)  # fmt: skip

HELD_DATA = Step(
    "data", "Data", "Where exposures and facts are read.", ("source", "clock", "timezone", "segments"),
    (Section("Source", (_LAG, _ZONE, _SEGMENTS), "source", "A holdout is read by calendar week from its start."),),
)  # fmt: skip

HELD_TIMING = Step(
    "timing", "Timing", "When it starts, and until when it measures.", TIMING.keys,
    (
        Section("Dates", (
            Field("start_date", "Start", "day", "From this day on the slice is held out."),
            Field("planned_end_date", "Planned end", "day", "Alpha is spent until then; read it and release it."),
            Field("enrollment_weeks", "Enrollment weeks", "integer", "Units exposed later are left out, and counted. "
                  "All weeks if empty."),
            Field("horizon_weeks", "Horizon in weeks", "integer", "So long each unit is followed. Until the planned "
                  "end if empty."),
            _PRE_WEEKS,
        )),
        replace(TIMING.sections[1], help="Weeks since exposure, counted from 0, for the scorecard of its weeks."),
        replace(TIMING.sections[2], help="The holdout itself is read over all calendar weeks until the planned end."),
    ),
)  # fmt: skip

HELD_RULE = Step(
    "rule", RULE.title, "How sure one has to be, and what asks to roll back what was launched.", RULE.keys,
    (Section("Claims", (
        _ALPHA, _POWER,
        Field("decision.spending", "Spending", "choice", "How weekly looks share alpha.", _SPENDINGS),
    ), "decision", "Looks are weekly: a holdout measures the same units again and again."),),
    RULE.rows, RULE.row,
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    """The steps of one kind of definition; the review follows the last one."""

    kind: DefinitionKind
    steps: tuple[Step, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*(step.name for step in self.steps), REVIEW)

    def step(self, name: str) -> Step | None:
        return next((step for step in self.steps if step.name == name), None)

    def after(self, name: str) -> str:
        """The step that follows; the review follows the last one."""
        return self.names[min(self.names.index(name) + 1, len(self.names) - 1)]

    def step_of(self, path: str) -> str:
        """The step on which a violation's field is filled in; the review for keys that no step has."""
        return next((step.name for step in self.steps if top(path) in step.keys), REVIEW)


FORMS: Mapping[DefinitionKind, Form] = {
    "experiment": Form("experiment", (BASICS, DATA, VARIANTS, METRICS, TIMING, RULE)),
    "holdout": Form("holdout", (HELD_BASICS, SLICE, HELD_DATA, METRICS, HELD_TIMING, HELD_RULE)),
}
