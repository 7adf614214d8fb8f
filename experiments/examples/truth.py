"""Print the exact truth of the examples as Markdown: python -m experiments.examples.truth [--weekly]."""

import sys
from collections.abc import Iterable, Sequence

from experiments.examples.households import Households, load_households
from experiments.examples.worlds import WORLDS, Truth, truth


def window_table(truth: Truth) -> str:
    """Return expected values and lifts by metric and window; churn is the restricted mean of event-free weeks."""
    rows = []
    for key, metric in truth.metrics.items():
        for name, (start, end) in truth.windows.items():
            window = metric.window(start, end)
            label = f"{name} [{start}, {end})"
            rows.append((key, label, f"{window.control:.4f}", f"{window.treatment:.4f}", _percent(window.lift)))
    mean = truth.churn.restricted_mean(truth.tau)
    rows.append(("churn", f"RMST({truth.tau})", f"{mean.control:.4f}", f"{mean.treatment:.4f}", _percent(mean.lift)))
    return _markdown(("metric", "window", "control", "treatment", "lift"), rows)


def weekly_table(truth: Truth) -> str:
    """Return the lift of every metric by week since exposure."""
    lifts = [[_percent(week.lift) for week in metric.weekly()] for metric in truth.metrics.values()]
    rows = [(str(week), *row) for week, row in enumerate(zip(*lifts, strict=True))]
    return _markdown(("week", *truth.metrics), rows)


def document(households: Households, *, weekly: bool) -> str:
    """Return the tables of all examples with an injected treatment, under a heading each."""
    make = weekly_table if weekly else window_table
    return "\n\n".join(f"### {world.key}\n\n{make(truth(world, households))}" for world in WORLDS) + "\n"


def _percent(lift: float) -> str:
    # Adding zero turns a rounded -0.0 into 0.0: no lift has no sign.
    return f"{round(100 * lift, 3) + 0.0:+.3f} %"


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(document(load_households(), weekly="--weekly" in sys.argv[1:]))
