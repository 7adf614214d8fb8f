"""Verbs that cross rooms: one module per verb family; pages, commands and tasks call these."""
