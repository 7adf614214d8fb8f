"""What is logged, and how it looks: one line of JSON an event for machines that collect it, or plain lines to read.

All loggers of Python end here, those of libraries too. What is bound to the context (``request_id``, ``look_id``) is
on every event that is logged there.
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

#: An id that a caller may give: anything else could break a line, or fill a disk.
GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

REQUEST_ID = "request_id"

#: Libraries that log every step of theirs as information.
TALKATIVE = ("celery", "kombu", "amqp", "gunicorn.access", "axes", "allauth", "urllib3")


def request_id_of(given: str | None) -> str:
    """The id that the caller gave, if it is fit to be logged; else a new one."""
    return given if given and GIVEN_ID.fullmatch(given) else uuid.uuid4().hex


def bound_request_id() -> str | None:
    """The id of the request that is being served, or that led to the task in hand."""
    found = structlog.contextvars.get_contextvars().get(REQUEST_ID)
    return found if isinstance(found, str) else None


def begin(request_id: str | None = None, **values: object) -> None:
    """Forget what was bound in this thread, and bind this."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**values, **({REQUEST_ID: request_id} if request_id else {}))


@contextmanager
def about(**values: object) -> Iterator[None]:
    """Everything that is logged in this block says so; None is not said."""
    with structlog.contextvars.bound_contextvars(**{key: value for key, value in values.items() if value is not None}):
        yield


def config(form: str, level: str) -> dict[str, Any]:
    """The dictionary for ``logging.config.dictConfig``: everything to stderr, as "json" or as "lines"."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=("route", "method", "status", "milliseconds", "experiment")),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        rendering += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        rendering += [structlog.processors.format_exc_info, _line]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "events": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": rendering,
                "foreign_pre_chain": shared,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "events"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            "gunicorn.error": {"handlers": [], "level": level, "propagate": True},
            # The event of a request has its status; its address is not logged, for one of them resets a password.
            "django.request": {"level": "ERROR"},
            # Anybody can send a wrong host name; the request is logged with its status, and needs no traceback.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            **{name: {"level": "WARNING"} for name in TALKATIVE},
        },
    }


def _line(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """Time, level, logger and what happened, then the rest as key=value; a traceback stands below."""
    trace = event.pop("exception", None)
    head = [event.pop("timestamp", ""), event.pop("level", "").upper(), f"{event.pop('logger', '')}:"]
    words = [str(event.pop("event", "")), *(f"{key}={value}" for key, value in sorted(event.items()))]
    line = " ".join([*head, *words])
    return f"{line}\n{trace}" if trace else line
