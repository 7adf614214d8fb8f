"""Where Holdfast's own database is, for sources that read the events in it."""

from django.db import connection
from psycopg import pq
from psycopg.conninfo import make_conninfo


def conninfo() -> str:
    """Return the connection that Django uses, as libpq knows it."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    given = connection.get_connection_params()
    return make_conninfo(**{name: value for name, value in given.items() if name in known and value is not None})
