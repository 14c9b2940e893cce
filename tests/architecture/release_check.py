"""Build the distributions, install them elsewhere and run the examples from them.

`make release-check` runs it before a release. It takes the members from the workspace's
own list, so a new member is checked too.
"""

import email.message
import email.parser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Final, Self

import attrs

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "docs" / "examples"
UV: Final = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
LICENCE: Final = "Apache-2.0"
# Nothing of the checkout's Python or of a service's settings affects what is installed.
ENVIRONMENT: Final = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PAYMENTS_", "UV_PROJECT"))
}


class Surprise(Exception):  # noqa: N818, it is said to a reader
    """A defect that a release must not have."""


def check(condition: object, what: str) -> None:
    if not condition:
        raise Surprise(what)


def run(*command: object, cwd: Path) -> str:
    """Return what a command printed; it runs outside the checkout."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    shown = " ".join(str(word) for word in command)
    check(done.returncode == 0, f"{shown}\n{done.stdout}{done.stderr}")
    return done.stdout


@attrs.frozen
class Member:
    """A member of the workspace, as its own `pyproject.toml` describes it."""

    folder: Path
    project: dict[str, Any]

    @classmethod
    def at(cls, folder: Path) -> Self:
        settings = tomllib.loads((folder / "pyproject.toml").read_text())
        return cls(folder, settings["project"])

    @property
    def name(self) -> str:
        return str(self.project["name"])

    @property
    def version(self) -> str:
        return str(self.project["version"])

    @property
    def package(self) -> str:
        return self.name.replace("-", "_")

    @property
    def wheel(self) -> str:
        return f"{self.package}-{self.version}-py3-none-any.whl"

    @property
    def sdist(self) -> str:
        return f"{self.package}-{self.version}.tar.gz"

    def sources(self) -> set[str]:
        """Return the package's files that git tracks."""
        listed = subprocess.run(
            ["git", "ls-files", self.package],  # noqa: S607, git is git
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return set(listed.stdout.splitlines())


def members() -> list[Member]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["uv"]["workspace"]["members"]
    folders = [folder for pattern in patterns for folder in ROOT.glob(pattern)]
    check(len(folders) >= len(patterns), f"a member is missing: {patterns}")
    return [Member.at(folder) for folder in sorted(folders)]


def check_metadata(member: Member, said: email.message.Message) -> None:
    readme = (member.folder / "README.md").read_text()
    body = said.get_payload()
    for name, found, expected in (
        ("Name", said["Name"], member.name),
        ("Version", said["Version"], member.version),
        ("Summary", said["Summary"], member.project["description"]),
        ("Requires-Python", said["Requires-Python"], ">=3.11"),
        ("License-Expression", said["License-Expression"], LICENCE),
        ("License-File", said.get_all("License-File"), ["LICENSE"]),
        ("Description", str(body).strip(), readme.strip()),
    ):
        check(found == expected, f"{member.name}: {name} is {found!r}")


def check_wheel(member: Member, path: Path) -> None:
    info = f"{member.package}-{member.version}.dist-info"
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
        licence = wheel.read(f"{info}/licenses/LICENSE")
        metadata = wheel.read(f"{info}/METADATA").decode()
    check_metadata(member, email.parser.Parser().parsestr(metadata))
    check(licence == (ROOT / "LICENSE").read_bytes(), f"{path.name}: another LICENSE")
    ours = {name for name in names if not name.startswith(f"{info}/")}
    differ = sorted(ours ^ member.sources())
    check(not differ, f"{path.name}: not as git has it: {differ}")
    check(f"{member.package}/py.typed" in ours, f"{path.name}: no py.typed")


def check_sdist(member: Member, path: Path) -> None:
    top = f"{member.package}-{member.version}"
    with tarfile.open(path) as sdist:
        names = {entry.name for entry in sdist.getmembers() if entry.isfile()}
    beside = {f"{top}/{name}" for name in ("PKG-INFO", "pyproject.toml")}
    beside |= {f"{top}/{name}" for name in ("README.md", "LICENSE")}
    # uv writes the settings that only a workspace has out of the one, into the other.
    names.discard(f"{top}/pyproject.toml.orig")
    differ = names ^ (beside | {f"{top}/{name}" for name in member.sources()})
    check(not differ, f"{path.name}: not as git has it: {sorted(differ)}")


def build(found: list[Member], dist: Path) -> None:
    """Build each sdist, and each wheel from its sdist."""
    for member in found:
        run(UV, "build", "--quiet", "--out-dir", dist, member.folder, cwd=dist)
        check_sdist(member, dist / member.sdist)
        check_wheel(member, dist / member.wheel)
    built = {path.name for path in dist.iterdir() if path.name != ".gitignore"}
    expected = {name for member in found for name in (member.wheel, member.sdist)}
    check(built == expected, f"built {sorted(built)}")


def environment(folder: Path, wheels: list[Path]) -> Path:
    """Make an environment that holds these wheels and what they depend on."""
    folder.mkdir()
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    install = (UV, "pip", "install", "--quiet", "--no-config", "--python", python)
    run(*install, *wheels, cwd=folder)
    run(UV, "pip", "check", "--quiet", "--python", python, cwd=folder)
    return python


def check_example(python: Path, name: str) -> None:
    """Run an example, and check its types as an importer does, by `mypy --strict`."""
    folder = python.parents[2]
    example = Path(shutil.copy(EXAMPLES / name, folder))
    expected = re.findall(r"(?m)^ *# prints: (.*)$", example.read_text())
    check(expected, f"{name}: does not say what it prints")
    said = run(python, example, cwd=folder).splitlines()
    check(said == expected, f"{name}: printed {said}")
    mypy = Path(sys.executable).with_name("mypy")
    strict = ("--strict", "--config-file=", "--cache-dir", folder / "cache")
    run(mypy, *strict, "--python-executable", python, example, cwd=folder)


def check_core_alone(found: list[Member], dist: Path, folder: Path) -> None:
    [core] = [member for member in found if member.name == "payments-core"]
    python = environment(folder, [dist / core.wheel])
    check_example(python, "payments_alone.py")


def check_all(found: list[Member], dist: Path, folder: Path) -> None:
    python = environment(folder, [dist / member.wheel for member in found])
    for example in sorted(EXAMPLES.glob("*.py")):
        check_example(python, example.name)
    for member in found:
        for command in member.project.get("scripts", {}):
            run(python.with_name(command), "--help", cwd=folder)


def check_changelog(found: list[Member]) -> None:
    """The first section is this version's; every other section has its date."""
    [version] = {member.version for member in found}
    titles = re.findall(r"(?m)^## (.*)$", (ROOT / "CHANGELOG.md").read_text())
    dated = re.compile(r"\d+\.\d+\.\d+ \(\d{4}-\d{2}-\d{2}\)")
    check(titles[0].startswith(f"{version} ("), f"CHANGELOG begins with {titles[0]}")
    undated = [title for title in titles[1:] if not dated.fullmatch(title)]
    check(not undated, f"CHANGELOG has no date for {undated}")


def main() -> int:
    found = members()
    try:
        check_changelog(found)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            dist = folder / "dist"
            dist.mkdir()
            build(found, dist)
            check_core_alone(found, dist, folder / "core")
            check_all(found, dist, folder / "all")
    except Surprise as surprise:
        print(f"release check: {surprise}", file=sys.stderr)
        return 1
    print(f"release check: {', '.join(member.wheel for member in found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
