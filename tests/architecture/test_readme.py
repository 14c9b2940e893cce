"""What the README and the pages of docs/ say is true: diagram, examples, commands."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click

from payments_core.payment import diagram
from payments_sandbox import Fault
from payments_sandbox.cli import sandbox
from payments_service.cli.exit_codes import Exit
from payments_service.cli.root import payments

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
SANDBOX = (ROOT / "docs" / "sandbox.md").read_text()


def test_the_diagram_is_printed_from_the_tables() -> None:
    """
    The page of the domain agrees with the state machine.
    """
    assert f"```mermaid\n{diagram()}\n```" in (DOCS / "domain.md").read_text()


def test_every_make_target_that_it_names_exists() -> None:
    """
    A command of the README or of CONTRIBUTING is a target of the Makefile.
    """
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    guide = (ROOT / "CONTRIBUTING.md").read_text()

    named = set(re.findall(r"`?make ([a-z-]+)", README))
    explained = set(re.findall(r"`make ([a-z-]+)", guide))

    assert {"run", "test"} <= named <= targets
    assert (
        {"check", "format", "prove", "bench", "release-check"} <= explained <= targets
    )


def test_its_exit_codes_are_all_there_are() -> None:
    """
    The page of commands, `--help` and the table say the same.
    """
    page = (DOCS / "cli.md").read_text()
    [said] = re.findall(r"Exit codes: (.*?)\.", page, re.DOTALL)
    [helped] = re.findall(r"Exit codes: (.*?)\.", payments.help or "", re.DOTALL)

    assert " ".join(said.split()) == " ".join(helped.split())
    assert [int(code) for code in re.findall(r"\d+", said)] == list(Exit)


def test_each_command_of_a_page_exists() -> None:
    """
    A command that a page shows is a command, or a group of commands, of `payments`.
    """
    pages = [ROOT / "README.md", *DOCS.glob("*.md"), ROOT / "deploy" / "README.md"]
    text = "\n".join(page.read_text() for page in pages)
    typed = set(re.findall(r"(?:^ {4}|`|bin/)payments ([a-z]+)", text, re.MULTILINE))

    assert {"serve", "worker", "dev"} <= typed
    assert typed <= set(payments.list_commands(click.Context(payments)))


def test_the_example_runs_from_the_built_wheels(tmp_path: Path) -> None:
    """
    Another service installs core and adapters from their wheels, in an empty project,
    and gets only attrs as a dependency, and an answer.
    """
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    wheels, python = tmp_path / "wheels", tmp_path / "venv/bin/python"
    shutil.copy(DOCS / "examples" / "stores_in_memory.py", tmp_path / "example.py")
    for member in ("core", "adapters"):
        subprocess.run(
            [uv, "build", "--quiet", "--wheel", "--out-dir", wheels, ROOT / member],
            check=True,
        )
    venv = [uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")]
    subprocess.run(venv, check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--no-config"]
    subprocess.run([*install, *map(str, wheels.glob("*.whl"))], check=True)

    said = subprocess.run(
        [python, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert said.stdout == "paid 2026-02-28 12:00:00+00:00 True\n"


def test_the_sandboxs_example_runs() -> None:
    """
    The page's example for tests works as it is.
    """
    example, _ = re.findall(r"```python\n(.*?)```", SANDBOX, re.DOTALL)

    said = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=True
    )

    assert said.stdout == "past_due\n"


def test_the_sandboxs_test_passes(tmp_path: Path) -> None:
    """
    The page's example for pytest, in a folder of its own, with the plugin that it
    names.
    """
    _, example = re.findall(r"```python\n(.*?)```", SANDBOX, re.DOTALL)
    [plugin] = re.findall(r"`-p (\S+)`", SANDBOX)
    (tmp_path / "test_theirs.py").write_text(example)

    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-W", "error"),
            *("-p", plugin, "-p", "no:cacheprovider"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_sandboxs_lines_for_a_shell_work() -> None:
    """
    The page's calls by curl, pasted as they are, reach a served sandbox.
    """
    [lines] = re.findall(r"## With curl\n.*?```sh\n(.*?)```", SANDBOX, re.DOTALL)
    command = (sys.executable, "-m", "payments_sandbox", "serve", "--port", "0")
    how = ("--start", "2026-01-31T12:00:00Z", "--frozen", "--json")
    with subprocess.Popen(
        [*command, *how], stdout=subprocess.PIPE, text=True
    ) as serving:
        try:
            facts = json.loads(serving.stdout.readline() if serving.stdout else "")
            said = subprocess.run(
                ["/bin/bash", "-c", lines],
                env={
                    "PATH": os.environ["PATH"],
                    "PAYMENTS_SANDBOX_URL": facts["sandbox_url"],
                    "PAYMENTS_SANDBOX_KEY": facts["stripe_api_key"],
                },
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            serving.terminate()

    assert '"email":"ada@example.com"' in said.stdout
    # 28 February: a calendar month later.
    assert said.stdout.endswith('{"now":1772280000}')


def test_the_sandboxs_page_names_every_fault() -> None:
    """
    A reader must find the sandbox's chaos options; a command that does not exist is
    useless.
    """
    named = set(re.findall(r"payments[ -]sandbox ([a-z][a-z-]+)", SANDBOX))

    assert [fault for fault in Fault if f"`{fault}`" not in SANDBOX] == []
    assert named <= set(sandbox.commands)
