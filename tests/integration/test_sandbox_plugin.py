"""The pytest fixture of the sandbox, as other projects use it."""

import subprocess
import sys
from pathlib import Path
from typing import Final

THEIRS: Final = """
import httpx
import pytest

from payments_sandbox import Sandbox

seen = []


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_sandbox_of_its_own(stripe_sandbox: Sandbox, turn: int) -> None:
    bearer = {"Authorization": f"Bearer {stripe_sandbox.api_key}"}
    with httpx.Client(base_url=stripe_sandbox.url, headers=bearer) as client:
        made = client.post("/v1/customers").raise_for_status().json()
        stripe_sandbox.advance("1 month")
        found = client.get("/v1/customers").raise_for_status().json()["data"]
    assert [it["id"] for it in found] == [made["id"]]
    assert [it["type"] for it in stripe_sandbox.events()] == ["customer.created"]
    assert (stripe_sandbox.now.month, stripe_sandbox.now.day) == (2, 1)
    seen.append(stripe_sandbox)
    assert len(set(map(id, seen))) == turn


def test_it_is_gone_afterwards() -> None:
    for sandbox in seen:
        with pytest.raises(RuntimeError, match="not started"):
            sandbox.url
"""


def test_the_fixture_works_in_a_strangers_tests(tmp_path: Path) -> None:
    """
    If only the plugin is named, each test gets a fresh served sandbox whose clock can
    be advanced, and which ends with the test.
    """
    (tmp_path / "test_theirs.py").write_text(THEIRS)

    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-W", "error"),
            *("-p", "payments_sandbox.plugin", "-p", "no:cacheprovider"),
            "--strict-markers",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout
