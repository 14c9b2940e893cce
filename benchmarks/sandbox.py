"""The sandbox's time for a year of many subscriptions, and for one call.

A call is timed together with its limit: the same client requests a missing route of the
same server, so that the ratio shows the cost of the sandbox itself.
"""

import argparse
import asyncio
import resource
import time
from typing import Final

import httpx

from payments_sandbox import Sandbox
from payments_sandbox.api import ApiRequest
from payments_sandbox.engine import Engine
from payments_sandbox.forms import encoded

SUBSCRIPTIONS_COUNT: Final = 1_000
CALLS_COUNT: Final = 1_000
# Every tenth card fails from its first renewal on.
FAILING_EACH: Final = 10


def year(count: int) -> str:
    """Play a year without receivers; every tenth card fails."""
    engine = Engine()

    def post(path: str, **params: object) -> str:
        answer = engine.answer(
            ApiRequest(
                method="POST",
                path=f"/v1/{path}",
                body=encoded(params).encode(),
                headers={"authorization": f"Bearer {engine.api.api_key}"},
            )
        )
        if answer.status != httpx.codes.OK:
            raise RuntimeError(answer.body.decode())
        return str(httpx.Response(200, content=answer.body).json()["id"])

    price = post(
        "prices",
        currency="eur",
        unit_amount=900,
        recurring={"interval": "month"},
        product_data={"name": "Basic"},
    )
    for number in range(count):
        customer = post("customers", email=f"user{number}@example.com")
        card = post("payment_methods/pm_card_visa/attach", customer=customer)
        post(
            "subscriptions",
            customer=customer,
            items=[{"price": price}],
            default_payment_method=card,
        )
        if number % FAILING_EACH == 0:
            engine.set_card(card, declines="insufficient_funds")
    started = time.perf_counter()
    asyncio.run(engine.advance("1 year"))
    took = time.perf_counter() - started
    mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"a year of {count:,} subscriptions: {took:.1f} s, "
        f"{len(engine.world.events):,} events, {mebibytes:.0f} MiB"
    )


def calls(count: int) -> str:
    """Create customers over HTTP, one at a time, alternating with a missing route."""
    with Sandbox() as sandbox, httpx.Client(base_url=sandbox.url) as client:
        client.headers["Authorization"] = f"Bearer {sandbox.api_key}"
        # Only the path differs: both send the same.
        took = {"/v1/customers": 0.0, "/v1/nothing": 0.0}
        for _ in range(count):
            for path in took:
                started = time.perf_counter()
                client.post(path, data={"email": "ada@example.com"})
                took[path] += time.perf_counter() - started
    ours, limit = (seconds / count * 1e3 for seconds in took.values())
    return (
        f"one call: {ours:.2f} ms, of which {limit:.2f} ms is HTTP "
        f"(ratio {limit / ours:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=SUBSCRIPTIONS_COUNT)
    parser.add_argument("--calls", type=int, default=CALLS_COUNT)
    wanted = parser.parse_args()
    print(year(wanted.subscriptions))
    print(calls(wanted.calls))


if __name__ == "__main__":
    main()
