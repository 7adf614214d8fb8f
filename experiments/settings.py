"""The one settings file. Everything that differs between machines is an environment variable, and a wrong one is fatal.

Without any variable Holdfast runs on this machine alone: its own PostgreSQL, queues in files, a secret key of its own.
"""

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from experiments import embedded, environment, logs

BASE_DIR = Path(__file__).resolve().parent.parent
HOLDFAST_HOME = embedded.default_home()
LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]


def _secret_key(hosts: list[str]) -> str:
    """The given key; a generated one is good enough only while nobody else can reach this machine's pages."""
    given = environment.secret("HOLDFAST_SECRET_KEY")
    if given:
        return given
    if set(hosts) - set(LOOPBACK):
        raise ImproperlyConfigured(
            f"HOLDFAST_SECRET_KEY is not set. It is needed because HOLDFAST_ALLOWED_HOSTS ({', '.join(hosts)}) lets "
            "other machines in. Set it to a long random text and keep it secret."
        )
    path = HOLDFAST_HOME / "secret-key"
    try:
        if not path.exists():
            _write_once(path, secrets.token_urlsafe(50))
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The secret key could not be kept in {path}: {error.strerror}. Set HOLDFAST_SECRET_KEY, or HOLDFAST_HOME "
            "to a folder that you can write to."
        ) from error


def _write_once(path: Path, text: str) -> None:
    """Write a private file whole; if another process was quicker, its file stays."""
    embedded.make_home(path.parent)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _collected(manifest: Path, sources: Path) -> bool:
    """Collected files are used only while they are newer than all of ours: pages break on a name they do not have."""
    if not manifest.exists():
        return False
    built = manifest.stat().st_mtime
    return all(path.stat().st_mtime <= built for path in sources.rglob("*"))


# --- who may come in -------------------------------------------------------------------------------------------------
DEBUG = environment.flag("HOLDFAST_DEBUG")
ALLOWED_HOSTS = environment.names("HOLDFAST_ALLOWED_HOSTS", LOOPBACK)
SECRET_KEY = _secret_key(ALLOWED_HOSTS)
LOCAL_ONLY = not set(ALLOWED_HOSTS) - set(LOOPBACK)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not LOCAL_ONLY
# A browser takes a cookie of the name __Host-... only over https and from this very host. Nothing here reads cookies
# in scripts, so neither of them is shown to any.
SESSION_COOKIE_NAME = "holdfast_session" if LOCAL_ONLY else "__Host-holdfast_session"
CSRF_COOKIE_NAME = "holdfast_csrf" if LOCAL_ONLY else "__Host-holdfast_csrf"
CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 60 * 60  # a working day: who stays away for longer signs in again
SESSION_SAVE_EVERY_REQUEST = False
CSRF_TRUSTED_ORIGINS = environment.names("HOLDFAST_TRUSTED_ORIGINS", [])
SECURE_REFERRER_POLICY = "same-origin"
# Other machines are served over https alone. Probes and metrics are asked for inside, often by address and in plain.
SECURE_SSL_REDIRECT = not LOCAL_ONLY
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^-/metrics$"]
SECURE_HSTS_SECONDS = 0 if LOCAL_ONLY else environment.whole_number("HOLDFAST_HSTS_SECONDS", 365 * 24 * 3600, 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_SECONDS > 0
# Having a whole domain built into browsers as https-only is for the owner of that domain to decide, not for one host.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
# How many proxies stand before the pages. They set X-Forwarded-Proto, and each adds to X-Forwarded-For the address
# that it was called from. With none of them both headers are anybody's invention, and are not read.
HOLDFAST_PROXIES = environment.whole_number("HOLDFAST_PROXIES", 0, 0)
if HOLDFAST_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"

# Charts are drawn by vega-embed with an expression interpreter and without a style sheet of its own, so neither eval
# nor inline styles need to be let in.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "font-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- people ----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "experiments.Person"
# The demo gives its own web server the name of its run. Accounts of the demo are good in that run alone.
HOLDFAST_DEMO_RUN = environment.text("HOLDFAST_DEMO_RUN") or None
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "experiments.accounts.PersonBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in {
        "UserAttributeSimilarityValidator": {"user_attributes": ("email", "name")},
        "MinimumLengthValidator": {"min_length": 12},
        "CommonPasswordValidator": {},
        "NumericPasswordValidator": {},
    }.items()
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "portfolio"
ACCOUNT_ADAPTER = "experiments.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]  # nobody signs up; allauth checks that they fit
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_SESSION_REMEMBER = True  # for SESSION_COOKIE_AGE
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Holdfast: "
# Failed logins are counted by django-axes, in the database and so in all web processes together.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": None}
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# Per account and address: who guesses locks out nobody but themselves.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "experiments.accounts.client_address"
AXES_USERNAME_CALLABLE = "experiments.accounts.login_name"
AXES_LOCKOUT_TEMPLATE = "account/locked.html"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# People may sign in at an OpenID Connect provider; a person whom it does not know by e-mail address is made, without a
# role. Its answers are trusted for their signatures, and its addresses are asked for over https.
HOLDFAST_OIDC_URL = environment.web_address("HOLDFAST_OIDC_URL", LOOPBACK)
HOLDFAST_OIDC_NAME = environment.text("HOLDFAST_OIDC_NAME", "single sign-on")
SOCIALACCOUNT_ADAPTER = "experiments.accounts.ProviderAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = True  # a link, since form-action would have to name every host of the provider
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {}
if HOLDFAST_OIDC_URL:
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "sso",
                "name": HOLDFAST_OIDC_NAME,
                "client_id": environment.needed("HOLDFAST_OIDC_CLIENT_ID", "HOLDFAST_OIDC_URL"),
                "secret": environment.needed("HOLDFAST_OIDC_CLIENT_SECRET", "HOLDFAST_OIDC_URL"),
                "settings": {"server_url": HOLDFAST_OIDC_URL.rstrip("/")},
            }
        ],
    }

