import pytest
from django.test import Client

from tests.people import signed_in


@pytest.fixture
def client(db: None) -> Client:
    """A browser in which a viewer has signed in: who only reads pages need not think of logins."""
    return signed_in("viewer")
