"""Where blocks stand on a bar of 10,000 buckets. Places are percentages of its width, so that it fits any screen."""

from collections.abc import Iterable
from dataclasses import dataclass

from experiments.assignment import BUCKETS
from experiments.services.slices import percent

LANE_HEIGHT = 30
LANE_STEP = 34

#: What is free says how much from this share of the bar on: on a phone narrower words would be cut.
SAID_FROM = 0.2


@dataclass(frozen=True)
class Block:
    """A block of buckets: left edge and width in percent of the bar, top in pixels.

    Attributes:
        number: the row of the table below that says the same; 0 for what is free.
        label: what stands in it; empty where it is too narrow.
    """

    x: float
    width: float
    y: int
    number: int
    label: str


@dataclass(frozen=True)
class Bar:
    """The blocks of a bar in the order in which they were given, and its height in pixels."""

    blocks: tuple[Block, ...]
    height: int


def bar(ranges: Iterable[tuple[int, int, int]]) -> Bar:
    """Place ranges, each [first, end) with its number, on a bar.

    Two that overlap are of different days, and get lanes of their own.
    """
    lanes: list[int] = []  # where each lane is free from; ranges come sorted
    blocks = []
    for first, end, number in ranges:
        lane = next((place for place, taken in enumerate(lanes) if taken <= first), len(lanes))
        lanes[lane : lane + 1] = [end]
        share = (end - first) / BUCKETS
        blocks.append(
            Block(
                round(100 * first / BUCKETS, 2), round(100 * share, 2), lane * LANE_STEP, number, _label(share, number)
            )
        )
    return Bar(tuple(blocks), max(1, len(lanes)) * LANE_STEP - (LANE_STEP - LANE_HEIGHT))


def _label(share: float, number: int) -> str:
    if number:
        return str(number)
    return f"{percent(share)} free" if share >= SAID_FROM else ""
