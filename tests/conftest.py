"""One real PostgreSQL for the whole run, as a user of Holdfast gets it; and what a test may need from the machine."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from pytest_django import DjangoDbBlocker

from experiments import embedded
from tests.append_only import allow_truncate, empty_quickly

CI = os.environ.get("CI") == "true"
TEST_DATABASE = "test_holdfast_"

#: To be watched by coverage doubles the time of a test, so it watches where new lines may be reached: not in runs
#: for error rates nor on whole journeys, and of a test with parameters in the first cases.
HERE = Path(__file__).parent
UNWATCHED = (HERE / "rates", HERE / "journeys", HERE / "docker")
WATCHED_CASES = 2
unwatched = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    # Static files are served from where they lie: a new style sheet needs no collecting before a test sees it.
    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.WHITENOISE_USE_FINDERS = True
    # A good password hash takes a fifth of a second, which is its purpose, and tests make hundreds of them.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Two runs at a time in one checkout each get a database of their own.
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = f"{TEST_DATABASE}{os.getpid()}"
    if settings.HOLDFAST_EMBEDDED and not config.option.collectonly:
        try:
            embedded.acquire(settings.HOLDFAST_HOME)
        except embedded.ServerProblem as problem:
            pytest.exit(str(problem), returncode=1)
        _drop_leftovers()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    cases: Counter[str] = Counter()
    for item in items:
        name = item.nodeid.partition("[")[0]
        cases[name] += 1
        item.stash[unwatched] = cases[name] > WATCHED_CASES or any(item.path.is_relative_to(one) for one in UNWATCHED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    for_others = os.environ.get("COVERAGE_PROCESS_CONFIG")
    if for_others is None or not item.stash[unwatched]:
        return (yield)
    here, threads = sys.gettrace(), threading.gettrace()
    del os.environ["COVERAGE_PROCESS_CONFIG"]
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        os.environ["COVERAGE_PROCESS_CONFIG"] = for_others
        threading.settrace(threads)
        sys.settrace(here)


def _drop_leftovers() -> None:
    """Databases of test runs that were killed: their process is gone."""
    server = embedded.conninfo(settings.HOLDFAST_HOME)
    with psycopg.connect(
        host=server["HOST"], port=server["PORT"], user=server["USER"], dbname="postgres", autocommit=True
    ) as connection:
        names = [row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()]
        for name in names:
            # Where tests run in several processes, pytest-django adds the name of each.
            owner = name.removeprefix(TEST_DATABASE).partition("_")[0]
            if name.startswith(TEST_DATABASE) and owner.isdecimal() and not Path(f"/proc/{owner}").exists():
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The tables, less one lock: tests with transactions of their own are followed by the removal of everything.

    A server that a test has killed may live on in the database for a moment, and would keep it from being removed.
    """
    with django_db_blocker.unblock():
        allow_truncate()
        empty_quickly()
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def missing(what: str) -> None:
    """Skip for want of something on this machine; in CI, where everything has to be there, fail."""
    if CI:
        pytest.fail(f"CI lacks {what}", pytrace=False)
    pytest.skip(f"{what} is missing on this machine")


@pytest.fixture(scope="session")
def requires() -> Callable[[str], str]:
    """requires("chromium") gives the path of a program, or ends the test as missing() says."""

    def find(program: str) -> str:
        path = shutil.which(program)
        if path is None:
            missing(program)
            raise AssertionError  # missing() never returns; the type checker does not know
        return path

    return find