# --- the API ---------------------------------------------------------------------------------------------------------
# Counted in the database and so in all web processes together, for each token.
HOLDFAST_API_REQUESTS_PER_MINUTE = environment.whole_number("HOLDFAST_API_REQUESTS_PER_MINUTE", 300)
# How often each key may ask for flags: requests a second, in each web process.
HOLDFAST_FLAG_RATE = environment.whole_number("HOLDFAST_FLAG_RATE", 1000)

# --- e-mail ----------------------------------------------------------------------------------------------------------
# Without a server to send it, nobody can have a password reset by e-mail: an admin gives a new one.
EMAIL_HOST = environment.text("HOLDFAST_EMAIL_HOST")
HOLDFAST_EMAIL = bool(EMAIL_HOST)
EMAIL_PORT = environment.whole_number("HOLDFAST_EMAIL_PORT", 587)
EMAIL_HOST_USER = environment.text("HOLDFAST_EMAIL_USER")
EMAIL_HOST_PASSWORD = environment.secret("HOLDFAST_EMAIL_PASSWORD")
EMAIL_USE_SSL = EMAIL_PORT == 465
EMAIL_USE_TLS = not EMAIL_USE_SSL and not environment.flag("HOLDFAST_EMAIL_PLAIN")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = environment.text("HOLDFAST_EMAIL_FROM", "holdfast@localhost")

# --- the application -------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "axes",
    "csp",
    "django_htmx",
    "experiments",
]
MIDDLEWARE = [
    "experiments.views.observed.Observed",
    "experiments.views.probes.Early",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "experiments.views.guard.Guard",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "experiments.urls"
WSGI_APPLICATION = "experiments.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "experiments.views.guard.who",
            ]
        },
    }
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- database --------------------------------------------------------------------------------------------------------
DATABASE_URL = environment.secret("DATABASE_URL")
HOLDFAST_EMBEDDED = not DATABASE_URL  # Holdfast's own server, which processes acquire before they use it
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **(
            embedded.conninfo(HOLDFAST_HOME)
            if HOLDFAST_EMBEDDED
            else environment.database(DATABASE_URL, environment.secret("HOLDFAST_DATABASE_PASSWORD"))
        ),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}

# --- data that are registered on pages ------------------------------------------------------------------------------
# Files on this server may be registered from within these folders, and from nowhere else.
HOLDFAST_DATA_FOLDERS = environment.folders("HOLDFAST_DATA_FOLDERS")
HOLDFAST_UPLOAD_BYTES = environment.whole_number("HOLDFAST_UPLOAD_MEGABYTES", 1024) * 2**20  # of one file
HOLDFAST_UPLOADS = HOLDFAST_HOME / "uploads"
FILE_UPLOAD_HANDLERS = ["experiments.views.receiving.ToDisk"]
DATA_UPLOAD_MAX_NUMBER_FILES = 2

