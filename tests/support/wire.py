"""A sandbox's API over HTTP, without an SDK: requests are exactly the test's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import httpx

from payments_sandbox import Sandbox
from payments_sandbox.forms import encoded
from support.plain_http import TLS


@attrs.frozen
class Wire:
    """Calls a sandbox with its key; `send` returns any answer, the rest good ones."""

    sandbox: Sandbox
    client: httpx.Client

    def send(
        self,
        path: str,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
    ) -> httpx.Response:
        form = {"content-type": "application/x-www-form-urlencoded"}
        return self.client.request(
            method, path, content=content, headers={**form, **(headers or {})}
        )

    def control(self, path: str, **fields: Any) -> httpx.Response:
        return self.client.post(f"/_sandbox/{path}", json=fields)

    def post(self, path: str, **params: Any) -> Any:  # JSON is anything
        form = encoded(params).encode()
        return self.send(f"/v1/{path}", form).raise_for_status().json()

    def get(self, path: str, **params: Any) -> Any:  # JSON is anything
        url = f"/v1/{path}?{encoded(params)}"
        return self.send(url, method="GET").raise_for_status().json()

    def delete(self, path: str) -> Any:  # JSON is anything
        return self.send(f"/v1/{path}", method="DELETE").raise_for_status().json()

    def subscribe(self) -> tuple[Any, Any]:
        """Subscribe a new paying customer; return both objects."""
        customer = self.post("customers", metadata={"user_id": "ada"})
        method = self.post(
            "payment_methods/pm_card_visa/attach", customer=customer["id"]
        )
        price = self.post(
            "prices",
            currency="eur",
            unit_amount=900,
            recurring={"interval": "month"},
            product_data={"name": "Basic"},
        )
        return customer, self.post(
            "subscriptions",
            customer=customer["id"],
            items=[{"price": price["id"]}],
            default_payment_method=method["id"],
        )


@contextmanager
def wired(sandbox: Sandbox) -> Iterator[Wire]:
    """Lend a client with a persistent connection, and without a proxy."""
    with httpx.Client(
        base_url=sandbox.url,
        headers={"Authorization": f"Bearer {sandbox.api_key}"},
        timeout=30,
        trust_env=False,
        verify=TLS,
    ) as client:
        yield Wire(sandbox, client)
