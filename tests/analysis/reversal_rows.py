"""The reversal of one metric alone."""

from dataclasses import replace

from analysis.plan import Metric
from analysis.results import ReversalRow
from analysis.reversal import reversals
from analysis.triangle import Triangle


def reversal(triangle: Triangle, metric: Metric, variant: str) -> ReversalRow:
    """The reversal of one metric, as if it were the only one."""
    alone = replace(triangle, plan=replace(triangle.plan, metrics=(metric,)), cells=triangle.of_metric(metric).cells)
    rows, _ = reversals(alone, {metric.key: alone}, variant)
    return rows[0]
