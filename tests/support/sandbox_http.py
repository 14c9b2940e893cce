"""A plain HTTP client of a sandbox: it hides nothing and repeats nothing."""

from typing import Any, Final

import httpx

from payments_sandbox import Sandbox
from support.plain_http import TLS

CUSTOMERS: Final = "/v1/customers"
WAIT_S_MAX: Final = 30.0


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def client_of(sandbox: Sandbox) -> httpx.Client:
    return httpx.Client(
        base_url=sandbox.url,
        headers=bearer(sandbox.api_key),
        timeout=WAIT_S_MAX,
        verify=TLS,
    )


def create(client: httpx.Client, key: str, **options: Any) -> httpx.Response:
    """Create a customer, with an idempotency key."""
    headers = {"Idempotency-Key": key}
    return client.post(CUSTOMERS, data={"name": "Ada"}, headers=headers, **options)


def made(sandbox: Sandbox) -> int:
    return len(sandbox.objects("customer"))
