"""The image: its Dockerfile beside what pods of it are given."""

import re
import shlex
from functools import cache
from importlib.metadata import entry_points
from json import loads
from pathlib import Path

import pytest
from click.testing import CliRunner

from payments_service.cli.root import payments
from support.manifests import OVERLAYS, manifests

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@cache
def final_stage() -> tuple[tuple[str, str], ...]:
    """Return the instructions of the image that is shipped."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    stage = re.split(r"(?m)^FROM ", text)[-1].splitlines()[1:]
    return tuple(
        (word, rest)
        for word, _, rest in (line.partition(" ") for line in stage)
        if word.isalpha()
    )


def instruction(name: str) -> str:
    (found,) = (rest for word, rest in final_stage() if word == name)
    return found


def image_environment() -> dict[str, str]:
    pairs = (pair.partition("=") for pair in shlex.split(instruction("ENV")))
    return {name: value for name, _, value in pairs if name.startswith("PAYMENTS_")}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ports_are_those_that_the_service_binds(overlay: str) -> None:
    """
    Settings, containers and the image name the same two ports, on every interface.
    """
    rendered = manifests(overlay)
    [service] = rendered.pods()["http"]["spec"]["containers"]
    ports = {port["name"]: str(port["containerPort"]) for port in service["ports"]}
    environment = image_environment() | rendered.variables(service)

    assert environment["PAYMENTS_HOST"] == "0.0.0.0"  # noqa: S104  # a pod's own
    assert ports["http"] == environment["PAYMENTS_PORT"]
    assert ports["ops"] == environment["PAYMENTS_OPS_PORT"]
    assert sorted(ports.values()) == instruction("EXPOSE").split()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_t77_pods_run_as_the_images_user(overlay: str) -> None:
    """
    A numeric user without a name; its group can read files of secrets.
    """
    for pod in manifests(overlay).pods().values():
        said = pod["spec"]["securityContext"]
        assert "{runAsUser}:{runAsGroup}".format(**said) == instruction("USER")
        assert instruction("USER") == "10001:10001"
        assert said["fsGroup"] == said["runAsGroup"]


def test_the_images_own_command_exists() -> None:
    """
    The default command.
    """
    done = CliRunner().invoke(payments, [*loads(instruction("CMD")), "--help"])

    assert done.exit_code == 0, done.output


def test_the_image_runs_the_installed_command() -> None:
    """
    The entry point is a script that installing the service creates.
    """
    (script,) = entry_points(group="console_scripts", name="payments")

    assert loads(instruction("ENTRYPOINT")) == ["payments"]
    assert script.dist is not None
    assert script.dist.name == "payments-service"


def test_the_builder_is_given_what_it_copies() -> None:
    """
    `.dockerignore` includes what the Dockerfile copies, and nothing else.
    """
    copied = re.findall(
        r"(?m)^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text()
    )
    # Everything in a folder of ours is included, and one file of `deploy`.
    sources = {
        path if path.startswith("deploy/") else path.split("/")[0]
        for line in copied
        for path in line.split()
    }
    rules = (ROOT / ".dockerignore").read_text().splitlines()

    assert "*" in rules
    assert sources == {rule[1:] for rule in rules if rule.startswith("!")}
