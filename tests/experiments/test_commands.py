"""The commands that print scorecards: exit codes, what goes to stdout and to stderr, and errors in one calm line."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import scorecard
from experiments.management import output
from experiments.management.commands import scorecard as scorecard_command
from experiments.services.results import NoLookYet, NoSuchExperiment
from tests.experiments import cards
from tests.experiments.commands import CHECKOUT, run, run_apart
from tests.experiments.small_data import SmallData

#: Nobody listens on port 1.
NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return SmallData(tmp_path / "small").write()


# --- analyze, in a process of its own ---------------------------------------------------------------------------------
def test_analyze_needs_no_database_and_no_broker_and_stores_nothing(path: Path, tmp_path: Path) -> None:
    before = sorted(path.parent.iterdir())
    home = tmp_path / "home"
    done = run_apart("analyze", path, "--format", "json", HOLDFAST_HOME=str(home), **NOWHERE)
    assert (done.code, done.err) == (0, "")
    assert done.json["key"] == "small"
    assert sorted(path.parent.iterdir()) == before
    assert not home.exists() or {file.name for file in home.iterdir()} <= {"secret-key"}


def test_analyze_prints_a_plain_table_and_nothing_else(path: Path) -> None:
    done = run_apart("analyze", path, COLUMNS="100", FORCE_COLOR="", NO_COLOR="")
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    assert "\x1b" not in done.out
    assert done.out.startswith("A small experiment (small)\nAs of 2024-02-26, look 8 of 8.")
    assert done.out.endswith("Better and worse are claims, unclear is none.\n")
    assert max(len(line) for line in done.out.splitlines()) <= 100


def test_refused_data_exit_with_one_and_say_so_on_stderr_alone(path: Path) -> None:
    (path.parent / "facts.parquet").unlink()
    done = run_apart("analyze", path)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"Error: {path.parent / 'facts.parquet'}: there is no such file (source.facts: facts.parquet)\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required: PATH"),
        (("x.yaml", "--as-of", "1.2.2024"), "'1.2.2024' is not a date; write it as YYYY-MM-DD"),
        (("x.yaml", "--format", "xml"), "'xml'"),
        (("x.yaml", "--frmat", "json"), "--frmat"),
    ],
)
def test_wrong_usage_exits_with_two(arguments: tuple[str, ...], said: str) -> None:
    done = run_apart("analyze", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", ["analyze", "scorecard", "demo"])
def test_help_tells_the_options(command: str) -> None:
    done = run_apart(command, "--help")
    assert (done.code, done.err) == (0, "")
    options = ["--no-serve", "--port"] if command == "demo" else ["--as-of DATE", "--format {table,json,csv}"]
    assert all(option in done.out for option in options)


@pytest.mark.parametrize("command", ["analyze", "scorecard"])
def test_a_command_starts_without_what_takes_long_to_import(command: str) -> None:
    """They are half of the time in which any command starts, and most commands never use them."""
    late = {"scipy.stats", "scipy.optimize", "scipy.interpolate", "statsmodels", "lifelines", "pandas", "pyarrow"}
    code = f"""
