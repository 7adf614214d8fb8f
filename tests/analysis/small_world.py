"""A small table of trajectories and one treatment that the tests of simulated worlds share."""

import numpy as np

from analysis.simulation import Enrollment, Injection, Trajectories

#: Sums of a few thousand numbers of the size of 10: rounding only.
ROUNDING = 1e-12

#: Standard errors a seeded draw may be away from its expectation: one in 16,000 draws is further away, and the seed is
#: fixed, so a failure is a change of the code.
STANDARD_ERRORS = 4.0

WEEKS = 6
ENROLLMENT = Enrollment(first_day=14, start_day=28, last_day=91, weeks=2)
INJECTION = Injection(multiplier=(0.6, 0.9, 1.0, 1.3), hazard=(0.0, 0.0, 0.1, 0.2), head_conversion=(0.0, 0.2, 0.05))


def trajectories(households: int = 6, days: int = 100, seed: int = 1) -> Trajectories:
    """Households with gaps: three kinds of activity, few lines a day, so that every rounding matters."""
    rng = np.random.default_rng(seed)
    rate = rng.choice([0.05, 0.3, 0.8], size=(households, 1))
    lines = (rng.random((households, days)) < rate) * rng.integers(1, 6, size=(households, days))
    head_lines = rng.binomial(lines, 0.3)
    return Trajectories(lines, head_lines, lines * rng.integers(1, 900, size=(households, days)))
