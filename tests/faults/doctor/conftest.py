"""A deployment to check: a sandbox, two databases and a URL without keys."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pytest

from faults.doctor.deployment import JWKS, SECRET, Deployed, endpoint_made_at
from payments_adapters.postgres import schema
from payments_sandbox import Sandbox
from support import databases
from support.command_line import Inside
from support.jwks_server import serving_keys
from support.sandbox import conforming

_WELL: Final = """
update alembic_version set version_num = '{head}';
delete from webhook_events; delete from jobs; delete from checkpoints;
delete from deployment; delete from erased_keys; delete from erasures;
delete from deliveries; delete from delivery_cursors;
insert into deployment (singleton, livemode) values (true, false);
insert into checkpoints (name, reached_at, due_at, attempts, lease_no)
values ('events', now(), now(), 0, 1), ('sweep', now(), now(), 0, 1)
"""


@pytest.fixture(scope="package")
def account() -> Iterator[Sandbox]:
    with conforming() as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def stored(postgres: str, template: str) -> Iterator[tuple[str, str]]:
    with (
        databases.copy_of(postgres, template) as url,
        databases.empty(postgres) as none,
    ):
        yield url, none


@pytest.fixture(scope="package")
def keyless_url() -> Iterator[str]:
    with serving_keys() as server:
        server.document = b'{"keys": []}'
        yield server.url


@pytest.fixture
def deployed(
    account: Sandbox, stored: tuple[str, str], inside: Inside, keyless_url: str
) -> Deployed:
    env = {
        "PAYMENTS_ENV": "development",
        "PAYMENTS_DATABASE_URL": stored[0],
        "PAYMENTS_STRIPE_API_BASE": account.url,
        "PAYMENTS_STRIPE_API_KEY": account.api_key,
        "PAYMENTS_STRIPE_WEBHOOK_SECRETS": SECRET,
        "PAYMENTS_JWT_ISSUER": "users",
        "PAYMENTS_JWT_AUDIENCE": "payments",
        "PAYMENTS_JWT_KEYS": JWKS,
        "PAYMENTS_DEV_DIR": "/nowhere",
    }
    it = Deployed(account, *stored, inside, env, keyless_url)
    it.sql(_WELL.format(head=schema.head()))
    endpoint_made_at(it, datetime.now(UTC))
    return it
