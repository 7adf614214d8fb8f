"""A second, empty database on the server that the tests use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings

from tests.conftest import TEST_DATABASE


@contextmanager
def empty_database(name: str) -> Iterator[str]:
    """The address of a new database, which is dropped afterwards."""
    server = settings.DATABASES["default"]
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    address = " ".join(f"{key}='{server[word]}'" for key, word in names.items() if server.get(word))
    whole = f"{TEST_DATABASE}{os.getpid()}_{name}"
    with psycopg.connect(f"{address} dbname=postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{whole}"'.encode())
        try:
            yield f"{address} dbname='{whole}'"
        finally:
            connection.execute(f'DROP DATABASE "{whole}" WITH (FORCE)'.encode())
