"""Delivery endpoints among the settings."""

import secrets
from pathlib import Path
from typing import Final

import pytest

from payments_adapters.webhooks_out.signing import written
from payments_service.settings import Settings, SettingsError
from support.service import World

SECRET: Final = written(secrets.token_bytes(32))


def env(**more: str) -> dict[str, str]:
    return {**World("postgresql://localhost/db").env(8000, 8001), **more}


def problem(given: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(given)
    [(name, reason)] = raised.value.problems.items()
    assert name == "PAYMENTS_WEBHOOKS_OUT"
    return reason


def endpoint(secret: str = f'secrets = ["{SECRET}"]') -> str:
    return f'[endpoints.crm]\nurl = "https://crm.example/"\n{secret}\n'


def test_without_a_file_nothing_is_delivered() -> None:
    """
    The setting is optional.
    """
    assert Settings.from_env(env()).webhooks_out == ()


def test_a_file_of_endpoints_names_files_of_secrets_beside_it(tmp_path: Path) -> None:
    """
    As a secret is mounted: one folder, wherever the process runs.
    """
    (tmp_path / "endpoints.toml").write_text(endpoint('secrets_files = ["one"]'))
    (tmp_path / "one").write_text(f"{SECRET}\n")
    given = env(PAYMENTS_WEBHOOKS_OUT_FILE=str(tmp_path / "endpoints.toml"))

    settings = Settings.from_env(given)

    [found] = settings.webhooks_out
    assert [written(it) for it in found.secrets] == [SECRET]
    assert SECRET not in repr(settings)
    assert str(found.secrets[0]) not in repr(settings)


def test_a_secret_file_may_be_anywhere(tmp_path: Path) -> None:
    """
    By its whole path, also if the endpoints are not in a file.
    """
    (tmp_path / "one").write_text(SECRET)
    text = endpoint(f'secrets_files = ["{tmp_path / "one"}"]')

    [found] = Settings.from_env(env(PAYMENTS_WEBHOOKS_OUT=text)).webhooks_out

    assert [written(it) for it in found.secrets] == [SECRET]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it cannot be read: No such file or directory"),
        (b"\xff", "it cannot be read: UnicodeDecodeError"),
        (b"w" * 70_000, "its file has more than 65536 bytes"),
    ],
    ids=["missing", "no text", "long"],
)
def test_a_secret_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    """
    By its place in the file of endpoints.
    """
    if content is not None:
        (tmp_path / "one").write_bytes(content)
    text = endpoint(f'secrets_files = ["{tmp_path / "one"}"]')

    found = problem(env(PAYMENTS_WEBHOOKS_OUT=text))

    assert found == f"endpoints.crm.secrets_files[1]: {reason}"


def test_an_endpoint_has_no_secret_of_stripes() -> None:
    """
    The receiver could sign events as Stripe.
    """
    given = env(PAYMENTS_WEBHOOKS_OUT=endpoint())
    given["PAYMENTS_STRIPE_WEBHOOK_SECRETS"] += f",{SECRET}"

    assert (
        problem(given) == "a secret is also one of Stripe's: each needs one of its own"
    )


def test_every_fault_is_in_the_reason() -> None:
    """
    Together with the faults of other settings.
    """
    given = env(PAYMENTS_WEBHOOKS_OUT="[endpoints.crm]\nx = 1", PAYMENTS_PORT="x")
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(given)
    assert set(raised.value.problems) == {"PAYMENTS_WEBHOOKS_OUT", "PAYMENTS_PORT"}
    for place in ("crm.x", "crm.url", "crm.secrets"):
        assert f"endpoints.{place}: " in raised.value.problems["PAYMENTS_WEBHOOKS_OUT"]
