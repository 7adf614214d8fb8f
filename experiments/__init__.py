"""The Django project of Holdfast and its one app."""

__version__ = "0.1.0"
