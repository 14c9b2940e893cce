"""Every rule of the architecture, broken once on purpose in a copy of the tree."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MEMBERS = (
    "core",
    "adapters",
    "adapters/client",
    "entrypoints/sandbox",
    "entrypoints/service",
)
CONTRACTS: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "importlinter"
]["contracts"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy the members and the settings of every tool."""
    for member in MEMBERS:
        shutil.copytree(
            ROOT / member,
            tmp_path / member,
            # One is in the folder of another.
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "lint-imports", "--no-cache"],
        cwd=tree,
        env={
            "PYTHONPATH": ":".join(str(tree / member) for member in MEMBERS),
            # The linter does not wrap its lines.
            "COLUMNS": "500",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tree_as_it_is_keeps_every_rule(tree: Path) -> None:
    """
    The copy passes before anything is broken, so a failure below has its own reason.
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


CORE: Final = "core/payments_core"
ADAPTERS: Final = "adapters/payments_adapters"
CLIENT: Final = "adapters/client/payments_client"
SERVICE: Final = "entrypoints/service/payments_service"
SANDBOX: Final = "entrypoints/sandbox/payments_sandbox"

# One import in the wrong direction each: its place, and the rule that it breaks.
WRONG: Final = [
    (
        f"{CORE}/money.py",
        "import payments_adapters.rate_limited_gateway",
        "Dependencies point inwards",
    ),
    (
        f"{ADAPTERS}/rate_limited_gateway/gateway.py",
        "import payments_service.settings",
        "Dependencies point inwards",
    ),
    (f"{CORE}/money.py", "import sqlalchemy", "The core knows no driver"),
    (f"{CORE}/ports/accounts.py", "import asyncpg", "The core knows no driver"),
    (f"{CORE}/events.py", "import stripe", "The core knows no driver"),
    (
        f"{ADAPTERS}/memory/__init__.py",
        "import payments_adapters.postgres.rows",
        "No adapter imports another",
    ),
    (
        f"{ADAPTERS}/stripe/signature.py",
        "import payments_adapters.jwt",
        "No adapter imports another",
    ),
    (
        f"{ADAPTERS}/rate_limited_gateway/gateway.py",
        "import payments_adapters.stripe.gateway",
        "No adapter imports another",
    ),
    (f"{SERVICE}/http/users.py", "import punq", "punq only in the composition root"),
    (
        f"{SERVICE}/presentation/schemas.py",
        "import punq",
        "punq only in the composition root",
    ),
    (
        f"{ADAPTERS}/rate_limited_gateway/gateway.py",
        "import punq",
        "punq only in the composition root",
    ),
    *(
        (f"{SERVICE}/{module}.py", "import punq", "punq only in the composition root")
        for module in ("worker", "ingest_queue", "dev/command", "__main__")
    ),
    *(
        (module, "import stripe", "Only the Stripe adapter knows the SDK")
        for module in (
            f"{ADAPTERS}/rate_limited_gateway/gateway.py",
            f"{ADAPTERS}/postgres/ledger.py",
            f"{SERVICE}/http/webhooks.py",
        )
    ),
    *(
        (module, "import opentelemetry", "Only what traces knows OpenTelemetry")
        for module in (
            f"{SERVICE}/container.py",
            f"{SERVICE}/spans.py",
            f"{ADAPTERS}/stripe/transport.py",
            f"{CORE}/ports/gateway.py",
        )
    ),
    *(
        (module, f"import {package}", "Only the Postgres adapter knows SQL")
        for module, package in (
            (f"{ADAPTERS}/rate_limited_gateway/gateway.py", "asyncpg"),
            (f"{ADAPTERS}/stripe/gateway.py", "sqlalchemy"),
            (f"{ADAPTERS}/__init__.py", "sqlalchemy"),
            (f"{SERVICE}/http/health.py", "asyncpg"),
            (f"{SERVICE}/dev/command.py", "alembic"),
        )
    ),
    (
        f"{SERVICE}/container.py",
        "import payments_sandbox",
        "Nothing that serves knows that there is a sandbox",
    ),
    (
        f"{SERVICE}/processes/serve.py",
        "import payments_sandbox.listeners",
        "Nothing that serves knows that there is a sandbox",
    ),
    (
        f"{SANDBOX}/state.py",
        "import payments_service.settings",
        "The sandbox knows nothing of ours",
    ),
    (
        f"{SANDBOX}/webhook_delivery.py",
        "from payments_adapters.stripe import sign",
        "The sandbox knows nothing of ours",
    ),
    (
        f"{SANDBOX}/periods.py",
        "from payments_core.months import months_after",
        "The sandbox knows nothing of ours",
    ),
    (
        f"{SANDBOX}/shapes/catalog.py",
        "import stripe",
        "The sandbox knows nothing of ours",
    ),
    (
        f"{CLIENT}/passes.py",
        "import payments_adapters.jwt",
        "The client knows nothing of ours",
    ),
    (
        f"{CLIENT}/shapes.py",
        "import attrs",
        "The client knows nothing of ours",
    ),
    (
        f"{SERVICE}/http/users.py",
        "import payments_client",
        "Nothing of ours knows the client",
    ),
    # Inside the packages: upwards, and between neighbours.
    (f"{CLIENT}/rows.py", "import payments_client.local_copy", "Layers of the client"),
    (
        f"{CLIENT}/passes.py",
        "import payments_client.local_copy",
        "Layers of the client",
    ),
    (f"{CORE}/money.py", "import payments_core.payment", "Layers of the core"),
    (f"{CORE}/payment.py", "import payments_core.subscription", "Layers of the core"),
    (f"{CORE}/facts.py", "import payments_core.ports", "Layers of the core"),
    (f"{CORE}/decide/group.py", "import payments_core.ports", "Layers of the core"),
    (
        f"{CORE}/decide/known.py",
        "import payments_core.decide.accounts",
        "Layers of deciding",
    ),
    (
        f"{CORE}/decide/payments.py",
        "import payments_core.decide.subscriptions",
        "Layers of deciding",
    ),
    (
        f"{CORE}/ports/events.py",
        "import payments_core.ports.gateway",
        "Layers of the ports",
    ),
    (
        f"{CORE}/explain/next_steps.py",
        "import payments_core.explain.cause",
        "Layers of explaining",
    ),
    (
        f"{CORE}/use_cases/record_facts.py",
        "import payments_core.use_cases.execute_operation",
        "Layers of the use cases",
    ),
    (
        f"{CORE}/operations/start.py",
        "from payments_core.operations import OPERATIONS",
        "Layers of the operations",
    ),
    (
        f"{CORE}/jobs/sync.py",
        "import payments_core.jobs.run_work",
        "Layers of the jobs",
    ),
    (
        f"{ADAPTERS}/postgres/rows.py",
        "import payments_adapters.postgres.store",
        "Layers of the Postgres adapter",
    ),
    (
        f"{ADAPTERS}/postgres/event_log.py",
        "import payments_adapters.postgres.ledger",
        "Layers of the Postgres adapter",
    ),
    (
        f"{ADAPTERS}/stripe/requests.py",
        "import payments_adapters.stripe.gateway",
        "Layers of the Stripe adapter",
    ),
    (
        f"{ADAPTERS}/memory/tables.py",
        "import payments_adapters.memory.ledger",
        "Layers of the adapter in memory",
    ),
    (
        f"{ADAPTERS}/jwt/keys.py",
        "import payments_adapters.jwt.verification",
        "Layers of the JWT adapter",
    ),
    (
        f"{ADAPTERS}/webhooks_out/signing.py",
        "import payments_adapters.webhooks_out.sender",
        "Layers of the outgoing webhooks",
    ),
    (
        f"{ADAPTERS}/rate_limited_gateway/call_budget.py",
        "import payments_adapters.rate_limited_gateway.gateway",
        "Layers of the rate-limited gateway",
    ),
    (
        f"{SERVICE}/cli/environment.py",
        "import payments_service.dev.folder",
        "Layers of the service",
    ),
    (f"{SERVICE}/worker.py", "import payments_service.dev", "Layers of the service"),
    (
        f"{SERVICE}/cli/account.py",
        "import payments_service.http.schemas",
        "Layers of the service",
    ),
    (
        f"{SERVICE}/http/cards.py",
        "import payments_service.cli.exit_codes",
        "Layers of the service",
    ),
    (
        f"{SERVICE}/presentation/schemas.py",
        "import payments_service.http.schemas",
        "Layers of the service",
    ),
    (
        f"{SERVICE}/http/requests.py",
        "import payments_service.http.app",
        "Layers of HTTP",
    ),
    (
        f"{SERVICE}/presentation/schemas.py",
        "import payments_service.presentation.operations",
        "Layers of the presentation",
    ),
    (
        f"{SERVICE}/cli/account.py",
        "import payments_service.cli.token",
        "Layers of the command line",
    ),
    (
        f"{SERVICE}/metrics/families.py",
        "import payments_service.metrics.process",
        "Layers of the metrics",
    ),
    (
        f"{SERVICE}/doctor/checks.py",
        "import payments_service.doctor.start",
        "Layers of the doctor",
    ),
    (
        f"{SERVICE}/wiring/stores.py",
        "import payments_service.wiring.use_cases",
        "Layers of the wiring",
    ),
    (
        f"{SERVICE}/settings/reader.py",
        "import payments_service.settings.values",
        "Layers of the settings",
    ),
    (
        f"{SERVICE}/tracing/calls.py",
        "import payments_service.tracing.export",
        "Layers of the traces",
    ),
    (
        f"{SERVICE}/container.py",
        "import payments_service.tracing",
        "Layers of the service",
    ),
    (
        f"{SERVICE}/processes/start.py",
        "import payments_service.processes.worker",
        "Layers of the processes",
    ),
    (
        f"{SERVICE}/dev/folder.py",
        "import payments_service.dev.command",
        "Layers of what is for development",
    ),
    (
        f"{SERVICE}/dev/postgres/errors.py",
        "import payments_service.dev.postgres.server",
        "Layers of the embedded Postgres",
    ),
    (f"{SANDBOX}/state.py", "import payments_sandbox.engine", "Layers of the sandbox"),
    (
        f"{SANDBOX}/resources/charges.py",
        "import payments_sandbox.resources.invoices",
        "Layers of the sandbox's resources",
    ),
    (
        f"{SANDBOX}/shapes/parts.py",
        "import payments_sandbox.shapes.catalog",
        "Layers of the sandbox's shapes",
    ),
    (
        f"{SANDBOX}/cli/errors.py",
        "import payments_sandbox.cli.client",
        "Layers of the sandbox's command line",
    ),
]


def broken_in(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the names of the broken rules."""
    # A rule that ignores some imports says so after the word.
    lines = done.stdout.splitlines()
    return [text.partition(" BROKEN")[0] for text in lines if " BROKEN" in text]


def rounds() -> list[list[tuple[str, str, str]]]:
    """Group the wrong imports into rounds, with at most one for each rule."""
    found: list[list[tuple[str, str, str]]] = []
    for wrong in WRONG:
        free = [it for it in found if all(wrong[2] != rule for _, _, rule in it)]
        if not free:
            found.append([])
            free = found[-1:]
        free[0].append(wrong)
    return found


def told_of(rule: str, done: subprocess.CompletedProcess[str]) -> str:
    """Return the linter's lines about a broken rule, one line for each import."""
    *_, told = done.stdout.partition("Broken contracts\n")
    # A name is underlined; the name of a rule that ignores some imports is longer.
    sections = re.split(r"(?m)^(.+)\n-{4,}$", told)
    named = dict(zip(sections[1::2], sections[2::2], strict=True))
    return "".join(text for name, text in named.items() if name.startswith(rule))


@pytest.mark.parametrize("wrong", rounds(), ids=lambda it: f"{len(it)} rules")
def test_a_wrong_import_breaks_its_rule(
    tree: Path, wrong: list[tuple[str, str, str]]
) -> None:
    """
    Each is in the wrong direction, and the rule that it breaks names it.
    """
    for module, line, _ in wrong:
        path = tree / module
        path.write_text(path.read_text() + f"\n{line}\n")

    done = lint_imports(tree)

    assert done.returncode != 0
    for module, line, rule in wrong:
        importer = module.partition("/payments_")[2].removesuffix(".py")
        dotted = f"payments_{importer.replace('/', '.')}".removesuffix(".__init__")
        imported = line.split()[1]
        assert f"{dotted} -> {imported}" in told_of(rule, done), done.stdout


def test_each_rule_is_broken_above() -> None:
    """
    A rule that was never seen to fail may be unable to fail.
    """
    rules = {rule for _, _, rule in WRONG}

    unbroken = [
        it["name"] for it in CONTRACTS if not it["name"].startswith(tuple(rules))
    ]

    assert unbroken == []


def test_a_module_without_a_place_breaks_the_layers_of_its_package(tree: Path) -> None:
    """
    Every package of ours has layers, and a new module must be assigned to one of them.
    """
    packages = sorted(
        path.parent.relative_to(tree)
        for member in MEMBERS
        for path in (tree / member).glob("payments_*/**/__init__.py")
        if "migrations" not in path.parts
    )
    for package in packages:
        (tree / package / "without_a_place.py").touch()

    broken = broken_in(lint_imports(tree))

    layers = [it for it in CONTRACTS if it.get("exhaustive")]
    assert sorted(broken) == sorted(it["name"] for it in layers)
    assert len(layers) == len(packages)


@pytest.mark.parametrize("folder", ["core", "adapters", "entrypoints"])
def test_a_folder_is_not_a_package(tree: Path, folder: str) -> None:
    """
    `import core.…` would create a second copy of every class: the linter forbids it.
    """
    path = tree / "entrypoints/service/payments_service/settings/service.py"
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
    punq accepts any object for any key; the provider's return type does not.
    """
    path = tree / "entrypoints/service/payments_service/wiring/stores.py"
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
