"""Past looks on a scorecard's page: a slider over all of them, runs of the same advice, and the two-week test."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from analysis.plan import Variant
from analysis.replay import NaiveLaunch, Outcome
from analysis.results import Scorecard
from experiments import formatting
from experiments.charts.tones import Tone, label
from experiments.services.past import Advice, History, PastLook
from experiments.views.advice import ACTIONS


@dataclass(frozen=True)
class Said:
    """The advice for one treatment at one look."""

    variant: str
    action: str
    tone: Tone
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Stop:
    """One look on the slider. ``naive`` says what a two-week test did by then, on the look that first knows it."""

    position: int
    look: PastLook
    current: bool
    said: tuple[Said, ...]
    naive: str
    planned: int

    @property
    def name(self) -> str:
        return formatting.look(self.look.number, self.planned).capitalize()

    @property
    def words(self) -> str:
        """The advice in a few words, with the treatments' names where there are several."""
        if len(self.said) == 1:
            return self.said[0].action
        return " · ".join(f"{one.variant}: {one.action}" for one in self.said)

    @property
    def tone(self) -> Tone:
        tones = {one.tone for one in self.said}
        return next((tone for tone in ("bad", "within", "good") if tone in tones), "open")


@dataclass(frozen=True)
class Run:
    """Neighboring looks with the same advice; the reasons are those of the first."""

    first: Stop
    last: Stop
    said: Said


@dataclass(frozen=True)
class NaiveTold:
    """What a two-week test of one treatment would have done, and what came of it."""

    row: NaiveLaunch
    outcomes: tuple[tuple[Outcome, Tone], ...]
    weeks: str


@dataclass(frozen=True)
class Replayed:
    """The past of one treatment."""

    variant: Variant
    title: str
    runs: tuple[Run, ...]
    naive: NaiveTold | None


@dataclass(frozen=True)
class Looks:
    stops: tuple[Stop, ...]
    treatments: tuple[Replayed, ...]

    @property
    def current(self) -> Stop | None:
        return next((stop for stop in self.stops if stop.current), None)

    @property
    def before(self) -> Stop | None:
        return self._beside(-1)

    @property
    def after(self) -> Stop | None:
        return self._beside(1)

    def _beside(self, step: int) -> Stop | None:
        if self.current is None:
            return None
        place = self.current.position + step
        return self.stops[place] if 0 <= place < len(self.stops) else None


def looks_of(card: Scorecard, history: History) -> Looks:
    """Arrange all looks beside the one that the page shows."""
    known_from = {row.variant: _first_after(history.looks, row.as_of) for row in history.naive if row.launched}
    stops = tuple(
        _stop(position, look, card, [row for row in history.naive if known_from.get(row.variant) == look.as_of])
        for position, look in enumerate(history.looks)
    )
    naive = {row.variant: _told(row) for row in history.naive}
    treatments = tuple(
        Replayed(variant, _title(naive.get(variant.key)), tuple(_runs(stops, variant.key)), naive.get(variant.key))
        for variant in card.plan.treatments
    )
    return Looks(stops, tuple(one for one in treatments if one.runs))


def _first_after(looks: Sequence[PastLook], day: date) -> date | None:
    return next((look.as_of for look in looks if look.as_of >= day), None)


def _stop(position: int, look: PastLook, card: Scorecard, naive: Sequence[NaiveLaunch]) -> Stop:
    keys = [variant.key for variant in card.plan.treatments]
    said = tuple(_said(key, look.advice[key]) for key in keys if key in look.advice)
    several = len(keys) > 1
    launched = " and ".join(row.variant for row in naive)
    words = f"A two-week test would have launched {launched if several else 'it'} by now" if naive else ""
    return Stop(position, look, look.as_of == card.as_of, said, words, card.planned_looks)


def _said(variant: str, advice: Advice) -> Said:
    action, tone = ACTIONS[advice.action]
    return Said(variant, action, tone, advice.reasons)


def _runs(stops: Sequence[Stop], variant: str) -> Iterator[Run]:
    told = [(stop, said) for stop in stops for said in stop.said if said.variant == variant]
    for _, group in groupby(told, key=lambda pair: pair[1].action):
        run = list(group)
        yield Run(run[0][0], run[-1][0], run[0][1])


def _told(row: NaiveLaunch) -> NaiveTold:
    outcomes = tuple((outcome, _tone(outcome)) for outcome in row.outcomes)
    weeks = ""
    if row.outcomes:
        first = row.outcomes[0]
        weeks = f"weeks {first.start_week}-{first.end_week - 1}"
    return NaiveTold(row, outcomes, weeks)


def _tone(outcome: Outcome) -> Tone:
    """Losses are marked; that an outcome is no loss is no win: none of them is tested here."""
    return "bad" if outcome.loss else "open"


def _title(naive: NaiveTold | None) -> str:
    if naive is None or naive.row.launched is None:
        return "What the looks have said so far"
    if not naive.row.launched:
        return "A two-week test would not have launched this"
    lost = next((outcome for outcome, _ in naive.outcomes if outcome.loss), None)
    if lost is None:
        return "A two-week test would have launched this"
    lift = formatting.percent(lost.lift)
    return f"A two-week test would have launched this: {label(lost.metric)} {lift} in {naive.weeks}"
