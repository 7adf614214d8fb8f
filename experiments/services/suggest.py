"""What somebody may have meant who typed a name that does not exist."""

import difflib
from collections.abc import Sequence

SHOWN = 10


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of a sentence that has just said that ``name`` is unknown."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean `{close[0]}`?"
    if not known:
        return "; there is none yet"
    more = ", ..." if len(known) > SHOWN else ""
    return f"; there are {', '.join(known[:SHOWN])}{more}" if len(known) > 1 else f"; there is only `{known[0]}`"
