"""Adjusted p values against published examples and statsmodels."""

import json
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from analysis.multiplicity import adjusted_power, benjamini_hochberg, holm

KNOWN = json.loads((Path(__file__).parents[1] / "reference" / "sequential.json").read_text(encoding="utf-8"))["entries"]

#: The fifteen p values of the example in Benjamini & Hochberg 1995, section 3.
HEART = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip


def test_the_example_of_benjamini_and_hochberg():
    expected, tolerance = KNOWN["bh1995"]["expected"], KNOWN["bh1995"]["tolerance"]
    assert sum(p < 0.05 for p in benjamini_hochberg(HEART)) == expected["bh_rejects"]
    assert sum(p < 0.05 for p in holm(HEART)) == expected["holm_rejects"]
    assert benjamini_hochberg(HEART)[:5] == pytest.approx(expected["bh_adj_first5"], abs=tolerance)
    assert holm(HEART)[:5] == pytest.approx(expected["holm_adj_first5"], abs=tolerance)


@pytest.mark.parametrize(("entry", "adjust"), [("holm_6", holm), ("bh_7", benjamini_hochberg)])
def test_the_examples_of_growthbook(entry, adjust):
    known = KNOWN[entry]
    assert adjust(known["inputs"]["p_values"]) == pytest.approx(known["expected"]["adjusted"], abs=known["tolerance"])


@pytest.mark.parametrize(("method", "adjust"), [("holm", holm), ("fdr_bh", benjamini_hochberg)])
def test_they_agree_with_statsmodels(method, adjust):
    rng = np.random.default_rng(1)
    for size in (1, 2, 7, 40):
        values = rng.uniform(size=size) ** 3
        values[size // 2] = values[0]  # a tie
        assert adjust(list(values)) == pytest.approx(list(multipletests(values, method=method)[1]), rel=1e-12)


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_what_was_not_tested_is_not_counted(adjust):
    first, second = adjust([0.01, 0.04])
    assert adjust([None, 0.01, None, 0.04]) == [None, first, None, second]
    assert adjust([]) == []
    assert adjust([None]) == [None]


def test_the_power_each_test_needs():
    expected, tolerance = KNOWN["spotify_rule"]["expected"], KNOWN["spotify_rule"]["tolerance"]
    assert adjusted_power(0.8, 5) == pytest.approx(expected["G=5,power=.8"], abs=tolerance)
    assert adjusted_power(0.8, 2) == pytest.approx(expected["G=2,power=.8"], abs=tolerance)
    assert adjusted_power(0.8, 2, with_success=False) == pytest.approx(expected["S=0,G=2,power=.8"], abs=tolerance)
    with pytest.raises(ValueError, match="nothing to test"):
        adjusted_power(0.8, 0, with_success=False)
