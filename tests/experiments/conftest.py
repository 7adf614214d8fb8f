from typing import Any

import pytest
from django.test import Client

from experiments import queue, tasks
from experiments.models import Look
from experiments.services.refresh import plan_look
from tests.experiments.api import AtOnce
from tests.experiments.looks import NOW
from tests.people import signed_in


@pytest.fixture
def client(db: None) -> Client:
    """A browser in which a viewer has signed in: who only reads pages need not think of logins."""
    return signed_in("viewer")


@pytest.fixture
def at_once(db: None, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any) -> AtOnce:
    """Takes real looks within the transaction of a test: every message is delivered as it is sent."""
    monkeypatch.setattr(queue, "_send", lambda task, ids: getattr(tasks, task)(**ids))

    def take(key: str) -> Look:
        with django_capture_on_commit_callbacks(execute=True):
            planned = plan_look(key, None, NOW)
        return Look.objects.get(pk=planned.look_id)

    return take
