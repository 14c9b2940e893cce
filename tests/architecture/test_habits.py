"""What contributors rely on: licence, hooks, CI, templates, links."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
SETTINGS: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())
MEMBERS: Final = sorted(
    folder
    for pattern in SETTINGS["tool"]["uv"]["workspace"]["members"]
    for folder in ROOT.glob(pattern)
)
PAGES: Final = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])
    or ".github" in path.parts
)


@pytest.mark.parametrize("folder", [ROOT, *MEMBERS], ids=lambda path: path.name)
def test_each_distribution_has_the_licence(folder: Path) -> None:
    """
    Each names its licence, and has the same text of it.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]

    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_hooks_are_the_commands_of_make_check() -> None:
    """
    A commit is checked by exactly the tools and options of `make check`, in its order.
    """
    makefile = (ROOT / "Makefile").read_text()
    [recipe] = re.findall(r"(?m)^check:.*\n((?:\t.*\n)+)", makefile)
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())[
        "repos"
    ]

    entries = [hook["entry"] for hook in repository["hooks"]]

    assert entries == [line.removeprefix("\t@") for line in recipe.splitlines()]
    assert repository["repo"] == "local"
    assert all(not hook["pass_filenames"] for hook in repository["hooks"])


def test_the_workflow_runs_what_ci_runs_on_every_python() -> None:
    """
    `.ci/run` decides; the workflow only installs the Pythons that we promise.
    """
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text())
    job = workflow["jobs"]["run"]

    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert SETTINGS["project"]["requires-python"] == ">=3.11"


def test_t76_what_is_installed_has_a_hash_that_is_kept() -> None:
    """
    For each file of each package except ours; CI and the image install nothing else.
    """
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    others = [it for it in locked if "registry" in it["source"]]
    files = [
        file
        for it in others
        for file in [*it.get("wheels", ()), *filter(None, [it.get("sdist")])]
    ]
    ours = {it["name"] for it in locked if it not in others}
    commands = [
        line
        for path in (".ci/install", "deploy/Dockerfile")
        for line in (ROOT / path).read_text().splitlines()
        if " sync " in line
    ]

    assert len(others) > 50
    assert ours == {
        "payments-gateway",
        *(f"payments-{it}" for it in ("adapters", "client", "core")),
        *(f"payments-{it}" for it in ("sandbox", "service")),
    }
    assert [it for it in files if not it["hash"].startswith("sha256:")] == []
    assert [
        it["name"] for it in others if not it.get("wheels") and "sdist" not in it
    ] == []
    assert len(commands) >= 3
    assert [it for it in commands if "--frozen" not in it] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github").rglob("*.y*ml")), ids=lambda path: path.name
)
def test_what_github_reads_is_yaml(path: Path) -> None:
    """
    GitHub does not offer a template that it cannot read.
    """
    assert yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    """
    A link to a file names an existing file, and an existing heading if it names one.
    """
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in _anchors(linked), target


def _anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in words}


@pytest.mark.parametrize(
    "page",
    sorted((ROOT / "docs" / "decisions").glob("0*.md")),
    ids=lambda path: path.stem,
)
def test_each_decision_has_its_status_and_date(page: Path) -> None:
    """
    At the top of the decision, and the same in the index.
    """
    title, status = page.read_text().split("\n\n", 2)[:2]
    number, _, name = title.removeprefix("# ").partition(". ")
    [(word, date)] = re.findall(
        r"^Status: (accepted|replaced).*\. Date: (\d{4}-\d{2}-\d{2})\b", status
    )
    index = (page.parent / "README.md").read_text()

    assert page.name.startswith(number)
    assert f"| [{number}]({page.name}) | {name} | {word} | {date} |" in index
