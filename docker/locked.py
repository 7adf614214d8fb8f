"""Print the part of requirements.lock that the product needs to run, without the tools of its development.

The lock file says of every package for whose sake it is there (``# via``). Needed are the dependencies that
pyproject.toml names, and whatever is there for a needed package. Only the standard library is used: nothing is
installed yet where this runs.
"""

import re
import sys
import tomllib
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def blocks(lock: str) -> dict[str, str]:
    """The lines of each package, hashes and comments included, by the package's name."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if line[:1].isalnum():
            match = NAME.match(line)
            assert match
            name = canonical(match.group())
        if name:
            found[name] = found.get(name, "") + line
    return found


def asked_by(block: str) -> set[str]:
    """The packages for whose sake this one is there."""
    _, _, comments = block.partition("# via")
    return {canonical(word) for line in comments.splitlines() if (word := line.strip("# ").partition(" ")[0])}


def locked(project: str, lock: str) -> str:
    """The lines of ``lock`` that an installation without extras takes."""
    listed = blocks(lock)
    needed = {canonical(NAME.match(text).group()) for text in tomllib.loads(project)["project"]["dependencies"]}  # type: ignore[union-attr]
    missing = needed - listed.keys()
    if missing:
        raise SystemExit(f"requirements.lock lacks {', '.join(sorted(missing))}; make it anew (see CONTRIBUTING.md)")
    while more := {name for name, block in listed.items() if name not in needed and asked_by(block) & needed}:
        needed |= more
    return "".join(block for name, block in listed.items() if name in needed)


if __name__ == "__main__":
    sys.stdout.write(locked(Path("pyproject.toml").read_text(), Path("requirements.lock").read_text()))
