"""Units held out of a launch that met it all the same: measured in a look of the holdout, on its rows and its members'.

Units are compared by fingerprint, so a member's data may be in another kind of source. A member that cannot be read has
a reason, and the look goes on without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from analysis.contamination import NEVER, Days, meet, places, weekly_shares
from analysis.plan import Plan
from analysis.results import ContaminationRow
from experiments.services.members import Side, sides_of
from experiments.sources import registry
from experiments.sources.base import Source, SourceProblem

NOTHING_LAUNCHED = "nothing has been launched yet"


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a holdout that count, as sorted fingerprints.

    Attributes:
        known: all of them, shape (n,).
        held: those held out, shape (h,).
        exposed: days from start_date to the exposure of those held out, shape (h,).
    """

    known: NDArray[np.uint64]
    held: NDArray[np.uint64]
    exposed: Days


def units_of(source: Source, plan: Plan, as_of: date) -> Units:
    """Read the units of a holdout as of a day. Raises SourceProblem."""
    control = next(place for place, variant in enumerate(plan.variants) if variant.control)
    known, held, exposed = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for part in source.unit_days(plan, as_of, counted=True):
        kept = part.variants == control
        known.append(part.units)
        held.append(part.units[kept])
        exposed.append(part.days[kept].astype(np.int64))
    units = np.concatenate(held)
    order = np.argsort(units)
    return Units(np.sort(np.concatenate(known)), units[order], np.concatenate(exposed)[order])


def measured(plan: Plan, as_of: date, units: Units, now: datetime) -> tuple[ContaminationRow, ...]:
    """Return who of the units held out met each treatment of the members, and any of those launched, as of a day."""
    rows, launches = [], np.full(len(units.held), NEVER)
    by_member = groupby(sides_of(plan, as_of), key=lambda side: side.experiment.key)
    for sides in [list(found) for _, found in by_member]:
        found = _first_days(plan, as_of, units, sides, now)
        for side in sides:
            if isinstance(found, str):
                rows.append(_row(plan, as_of, units, side, None, found))
                continue
            rows.append(_row(plan, as_of, units, side, found[side.variant]))
            if side.state == "launched":
                launches = np.minimum(launches, found[side.variant])
    return (*rows, _any_launch(plan, as_of, units, launches, rows))


def _first_days(plan: Plan, as_of: date, units: Units, sides: Sequence[Side], now: datetime) -> dict[str, Days] | str:
    """The day from the holdout's start on which each unit held out met each treatment; a reason where not known."""
    own, experiment = sides[0].plan, sides[0].experiment
    if own.unit != plan.unit:
        return f"its unit is {own.unit}, and the holdout's is {plan.unit}"
    treatments = {place: variant.key for place, variant in enumerate(own.variants) if not variant.control}
    first = {key: np.full(len(units.held), NEVER) for key in treatments.values()}
    seen = known = 0
    later = (own.start_date - plan.start_date).days
    try:
        with registry.open_source(experiment.read_from, experiment.today(now)) as source:
            for part in source.unit_days(own, as_of, counted=False):
                seen += len(part.units)
                known += int(places(units.known, part.units)[1].sum())
                for place, key in treatments.items():
                    chosen = part.variants == place
                    meet(units.held, first[key], part.units[chosen], part.days[chosen].astype(np.int64) + later)
    except SourceProblem as problem:
        return str(problem)
    if seen and not known:
        return "none of its units is one of the holdout's; their ids may be written in another way"
    return first


def _row(
    plan: Plan, as_of: date, units: Units, side: Side, first: Days | None, reason: str | None = None
) -> ContaminationRow:
    return ContaminationRow(
        member=side.experiment.key, variant=side.variant, launched=side.state == "launched", held_out=len(units.held),
        met=None if first is None else int((first < NEVER).sum()),
        weekly=() if first is None else weekly_shares(plan, as_of, units.exposed, first), reason=reason,
    )  # fmt: skip


def _any_launch(
    plan: Plan, as_of: date, units: Units, first: Days, rows: Sequence[ContaminationRow]
) -> ContaminationRow:
    """Who met any launch; with a reason where some launches are not known, or none of them."""
    launched = [row for row in rows if row.launched]
    unknown = [row.member for row in launched if row.met is None]
    reason = None
    if not launched:
        reason = NOTHING_LAUNCHED
    elif unknown:
        reason = f"not known of {', '.join(dict.fromkeys(str(key) for key in unknown))}"
    told = len(launched) > len(unknown)
    return ContaminationRow(
        member=None, variant=None, launched=True, held_out=len(units.held),
        met=int((first < NEVER).sum()) if told else None,
        weekly=weekly_shares(plan, as_of, units.exposed, first) if told else (), reason=reason,
    )  # fmt: skip
