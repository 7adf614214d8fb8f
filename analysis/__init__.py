"""Statistics of Holdfast: pure functions over frozen dataclasses. No Django, no files, no clock, no global state."""
