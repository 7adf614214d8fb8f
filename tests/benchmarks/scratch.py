"""A database of its own for a benchmark, as tests have: made at the beginning, removed at the end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import django


@contextmanager
def scratch_database() -> Iterator[None]:
    """Set Django up on an empty database. What needs models is to be imported inside."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "experiments.settings")
    from django.conf import settings

    from experiments import embedded

    if settings.HOLDFAST_EMBEDDED:
        embedded.acquire(settings.HOLDFAST_HOME)
    django.setup()
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = f"test_holdfast_{os.getpid()}"
    setup_test_environment(debug=False)
    databases = setup_databases(verbosity=0, interactive=False)
    try:
        yield
    finally:
        teardown_databases(databases, verbosity=0)
