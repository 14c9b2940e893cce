"""Variables, their files, and names that are not a setting's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from payments_service.settings import SECRET_FILE_BYTES_MAX, Settings
from support.environments import (
    CANARY,
    DATABASE_URL,
    JWKS,
    REQUIRED,
    development,
    problems,
)


def test_an_unknown_setting_stops_the_start() -> None:
    """
    A typo would otherwise be silently ignored. The error suggests the intended name.
    """
    refused = problems(
        development(
            PAYMENTS_DRAIN_SECONDS=CANARY,
            PAYMENTS_LOGLEVEL="debug",
            PAYMENTS_JWT_KEYS_FILES="/keys",
            PAYMENTS_="",
        )
    )

    assert refused == {
        "PAYMENTS_": "not a setting of this release",
        "PAYMENTS_DRAIN_SECONDS": "not a setting of this release; "
        "PAYMENTS_DRAIN_S is one",
        "PAYMENTS_JWT_KEYS_FILES": "not a setting of this release; "
        "PAYMENTS_JWT_KEYS_FILE is one",
        "PAYMENTS_LOGLEVEL": "not a setting of this release; PAYMENTS_LOG_LEVEL is one",
    }


def test_what_others_read_is_no_unknown_setting() -> None:
    """
    `payments dev`, the sandbox's own program, the tests, the options of commands.
    """
    others = {
        "PAYMENTS_DEV_DIR": "/dev-folder",
        "PAYMENTS_POSTGRES_BIN": "/postgres",
        "PAYMENTS_SANDBOX_SERVE_PORT": "0",
        "PAYMENTS_TEST_DATABASE_URL": DATABASE_URL,
        "PATH": "/bin",
        "MY_PAYMENTS_PORT": "x",
    }
    assert Settings.from_env(development(**others)) == Settings.from_env(development())
    limit = development(PAYMENTS_TOKEN_LIST_LIMIT="9")
    known = Settings.from_env(limit, "PAYMENTS_TOKEN_LIST_LIMIT".__eq__)
    assert known == Settings.from_env(development())
    assert list(problems(limit)) == ["PAYMENTS_TOKEN_LIST_LIMIT"]


LINKS = {
    # Of a service that is called `payments`, and of one called `payments-gateway`.
    "PAYMENTS_PORT": "tcp://10.0.0.1:80",
    "PAYMENTS_HOST": "udp://10.0.0.1:53",
    "PAYMENTS_PORT_80_TCP": "tcp://10.0.0.1:80",
    "PAYMENTS_PORT_80_TCP_ADDR": "10.0.0.1",
    "PAYMENTS_PORT_80_TCP_PORT": "80",
    "PAYMENTS_PORT_80_TCP_PROTO": "tcp",
    "PAYMENTS_SERVICE_HOST": "10.0.0.1",
    "PAYMENTS_SERVICE_PORT": "80",
    "PAYMENTS_SERVICE_PORT_HTTP": "80",
    "PAYMENTS_GATEWAY_PORT": "tcp://[fd00::1]:80",
    "PAYMENTS_GATEWAY_PORT_80_TCP_PROTO": "tcp",
    "PAYMENTS_GATEWAY_SERVICE_HOST": "10.0.0.1",
    "PAYMENTS_SANDBOX_SERVICE_HOST": "10.0.0.1",
}


def test_what_kubernetes_tells_of_services_is_named_with_its_remedy() -> None:
    """
    Each of them, also if it has the name of a setting.
    """
    refused = problems(development(**LINKS))

    assert set(refused) == set(LINKS)
    assert all("enableServiceLinks: false" in it for it in refused.values())


@pytest.mark.parametrize("end", ["", "\n", "\r\n", " \n\n"])
@pytest.mark.parametrize("name", REQUIRED)
def test_a_file_is_as_good_as_a_variable(tmp_path: Path, name: str, end: str) -> None:
    """
    Mounted secrets often end in a line break, which is not part of them.
    """
    env = development()
    (tmp_path / "secret").write_text(env.pop(name) + end)

    settings = Settings.from_env({**env, f"{name}_FILE": str(tmp_path / "secret")})

    assert settings == Settings.from_env(development())


def test_a_variable_given_twice_is_refused(tmp_path: Path) -> None:
    """
    Of a variable and its file one would be a guess; an empty one is not given.
    """
    name = "PAYMENTS_JWT_KEYS"
    (tmp_path / "keys").write_text(JWKS)
    file = {f"{name}_FILE": str(tmp_path / "keys")}

    assert "given twice" in problems(development(**file))[name]
    alone = Settings.from_env(development(**file, **{name: ""}))
    assert alone.jwt_keys == JWKS
    without = Settings.from_env(development(**{f"{name}_FILE": ""}))
    assert without == Settings.from_env(development())


def _folder(path: Path) -> None:
    path.mkdir()


def _not_text(path: Path) -> None:
    path.write_bytes(b"\xff" + CANARY.encode())


def _too_long(path: Path) -> None:
    path.write_text(CANARY * SECRET_FILE_BYTES_MAX)


def _empty(path: Path) -> None:
    path.write_text("\n")


def _none(_: Path) -> None:
    """Leave nothing there."""


@pytest.mark.parametrize("make", [_folder, _not_text, _too_long, _empty, _none])
def test_a_file_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """
    Missing, a folder, not text, too long, empty: the variable is named.
    """
    name = "PAYMENTS_STRIPE_WEBHOOK_SECRETS"
    make(tmp_path / "secret")
    env = development()
    del env[name]

    assert list(problems({**env, f"{name}_FILE": str(tmp_path / "secret")})) == [name]


def test_a_path_with_a_null_is_refused_by_name() -> None:
    """
    Even a path that the operating system does not accept.
    """
    refused = problems(development(PAYMENTS_GRACE_DAYS_FILE="a\0b"))

    assert list(refused) == ["PAYMENTS_GRACE_DAYS"]
