"""What gunicorn loads, once in each of its workers."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from experiments import embedded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "experiments.settings")

if settings.HOLDFAST_EMBEDDED:
    embedded.acquire(settings.HOLDFAST_HOME)

application = get_wsgi_application()
