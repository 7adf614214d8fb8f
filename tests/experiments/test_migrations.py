"""A database of an earlier version is brought up to date with what is in it."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import StateApps

from tests.append_only import allow_truncate
from tests.experiments import cards
from tests.experiments.stored import stored

APP = "experiments"

pytestmark = pytest.mark.django_db(transaction=True)


def migrate(name: str) -> StateApps:
    """Bring the database to a migration and return its models."""
    executor = MigrationExecutor(connection)
    executor.migrate([(APP, name)])
    return MigrationExecutor(connection).loader.project_state([(APP, name)]).apps


@pytest.fixture
def newest() -> Iterator[str]:
    """The name of the newest migration; afterwards the database goes back to it, and other apps to theirs."""
    loader = MigrationExecutor(connection).loader
    yield loader.graph.leaf_nodes(APP)[0][1]
    MigrationExecutor(connection).migrate(loader.graph.leaf_nodes())
    allow_truncate()


def test_looks_without_claims_make_way_for_new_ones(newest: str) -> None:
    stored(cards.placebo())
    old = migrate("0001_initial")
    row = old.get_model(APP, "EffectRow").objects.filter(state="ok").first()
    assert row is not None
    row.pk, row.window, row.reason = None, "another", None
    row.save()
    new = migrate("0002_claims")
    assert not new.get_model(APP, "Look").objects.exists()
    assert not new.get_model(APP, "EffectRow").objects.exists()
    assert new.get_model(APP, "Experiment").objects.get().key == "placebo"
    assert new.get_model(APP, "Plan").objects.get().version == 1
