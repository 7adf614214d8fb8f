"""Adapters to data sources. Django-free: a source reads data and returns moments."""
