"""What is recommended, in words and colors: the same on all pages."""

from analysis.results import Action
from experiments.charts.tones import Tone

ACTIONS: dict[Action, tuple[str, Tone]] = {
    "launch": ("Launch", "good"),
    "launch_with_holdback": ("Launch with holdback", "good"),
    "keep_running": ("Keep running", "open"),
    "stop": ("Stop", "within"),
    "roll_back": ("Roll back", "bad"),
}
#: What reversals are called, the gravest first; the other states are not worth a line.
HEADLINES = {
    "confirmed": "Early win, later loss",
    "turned": "Early win, already a loss",
    "warning": "Early win, a later loss is likely",
    "fading": "The early win is shrinking",
}
