"""docker/compose.yaml and docker/Dockerfile as data: what a key may be and hold, and nothing besides."""

import re
import shlex
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

FOLDER = Path(__file__).resolve().parents[2] / "docker"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HealthCheck(Strict):
    test: list[str] = []
    interval: str | None = Field(None, pattern=r"^\d+s$")
    timeout: str | None = Field(None, pattern=r"^\d+s$")
    start_period: str | None = Field(None, pattern=r"^\d+s$")
    retries: int | None = None
    disable: bool = False


class Build(Strict):
    context: str
    dockerfile: str


class EnvFile(Strict):
    path: str
    required: bool


class Logging(Strict):
    driver: str


class Waits(Strict):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Service(Strict):
    """The keys of the compose specification that Holdfast uses, with the types that it gives them."""

    image: str
    build: Build | None = None
    pull_policy: Literal["never"] | None = None
    command: list[str] = []
    environment: dict[str, str] = {}
    env_file: list[EnvFile] = []
    secrets: list[str] = []
    volumes: list[str] = []
    tmpfs: list[str] = []
    ports: list[str] = []
    networks: list[str]
    logging: Logging
    user: str | None = None
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    read_only: bool = False
    cap_drop: list[str] = []
    security_opt: list[str] = []
    shm_size: str | None = None
    stop_grace_period: str | None = Field(None, pattern=r"^\d+s$")
    healthcheck: HealthCheck
    depends_on: dict[str, Waits] = {}


class Network(Strict):
    internal: bool = False


class Volume(Strict):
    pass


class Secret(Strict):
    file: str


class Compose(Strict):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    services: dict[str, Service]
    networks: dict[str, Network]
    volumes: dict[str, Volume]
    secrets: dict[str, Secret]


def compose() -> Compose:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return Compose.model_validate({key: value for key, value in loaded.items() if not key.startswith("x-")})


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def copied() -> list[str]:
    """What the build takes out of the checkout."""
    lists = [shlex.split(rest) for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    return [source for words in lists for source in words[:-1]]
