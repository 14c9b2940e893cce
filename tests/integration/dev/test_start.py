"""How `payments dev` starts: on which ports, with which settings, and where not."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support import databases
from support.dev_service import (
    await_start,
    begin,
    payments,
    taken,
)


def test_two_run_side_by_side_though_a_default_port_is_taken(
    postgres: str, template: str, tmp_path: Path
) -> None:
    """
    Without a chosen port it takes another, also when two start at the same time.
    """
    with taken(8000), ExitStack() as stack:
        devs = []
        for name in ("one", "two"):
            url = stack.enter_context(databases.copy_of(postgres, template))
            devs.append(
                begin(
                    tmp_path / name,
                    PAYMENTS_PORT=None,
                    PAYMENTS_OPS_PORT=None,
                    PAYMENTS_DATABASE_URL=url,
                )
            )
            stack.callback(devs[-1].terminate)
        for dev in devs:
            await_start(dev)

        addresses = {dev.facts[url] for dev in devs for url in ("base_url", "ops_url")}
        devs[0].register("mine")
        seen = [dev.status("mine").status_code for dev in devs]

    assert len(addresses) == 4
    assert "http://127.0.0.1:8000" not in addresses
    assert seen == [200, 404]
    assert "port 8000 is in use; choosing another one" in devs[0].steps


def test_the_first_line_is_said_before_what_takes_long_to_import() -> None:
    """
    Neither the database's library nor the web framework is imported yet; `--help` does
    not import them at all.
    """
    heavy = {"sqlalchemy": None, "litestar": None}
    program = (
        f"import sys; sys.modules.update({heavy})\n"
        "from payments_service.__main__ import main; main()"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program, *words],
            capture_output=True,
            text=True,
            check=False,
        ).stderr.splitlines()[:1]
        for words in (["dev"], ["dev", "--help"])
    ]

    assert said[0][0].endswith(" s  loading the program")
    assert "loading" not in "".join(said[1])


@pytest.mark.parametrize("variable", ["PAYMENTS_PORT", "PAYMENTS_OPS_PORT"])
def test_a_port_that_was_asked_for_is_not_replaced(
    database_url: str, tmp_path: Path, variable: str
) -> None:
    """
    The port is in use: exit code 4, and the variable's name.
    """
    with taken(0) as port:
        env: dict[str, Any] = {variable: str(port)}
        answer = payments(
            "dev",
            folder=tmp_path / ".payments",
            PAYMENTS_DATABASE_URL=database_url,
            **env,
        )

    assert answer.returncode == 4
    assert f"{variable}: 127.0.0.1:{port} cannot be bound" in answer.stderr
    assert not (tmp_path / ".payments" / "dev.json").exists()


def test_it_is_not_for_production(database_url: str, tmp_path: Path) -> None:
    """
    It prints a token with all scopes: never in production.
    """
    answer = payments(
        "dev",
        folder=tmp_path / ".payments",
        PAYMENTS_ENV="production",
        PAYMENTS_STRIPE_API_KEY="sk_live_" + "k" * 24,
        PAYMENTS_DATABASE_URL=database_url,
    )

    assert (answer.returncode, answer.stdout) == (6, "")
    assert "PAYMENTS_ENV" in answer.stderr
    assert not (tmp_path / ".payments").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PAYMENTS_LOG_LEVEL", "loud"), ("PAYMENTS_DATABASE_URL", "mysql://db")],
)
def test_a_wrong_setting_is_named(
    database_url: str, tmp_path: Path, variable: str, value: str
) -> None:
    """
    Exit code 4, as for every command.
    """
    env: dict[str, Any] = {"PAYMENTS_DATABASE_URL": database_url, variable: value}

    answer = payments("dev", folder=tmp_path / ".payments", **env)

    assert answer.returncode == 4
    assert answer.stderr.splitlines()[-1].startswith(f"payments: {variable}: not ")
