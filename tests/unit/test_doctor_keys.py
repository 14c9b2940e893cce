"""What `payments doctor` says of keys at an address; `faults/doctor` has the rest."""

import json
from collections.abc import Iterator

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from payments_service.doctor.checks import CheckResult
from payments_service.doctor.keys import key_checks
from payments_service.settings import Settings
from support.jwks_server import KeyServer, serving_keys
from support.service import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with serving_keys() as found:
        yield found


async def found_at(server: KeyServer) -> CheckResult:
    """Return the one line of a deployment whose keys are at this address."""
    settings = Settings.from_env(World("postgresql://n@127.0.0.1:1/n").env(0, 0))
    assert key_checks(settings) == []
    given = attrs.evolve(settings, jwt_keys=None, jwt_keys_url=server.url)
    [check] = key_checks(given)
    [result] = await check.look()
    return result


async def test_keys_that_are_for_us_are_named(server: KeyServer) -> None:
    """
    So it is visible whether a new key is published already.
    """
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    key = ECAlgorithm.to_jwk(public, as_dict=True)
    keys = [{**key, "kid": kid} for kid in ("k1", "k2")]
    server.document = json.dumps({"keys": keys}).encode()

    result = await found_at(server)

    assert (result.status, result.text) == (
        "ok",
        "PAYMENTS_JWT_KEYS_URL has usable keys: k1, k2",
    )


async def test_a_private_key_that_is_published_is_wrong(server: KeyServer) -> None:
    """
    It is named by its kid, and not shown.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    shown = {**ECAlgorithm.to_jwk(private, as_dict=True), "kid": "k1"}
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    good = {**ECAlgorithm.to_jwk(other, as_dict=True), "kid": "k2"}
    server.document = json.dumps({"keys": [shown, good]}).encode()

    result = await found_at(server)

    assert (result.status, result.text) == (
        "wrong",
        "PAYMENTS_JWT_KEYS_URL has private keys: k1",
    )
    assert shown["d"] not in str(result)
