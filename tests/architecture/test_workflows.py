"""What runs with write access to the repository is pinned, so that it cannot change."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
RELEASE: Final = ROOT / ".github" / "workflows" / "release.yaml"
DIGEST: Final = "0123456789abcdef" * 4


def _steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    return [step for job in jobs for step in job.get("steps", ())]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda it: it.stem)
def test_each_action_is_named_by_its_commit(path: Path) -> None:
    used = [it["uses"] for it in _steps(path) if "uses" in it]
    assert used
    assert [it for it in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", it)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda it: it.stem)
def test_a_workflow_may_only_read_unless_a_job_says_more(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda it: it.stem)
def test_no_command_is_made_of_what_others_may_write(path: Path) -> None:
    """
    A branch or a tag may be called `$(…)`: commands must use variables instead.
    """
    assert [it["run"] for it in _steps(path) if "${{" in it.get("run", "")] == []


def test_a_release_refuses_a_base_image_without_a_digest_before_it_builds() -> None:
    """
    And names the image that it built by its digest, in the overlay and in the release.
    """
    commands = [it.get("run", "") for it in _steps(RELEASE)]
    text = "\n".join(commands)
    refuses = commands.index('.ci/pinned "$PYTHON_IMAGE"')
    [builds] = [n for n, it in enumerate(commands) if "buildx build" in it]

    assert refuses < builds
    assert '--build-arg PYTHON_IMAGE="$PYTHON_IMAGE"' in commands[builds]
    assert '.ci/pinned "$name@$digest"' in commands[builds]
    assert "--provenance mode=max --sbom true" in commands[builds]
    assert 'deploy/set-image production "$NAME@$DIGEST"' in text
    assert "dist/sbom.cdx.json" in text


@pytest.mark.parametrize(
    ("image", "is_pinned"),
    [
        (f"python:3.13-slim-trixie@sha256:{DIGEST}", True),
        (f"ghcr.io/owner/payments-gateway@sha256:{DIGEST}", True),
        ("python:3.13-slim-trixie", False),
        ("", False),
        (f"@sha256:{DIGEST}", False),
        (f"python@sha256:{DIGEST[:-1]}", False),
        (f"python@sha256:{DIGEST}0", False),
        (f"python@sha256:{DIGEST[:-1]}g", False),
        (f"python@sha256:{DIGEST} --push", False),
        (f"python@sha512:{DIGEST}", False),
        (f"python@sha256:{DIGEST}\npython", False),
    ],
)
def test_an_image_is_pinned_by_a_whole_digest_alone(
    image: str, *, is_pinned: bool
) -> None:
    done = subprocess.run(
        [ROOT / ".ci" / "pinned", image], capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is is_pinned
    assert ("not pinned" in done.stderr) is not is_pinned