# --- Celery ----------------------------------------------------------------------------------------------------------
# Looks are leases in the database: a worker that has not finished a cell after this time is taken for dead.
HOLDFAST_LEASE_SECONDS = environment.whole_number("HOLDFAST_LEASE_SECONDS", 30)
CELERY_BROKER_URL = environment.secret("CELERY_BROKER_URL") or "filesystem://localhost"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {}
CELERY_WORKER_ENABLE_REMOTE_CONTROL = not CELERY_BROKER_URL.startswith("filesystem:")
HOLDFAST_QUEUE_FOLDER = HOLDFAST_HOME / "queue"
if not CELERY_WORKER_ENABLE_REMOTE_CONTROL:  # `celery inspect` would mean more files to poll
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(HOLDFAST_QUEUE_FOLDER / "messages"),
        "data_folder_out": str(HOLDFAST_QUEUE_FOLDER / "messages"),
        "processed_folder": str(HOLDFAST_QUEUE_FOLDER / "processed"),
        "control_folder": str(HOLDFAST_QUEUE_FOLDER / "control"),
        "polling_interval": 0.1,  # seconds; the transport's own default of 1 makes every message slow
    }
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "holdfast"
CELERY_TASK_IGNORE_RESULT = True  # results are rows that the tasks write themselves
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
# Beat asks what is due; which looks that is, is a question to the database. A question that no worker took before the
# next one is void, so none pile up while workers are away.
HOLDFAST_SCHEDULE_SECONDS = environment.whole_number("HOLDFAST_SCHEDULE_SECONDS", 300)
CELERY_BEAT_SCHEDULE: dict[str, Any] = {
    "take what is due": {
        "task": "experiments.tasks.take_due_looks",
        "schedule": float(HOLDFAST_SCHEDULE_SECONDS),
        "options": {"expires": HOLDFAST_SCHEDULE_SECONDS},
    },
    "make tables for events of months to come": {
        "task": "experiments.tasks.make_event_partitions",
        "schedule": 86400.0,
    },
    "forget ids of events too old to be sent again": {
        "task": "experiments.tasks.forget_event_ids",
        "schedule": 86400.0,
    },
    "resume checks of sources": {
        "task": "experiments.tasks.resume_checks",
        "schedule": float(HOLDFAST_SCHEDULE_SECONDS),
        "options": {"expires": HOLDFAST_SCHEDULE_SECONDS},
    },
    "forget sessions that have ended": {"task": "experiments.tasks.forget_old_sessions", "schedule": 86400.0},
    "sweep uploads that nobody kept": {"task": "experiments.tasks.sweep_uploads", "schedule": 3600.0},
    "sweep what killed workers left": {"task": "experiments.tasks.sweep_spills", "schedule": 3600.0},
}
CELERY_BEAT_SCHEDULER = "experiments.celery:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 30  # seconds; it leaves a mark that often
HOLDFAST_BEAT_MARK = HOLDFAST_HOME / "beat-alive"
CELERY_BEAT_SCHEDULE_FILENAME = str(HOLDFAST_HOME / "beat-schedule")

# --- static files ----------------------------------------------------------------------------------------------------
# build/static is written by `manage.py build_static`: third-party JavaScript comes out of installed packages.
HOLDFAST_GENERATED_STATIC = BASE_DIR / "build" / "static"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static"
STATICFILES_DIRS = [HOLDFAST_GENERATED_STATIC]
HOLDFAST_COLLECTED = not DEBUG and _collected(STATIC_ROOT / "staticfiles.json", BASE_DIR / "experiments" / "static")
WHITENOISE_USE_FINDERS = not HOLDFAST_COLLECTED
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if HOLDFAST_COLLECTED
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- logging and monitoring ------------------------------------------------------------------------------------------
LOGGING = logs.config(
    environment.one_of("HOLDFAST_LOG", ("json", "lines"), "lines" if LOCAL_ONLY else "json"),
    environment.one_of("HOLDFAST_LOG_LEVEL", logs.LEVELS, "WARNING" if LOCAL_ONLY else "INFO"),
)
# Without a token nobody gets the counts.
HOLDFAST_METRICS_TOKEN = environment.secret("HOLDFAST_METRICS_TOKEN")
