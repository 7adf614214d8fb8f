"""Secrets of the environment: in a variable, or in the file that ``<variable>_FILE`` names. Knows nothing of Django."""

import os
from pathlib import Path


class SecretProblem(ValueError):
    """A secret that cannot be read. The message names the variable, and never the secret."""


def secret(name: str) -> str:
    """Return what a variable holds or its file has, without the last line break; "" if neither is set.

    Raises SecretProblem where both are set, and where the file cannot be read or is empty.
    """
    value, path = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    if not path:
        return value
    if value:
        raise SecretProblem(f"{name} and {name}_FILE are both set; only one of them may be")
    try:
        value = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SecretProblem(f"{name}_FILE is {path!r}, which cannot be read: {why}") from None
    if not value.strip():
        raise SecretProblem(f"{name}_FILE is {path!r}, which is empty")
    return value