import atexit, sys, manage
atexit.register(lambda: print(*sys.modules))
manage.main(["manage.py", {command!r}, "--help"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    imported = set(done.stdout.split())
    assert "analysis.sequential" in imported, done.stderr
    assert not late & imported


def test_a_reader_who_has_seen_enough_is_no_error(path: Path) -> None:
    command = [sys.executable, "manage.py", "analyze", str(path), "--format", "json"]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


def test_a_terminal_that_knows_only_ascii_gets_text_all_the_same(tmp_path: Path) -> None:
    data = SmallData(tmp_path)
    data.definition["name"] = "Größe 🙂"
    done = run_apart("analyze", data.write(), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.code == 0, done.err
    assert done.out.startswith("Gr\\xf6\\xdfe \\U0001f642 (small)\n")


def test_in_a_terminal_there_is_color_and_the_result_is_the_same(path: Path) -> None:
    controller, terminal = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "analyze", str(path)],
        cwd=CHECKOUT, env=environment, stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    text = b""
    try:
        while chunk := os.read(controller, 65536):
            text += chunk
    except OSError:  # Linux says "input/output error" where the other end is closed
        pass
    os.close(controller)
    assert process.wait(60) == 0
    shown = text.decode().replace("\r\n", "\n")
    assert "\x1b[1mA small experiment (small)\x1b[0m" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("−", "-").replace("\u202f", ",").replace("—", "-")
    apart = run_apart("analyze", path, COLUMNS="100").out
    assert [line.rstrip() for line in plain.splitlines()] == apart.splitlines()


# --- analyze, in this process -----------------------------------------------------------------------------------------
def test_the_three_formats_say_the_same(path: Path) -> None:
    told = run("analyze", path, "--format", "json").json
    rows = list(csv.DictReader(io.StringIO(run("analyze", path, "--format", "csv").out)))
    assert [(row["metric"], row["window"]) for row in rows] == [
        (row["metric"], row["window"]) for row in told["effects"]
    ]
    assert [float(row["effect"]) for row in rows] == [row["effect"] for row in told["effects"]]
    assert all(row["metric"] in run("analyze", path).out for row in rows)


def test_the_same_data_give_the_same_numbers(path: Path) -> None:
    first, second = (run("analyze", path, "--format", "json").json for _ in range(2))
    for row, other in zip(first.pop("effects"), second.pop("effects"), strict=True):
        assert row["effect"] == pytest.approx(other["effect"], rel=1e-12)
        assert row["state"] == other["state"]
    assert first["units"] == second["units"]
    assert first["plan"] == second["plan"]


def test_what_should_not_happen_is_one_line_with_its_type(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(triangle: object) -> None:
        raise ZeroDivisionError("units of nothing")

    monkeypatch.setattr(scorecard, "build", broken)
    done = run("analyze", path)
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "ZeroDivisionError: units of nothing" in done.err
    assert "--traceback" in done.err
    with pytest.raises(ZeroDivisionError):
        run("analyze", path, "--traceback")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Stopped."),
        (MemoryError(), 1, "Error: there is not enough memory for this data"),
        (PermissionError(13, "Permission denied", "/data/facts.parquet"), 1, "/data/facts.parquet: Permission denied"),
        (OSError(28, "No space left on device"), 1, "Error: No space left on device"),
    ],
)
def test_what_a_machine_may_do_is_one_calm_line(
    raised: BaseException, code: int, said: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(triangle: object) -> None:
        raise raised

    monkeypatch.setattr(scorecard, "build", broken)
    done = run("analyze", path)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_relative_path_finds_its_data_beside_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert run("analyze", "small.yaml").code == 0


def test_slow_work_shows_its_steps_in_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(output, "QUIET_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    for stream in (Terminal(), io.StringIO()):
        with output.StepProgress(stream) as progress:
            progress(0, 4, "checking files and columns")
            progress(3, 4, "estimating")
        assert ("estimating" in stream.getvalue()) == stream.isatty()


# --- scorecard --------------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_scorecard_names_an_experiment_that_is_not_there() -> None:
    done = run("scorecard", "honeymon")
    assert (done.code, done.out) == (1, "")
    assert "`honeymon`" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_scorecard_prints_what_is_stored(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def stored(key: str, as_of: object) -> object:
        asked.append((key, str(as_of)))
        return cards.honeymoon()

    monkeypatch.setattr(scorecard_command, "stored_scorecard", stored)
    done = run("scorecard", "honeymoon", "--as-of", "2017-12-31", "--format", form)
    assert (done.code, done.err) == (0, "")
    assert asked == [("honeymoon", "2017-12-31")]
    if form == "json":
        assert json.loads(done.out)["key"] == "honeymoon"
    else:
        assert done.out.startswith({"table": "Engagement-first ranker (honeymoon)\n", "csv": "key,as_of,"}[form])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("problem", [NoLookYet("honeymoon has no look yet"), NoSuchExperiment("there is none")])
def test_scorecard_says_why_there_is_none(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def stored(key: str, as_of: object) -> object:
        raise problem

    monkeypatch.setattr(scorecard_command, "stored_scorecard", stored)
    done = run("scorecard", "honeymoon")
    assert (done.code, done.out, done.err) == (1, "", f"Error: {problem}\n")
