"""Example experiments: readable definitions beside the code that builds their data. Django-free; see README.md."""
