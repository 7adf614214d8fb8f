"""Pictures of results: what each finding is called, Vega-Lite specs, and the geometry of the small inline drawings.

Everything here takes plain result dataclasses and returns plain data: nothing is estimated, and no array or data-frame
library is imported.
"""
