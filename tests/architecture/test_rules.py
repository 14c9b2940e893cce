"""Every rule of the architecture, broken once on purpose in a copy of the tree."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MEMBERS = ("core", "adapters", "entrypoints/sandbox", "entrypoints/service")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy the four members and the settings of every tool."""
    for member in MEMBERS:
        shutil.copytree(
            ROOT / member,
            tmp_path / member,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "lint-imports", "--no-cache"],
        cwd=tree,
        env={"PYTHONPATH": ":".join(str(tree / member) for member in MEMBERS)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tree_as_it_is_keeps_every_rule(tree: Path) -> None:
    """
    The copy passes before anything is broken: what fails below fails for its reason.
    """
    done = lint_imports(tree)

    assert done.returncode == 0, done.stdout
    assert (
        str(tree)
        in subprocess.run(
            [
                sys.executable,
                "-c",
                "import payments_core; print(payments_core.__file__)",
            ],
            env={"PYTHONPATH": str(tree / "core")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


@pytest.mark.parametrize(
    ("module", "line", "rule"),
    [
        (
            "core/payments_core/money.py",
            "import payments_adapters.rate_limited_gateway",
            "Dependencies point inwards",
        ),
        (
            "adapters/payments_adapters/rate_limited_gateway.py",
            "import payments_service.settings",
            "Dependencies point inwards",
        ),
        (
            "core/payments_core/money.py",
            "import sqlalchemy",
            "The core knows no driver",
        ),
        ("core/payments_core/ports.py", "import asyncpg", "The core knows no driver"),
        ("core/payments_core/events.py", "import stripe", "The core knows no driver"),
        (
            "adapters/payments_adapters/memory/__init__.py",
            "import payments_adapters.postgres.rows",
            "No adapter imports another",
        ),
        (
            "adapters/payments_adapters/stripe/signature.py",
            "import payments_adapters.jwt",
            "No adapter imports another",
        ),
        (
            "entrypoints/service/payments_service/http/users.py",
            "import punq",
            "punq only in the composition root",
        ),
        (
            "adapters/payments_adapters/rate_limited_gateway.py",
            "import punq",
            "punq only in the composition root",
        ),
        (
            "entrypoints/service/payments_service/http/health.py",
            "import asyncpg",
            "Only the Stripe adapter knows the SDK",
        ),
        (
            "entrypoints/service/payments_service/http/webhooks.py",
            "import stripe",
            "Only the Stripe adapter knows the SDK",
        ),
        (
            "entrypoints/service/payments_service/container.py",
            "import payments_sandbox",
            "Nothing that serves knows that there is a sandbox",
        ),
        (
            "entrypoints/service/payments_service/cli/serve.py",
            "import payments_sandbox.listeners",
            "Nothing that serves knows that there is a sandbox",
        ),
        (
            "entrypoints/service/payments_service/cli/environment.py",
            "import payments_service.dev.folder",
            "Nothing that serves imports what is for development",
        ),
        (
            "entrypoints/service/payments_service/worker.py",
            "import payments_service.dev",
            "Nothing that serves imports what is for development",
        ),
        (
            "entrypoints/sandbox/payments_sandbox/state.py",
            "import payments_service.settings",
            "The sandbox knows nothing of ours",
        ),
        (
            "entrypoints/sandbox/payments_sandbox/webhook_delivery.py",
            "from payments_adapters.stripe import sign",
            "The sandbox knows nothing of ours",
        ),
        (
            "entrypoints/sandbox/payments_sandbox/periods.py",
            "from payments_core.months import months_after",
            "The sandbox knows nothing of ours",
        ),
        (
            "entrypoints/sandbox/payments_sandbox/shapes.py",
            "import stripe",
            "The sandbox knows nothing of ours",
        ),
    ],
)
def test_a_wrong_import_breaks_its_rule(
    tree: Path, module: str, line: str, rule: str
) -> None:
    """
    One import in the wrong direction, and the check that names the rule fails.
    """
    path = tree / module
    path.write_text(path.read_text() + f"\n{line}\n")

    done = lint_imports(tree)

    assert done.returncode != 0
    # A rule that ignores some imports says so behind the word.
    broken = [text for text in done.stdout.splitlines() if " BROKEN" in text]
    assert any(text.startswith(rule) for text in broken), done.stdout


@pytest.mark.parametrize("folder", ["core", "adapters", "entrypoints"])
def test_a_folder_is_not_a_package(tree: Path, folder: str) -> None:
    """
    `import core.…` would be a second copy of every class: the linter forbids it.
    """
    path = tree / "entrypoints/service/payments_service/settings.py"
    path.write_text(f"import {folder}.x\n" + path.read_text())

    done = subprocess.run(
        [BIN / "ruff", "check", "--no-cache", "--select", "TID251", path],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "A folder, not a package" in done.stdout


def test_a_wrong_adapter_is_a_type_error(tree: Path) -> None:
    """
    punq takes any object for any key; the provider's return type does not.
    """
    path = tree / "entrypoints/service/payments_service/container.py"
    text = path.read_text()
    wrong = text.replace("return PostgresTokens(store)", "return store")
    assert wrong != text
    path.write_text(wrong)

    done = subprocess.run(
        [BIN / "mypy", "--no-incremental", "--follow-imports=silent", path],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert 'expected "TokenStore"' in done.stdout
