"""Settings are read in processes of their own, each with its own environment."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
# Prints the asked-for settings as JSON, or the one line that manage.py would print.
READ = """
import json, sys
from django.core.exceptions import ImproperlyConfigured
try:
    from experiments import settings
except ImproperlyConfigured as problem:
    sys.exit(f"Error: {problem}")
print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}))
"""


def run(home: Path, arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "DATABASE_", "CELERY_"))
    }
    environment = {**kept, "HOLDFAST_HOME": str(home), **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)


def read(home: Path, *names: str, **variables: str) -> dict[str, Any]:
    done = run(home, ["-c", READ, *names], **variables)
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def refusal(home: Path, **variables: str) -> str:
    done = run(home, ["-c", READ], **variables)
    assert done.returncode == 1, done.stdout
    return done.stderr


def test_a_key_is_generated_once_and_kept_private(tmp_path: Path) -> None:
    first = read(tmp_path, "SECRET_KEY")["SECRET_KEY"]
    assert len(first) >= 50
    assert read(tmp_path, "SECRET_KEY")["SECRET_KEY"] == first
    assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


def test_a_given_key_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    assert read(tmp_path, "SECRET_KEY", HOLDFAST_SECRET_KEY="given")["SECRET_KEY"] == "given"
    assert list(tmp_path.iterdir()) == []


def test_other_hosts_need_a_key_of_their_own(tmp_path: Path) -> None:
    message = refusal(tmp_path, HOLDFAST_ALLOWED_HOSTS="holdfast.example.com")
    assert "HOLDFAST_SECRET_KEY is not set" in message
    assert "holdfast.example.com" in message


def test_cookies_are_secure_for_other_hosts(tmp_path: Path) -> None:
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")
    open_to_others = {"HOLDFAST_ALLOWED_HOSTS": "holdfast.example.com", "HOLDFAST_SECRET_KEY": "given"}
    assert set(read(tmp_path, *names, **open_to_others).values()) == {True}
    assert set(read(tmp_path, *names).values()) == {False}


def test_cookies_of_other_hosts_are_bound_to_this_one(tmp_path: Path) -> None:
    names = ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME")
    open_to_others = {"HOLDFAST_ALLOWED_HOSTS": "holdfast.example.com", "HOLDFAST_SECRET_KEY": "given"}
    assert all(name.startswith("__Host-") for name in read(tmp_path, *names, **open_to_others).values())
    assert not any(name.startswith("__Host-") for name in read(tmp_path, *names).values())


def test_no_run_of_the_demo_is_served_unless_it_is_named(tmp_path: Path) -> None:
    assert read(tmp_path, "HOLDFAST_DEMO_RUN")["HOLDFAST_DEMO_RUN"] is None
    assert read(tmp_path, "HOLDFAST_DEMO_RUN", HOLDFAST_DEMO_RUN="")["HOLDFAST_DEMO_RUN"] is None
    assert read(tmp_path, "HOLDFAST_DEMO_RUN", HOLDFAST_DEMO_RUN="a run")["HOLDFAST_DEMO_RUN"] == "a run"


def test_e_mail_is_sent_once_a_server_is_named_and_encrypted_unless_told_otherwise(tmp_path: Path) -> None:
    names = ("HOLDFAST_EMAIL", "EMAIL_PORT", "EMAIL_USE_TLS", "EMAIL_USE_SSL")
    assert read(tmp_path, *names)["HOLDFAST_EMAIL"] is False
    named = {"HOLDFAST_EMAIL_HOST": "mail.example.com"}
    assert list(read(tmp_path, *names, **named).values()) == [True, 587, True, False]
    assert list(read(tmp_path, *names, **named, HOLDFAST_EMAIL_PORT="465").values()) == [True, 465, False, True]
    assert list(read(tmp_path, *names, **named, HOLDFAST_EMAIL_PLAIN="1").values()) == [True, 587, False, False]


def test_beat_keeps_its_memory_in_the_home_folder_and_asks_every_few_minutes(tmp_path: Path) -> None:
    values = read(tmp_path, "CELERY_BEAT_SCHEDULE_FILENAME", "CELERY_BEAT_SCHEDULE", HOLDFAST_SCHEDULE_SECONDS="60")
    assert values["CELERY_BEAT_SCHEDULE_FILENAME"].startswith(str(tmp_path))
    asked = values["CELERY_BEAT_SCHEDULE"]["take what is due"]
    assert (asked["task"], asked["schedule"]) == ("experiments.tasks.take_due_looks", 60)
    assert asked["options"]["expires"] == 60


def test_without_variables_the_database_is_holdfasts_own(tmp_path: Path) -> None:
    values = read(tmp_path, "DATABASES", "HOLDFAST_EMBEDDED")
    assert values["HOLDFAST_EMBEDDED"] is True
    assert values["DATABASES"]["default"]["HOST"].startswith("/")


def test_a_database_url_is_taken_apart(tmp_path: Path) -> None:
    url = "postgresql://ann:p%40ss@db.example.com:6543/trials?sslmode=require"
    values = read(tmp_path, "DATABASES", "HOLDFAST_EMBEDDED", DATABASE_URL=url)
    database = values["DATABASES"]["default"]
    assert values["HOLDFAST_EMBEDDED"] is False
    assert {key: database[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")} == {
        "NAME": "trials",
        "USER": "ann",
        "PASSWORD": "p@ss",
        "HOST": "db.example.com",
        "PORT": "6543",
    }
    assert database["OPTIONS"] == {"sslmode": "require"}


@pytest.mark.parametrize("url", ["mysql://ann:hush@host/name", "sqlite:///hush.db", "hush"])
def test_an_address_that_is_not_postgresql_is_refused_without_repeating_it(tmp_path: Path, url: str) -> None:
    message = refusal(tmp_path, DATABASE_URL=url)
    assert "DATABASE_URL is not the address of a PostgreSQL database" in message
    assert "hush" not in message


def test_an_address_without_a_database_is_refused(tmp_path: Path) -> None:
    assert "names no database" in refusal(tmp_path, DATABASE_URL="postgresql://ann@host")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOLDFAST_DEBUG", "yes"),
        ("HOLDFAST_LEASE_SECONDS", "0"),
        ("HOLDFAST_LEASE_SECONDS", "half a minute"),
        ("HOLDFAST_SCHEDULE_SECONDS", "0"),
        ("HOLDFAST_EMAIL_PORT", "smtp"),
        ("HOLDFAST_EMAIL_PLAIN", "true"),
        ("HOLDFAST_OIDC_URL", "http://id.example.com"),
        ("HOLDFAST_OIDC_URL", "id.example.com"),
        ("HOLDFAST_PROXIES", "-1"),
        ("HOLDFAST_PROXIES", "one"),
        ("HOLDFAST_LOG", "xml"),
        ("HOLDFAST_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, variable: str, value: str) -> None:
    message = refusal(tmp_path, **{variable: value})
    assert variable in message
    assert repr(value) in message


def test_a_home_that_cannot_be_written_is_named() -> None:
    assert "Set HOLDFAST_SECRET_KEY, or HOLDFAST_HOME" in refusal(Path("/dev/null/home"))


def test_the_queue_is_files_until_a_broker_is_named(tmp_path: Path) -> None:
    names = ("CELERY_BROKER_URL", "CELERY_BROKER_TRANSPORT_OPTIONS")
    local = read(tmp_path, *names)
    assert local["CELERY_BROKER_URL"].startswith("filesystem:")
    assert local["CELERY_BROKER_TRANSPORT_OPTIONS"]["data_folder_in"].startswith(str(tmp_path))
    redis = read(tmp_path, *names, CELERY_BROKER_URL="redis://broker.example.com/0")
    assert redis == {"CELERY_BROKER_URL": "redis://broker.example.com/0", "CELERY_BROKER_TRANSPORT_OPTIONS": {}}


def test_manage_py_prints_a_wrong_setting_without_a_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, ["manage.py", "migrate"], DATABASE_URL="nonsense")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: DATABASE_URL is not the address")
    assert len(done.stderr.splitlines()) == 1


def test_a_database_that_does_not_answer_is_told_in_a_sentence_by_every_command(tmp_path: Path) -> None:
    done = run(tmp_path, ["manage.py", "migrate"], DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the database cannot be used: ")
    assert "Traceback" not in done.stderr


def test_manage_py_prints_a_server_problem_without_a_traceback(tmp_path: Path) -> None:
    done = run(Path("/dev/null/home"), ["manage.py", "migrate"], HOLDFAST_SECRET_KEY="given")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Holdfast's database could not be set up under /dev/null/home")
    assert len(done.stderr.splitlines()) == 1


def test_help_needs_no_database(tmp_path: Path) -> None:
    done = run(tmp_path, ["manage.py", "up", "--help"])
    assert done.returncode == 0
    assert "--port" in done.stdout
    assert not (tmp_path / "postgres").exists()


def test_nothing_but_our_own_files_may_be_loaded_by_a_page(tmp_path: Path) -> None:
    directives = read(tmp_path, "CONTENT_SECURITY_POLICY")["CONTENT_SECURITY_POLICY"]["DIRECTIVES"]
    assert directives["default-src"] == ["'none'"]
    assert directives["script-src"] == ["'self'"]
    assert directives["style-src"] == ["'self'"]
    assert directives["frame-ancestors"] == ["'none'"]


#: What a server sets at the least.
PRODUCTION = {
    "HOLDFAST_ALLOWED_HOSTS": "holdfast.example.com",
    "HOLDFAST_SECRET_KEY": "a key that is long enough, has many letters, and is used in this test alone",
    "HOLDFAST_PROXIES": "1",
    "DATABASE_URL": "postgresql://holdfast@database.example.com/holdfast",
    "CELERY_BROKER_URL": "redis://broker.example.com/0",
}


def test_djangos_own_checks_for_a_server_find_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, ["manage.py", "check", "--deploy", "--fail-level", "INFO"], **PRODUCTION)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("System check identified no issues")


def test_other_machines_are_served_over_https_alone(tmp_path: Path) -> None:
    names = ("SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SECURE_HSTS_INCLUDE_SUBDOMAINS")
    assert list(read(tmp_path, *names).values()) == [False, 0, False]
    assert list(read(tmp_path, *names, **PRODUCTION).values()) == [True, 365 * 24 * 3600, True]
    assert list(read(tmp_path, *names, **PRODUCTION, HOLDFAST_HSTS_SECONDS="60").values()) == [True, 60, True]


def test_the_headers_of_a_proxy_are_read_only_where_there_is_one(tmp_path: Path) -> None:
    found = "import experiments.settings as s; print(getattr(s, 'SECURE_PROXY_SSL_HEADER', None))"
    assert run(tmp_path, ["-c", found]).stdout == "None\n"
    assert run(tmp_path, ["-c", found], **PRODUCTION).stdout == "('HTTP_X_FORWARDED_PROTO', 'https')\n"


SECRETS = {
    "HOLDFAST_SECRET_KEY": "SECRET_KEY",
    "HOLDFAST_EMAIL_PASSWORD": "EMAIL_HOST_PASSWORD",
    "HOLDFAST_METRICS_TOKEN": "HOLDFAST_METRICS_TOKEN",
    "CELERY_BROKER_URL": "CELERY_BROKER_URL",
}


def test_secrets_may_be_in_files(tmp_path: Path) -> None:
    for variable in (*SECRETS, "DATABASE_URL", "HOLDFAST_DATABASE_PASSWORD"):
        (tmp_path / variable).write_text(f"the {variable}\n")
    (tmp_path / "DATABASE_URL").write_text("postgresql://ann@db.example.com/trials\n")
    files = {f"{variable}_FILE": str(tmp_path / variable) for variable in (*SECRETS, "DATABASE_URL")}
    files["HOLDFAST_DATABASE_PASSWORD_FILE"] = str(tmp_path / "HOLDFAST_DATABASE_PASSWORD")
    found = read(tmp_path, *SECRETS.values(), "DATABASES", **files)
    assert {variable: found[name] for variable, name in SECRETS.items()} == {
        variable: f"the {variable}" for variable in SECRETS
    }
    database = found["DATABASES"]["default"]
    assert (database["USER"], database["PASSWORD"]) == ("ann", "the HOLDFAST_DATABASE_PASSWORD")


def test_a_secrets_file_that_is_wrong_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfehush")
    for name, why in (("missing", "No such file"), ("empty", "is empty"), ("binary", "no text"), (".", "directory")):
        message = refusal(tmp_path, HOLDFAST_SECRET_KEY_FILE=str(tmp_path / name))
        assert "HOLDFAST_SECRET_KEY_FILE" in message
        assert why in message
        assert "hush" not in message


def test_a_secret_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("given")
    both = {"HOLDFAST_SECRET_KEY": "hush", "HOLDFAST_SECRET_KEY_FILE": str(tmp_path / "key")}
    message = refusal(tmp_path, **both)
    assert "HOLDFAST_SECRET_KEY and HOLDFAST_SECRET_KEY_FILE are both set" in message
    assert "hush" not in message
    twice = {"DATABASE_URL": "postgresql://ann:hush@db/trials", "HOLDFAST_DATABASE_PASSWORD": "hush"}
    message = refusal(tmp_path, **twice)
    assert "DATABASE_URL has a password in it" in message
    assert "hush" not in message


def test_a_provider_is_told_whole_or_not_at_all(tmp_path: Path) -> None:
    given = {"HOLDFAST_OIDC_URL": "https://id.example.com/"}
    assert "HOLDFAST_OIDC_CLIENT_ID has to be set too" in refusal(tmp_path, **given)
    given["HOLDFAST_OIDC_CLIENT_ID"] = "holdfast"
    assert "HOLDFAST_OIDC_CLIENT_SECRET has to be set too" in refusal(tmp_path, **given)
    given["HOLDFAST_OIDC_CLIENT_SECRET"] = "hush"
    providers = read(tmp_path, "SOCIALACCOUNT_PROVIDERS", **given)["SOCIALACCOUNT_PROVIDERS"]
    assert providers["openid_connect"]["APPS"][0]["settings"] == {"server_url": "https://id.example.com"}
    assert read(tmp_path, "SOCIALACCOUNT_PROVIDERS")["SOCIALACCOUNT_PROVIDERS"] == {}


def test_folders_of_data_are_full_paths_below_the_root(tmp_path: Path) -> None:
    assert read(tmp_path, "HOLDFAST_UPLOAD_BYTES")["HOLDFAST_UPLOAD_BYTES"] == 2**30
    for folders in ("data", "/data,data", "/"):
        assert "HOLDFAST_DATA_FOLDERS names" in refusal(tmp_path, HOLDFAST_DATA_FOLDERS=folders)
    assert "HOLDFAST_UPLOAD_MEGABYTES is '0'" in refusal(tmp_path, HOLDFAST_UPLOAD_MEGABYTES="0")
