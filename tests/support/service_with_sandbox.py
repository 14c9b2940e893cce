"""The service with a sandbox as Stripe: both over HTTP, webhooks and worker included.

The sandbox begins now and stands still until it is advanced. Every test uses its own
users; several of them share one sandbox.
"""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import httpx
from typing_extensions import override

from payments_adapters.jwt import add_pass_key
from payments_adapters.stripe.gateway import StripeGateway
from payments_core.caller import ADMIN_SCOPE
from payments_core.ports import Clock
from payments_sandbox import Sandbox
from payments_sandbox.api import ApiRequest, ApiResponse
from payments_sandbox.app import SandboxApp
from payments_sandbox.engine import Watch
from payments_service.container import Overrides, build_container, opened
from payments_service.settings import Settings
from payments_service.worker import Worker
from support import databases, service
from support.openapi_calls import assert_documented
from support.plain_http import TLS
from support.sandbox import conforming
from support.service import ServiceProcess, World
from support.stripe_bodies import a_secret
from support.wire import Wire, wired

GOOD: Final = "pm_card_visa"
OTHER: Final = "pm_card_mastercard"
FAILING: Final = "pm_card_chargeCustomerFail"
ASKING: Final = "pm_card_authenticationRequired"
REFUSED: Final = "pm_card_chargeDeclined"
BASIC: Final = 900
PRO: Final = 1900
LOOKS_MAX: Final = 100

Json = Any  # an answer's body


@attrs.frozen
class SalesWorld(World):
    """A deployment whose gateway is a sandbox."""

    stripe_base: str = attrs.field(kw_only=True)
    stripe_key: str = attrs.field(kw_only=True)
    pass_keys: str = attrs.field(factory=lambda: add_pass_key("test"), kw_only=True)
    more: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)

    @override
    def env(self, port: int = 0, ops_port: int = 0) -> dict[str, str]:
        # By its name: attrs makes a slotted class anew, and `super()` has the old one.
        return {
            **World.env(self, port, ops_port),
            "PAYMENTS_STRIPE_API_BASE": self.stripe_base,
            "PAYMENTS_STRIPE_API_KEY": self.stripe_key,
            "PAYMENTS_ERASURE_KEY": a_secret("erasure"),
            "PAYMENTS_ACCESS_PASS_KEYS": self.pass_keys,
            **self.more,
        }


@attrs.frozen
class ServiceWithSandbox:
    """A sandbox, its products, and the service that sells them."""

    sandbox: Sandbox
    wire: Wire
    service: ServiceProcess
    product: str
    basic: str
    pro: str
    dollars: str
    other: str
    other_product: str
    posts: list[str] = attrs.field(factory=list)
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)

    @property
    def world(self) -> World:
        return self.service.world

    def user(self) -> "Payer":
        """Return a new user; their first call registers them."""
        # Tests follow each other faster than one pod's share of calls allows.
        databases.run(
            databases.execute(self.world.database_url, "delete from gateway_budgets")
        )
        id_ = f"payer-{next(self._numbers)}"
        token = self.world.token(id_, email=f"{id_}@example.com")
        return Payer(self, id_, token)

    def priced(self, amount: int) -> str:
        """Return a new price, of a product for which nothing else is sold."""
        price = _priced(self.wire, amount, product_data={"name": "Another"})
        return str(price["id"])

    # Background work

    def settle(self, later: timedelta = timedelta(0)) -> None:
        """Deliver all webhooks, and let the worker do what is due by then."""
        self.sandbox.deliver()
        self.work(later)
        self.sandbox.deliver()

    def pass_by(self, span: str | datetime) -> None:
        """Let time pass at the gateway; webhooks arrive, the worker works."""
        self.sandbox.advance(span)
        self.settle()

    def catch_up(self) -> None:
        """Set the gateway's time to the real one; webhooks arrive."""
        self.sandbox.advance(datetime.now(UTC))
        self.settle()

    def work(self, later: timedelta = timedelta(0)) -> None:
        """Work in this process as `payments worker --once` does, by a later clock."""
        asyncio.run(_work(self.world, lambda: datetime.now(UTC) + later))

    def work_as_process(self) -> int:
        """Run `payments worker --once`; return its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "payments_service", "worker", "--once"],
            env=self.world.env(0, 0),
            check=False,
            timeout=60,
        )
        return done.returncode

    # What is true at the gateway

    def objects(self, kind: str) -> list[Json]:
        return list(self.sandbox.objects(kind))

    def invoice_of(self, subscription: Json) -> Json:
        return self.wire.get(f"invoices/{subscription['latest_invoice']}")

    def asked_of(self, subscription: Json) -> str:
        """Return the payment intent by which the latest invoice is collected."""
        found = self.wire.get(
            "invoice_payments", invoice=subscription["latest_invoice"]
        )
        return str(found["data"][0]["payment"]["payment_intent"])


@attrs.frozen
class Payer:
    """A user with a token; requests are about them unless a path begins with /."""

    stack: ServiceWithSandbox
    id: str
    token: str

    def call(  # noqa: PLR0913  # what makes up a request
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        key: str | None = None,
        token: str | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        if content is not None:
            headers["Content-Type"] = "application/json"
        where = path if path.startswith("/") else f"/users/{self.id}/{path}"
        answer = httpx.request(
            method,
            self.stack.service.url + where,
            json=body,
            content=content,
            headers=httpx.Headers(headers, encoding="utf-8"),
            timeout=30,
            trust_env=False,
            verify=TLS,
        )
        assert_documented(answer)
        return answer

    def get(self, path: str) -> Json:
        return self.call("GET", path).raise_for_status().json()

    @property
    def status(self) -> Json:
        return self.get("payment-status")

    @property
    def standing(self) -> tuple[str, bool]:
        """Return the payment status, and whether the user is entitled."""
        status = self.status
        return status["payment_status"], status["entitled"]

    def give_card(self, card: str = GOOD) -> httpx.Response:
        return self.call("PUT", "card", {"payment_method": card})

    @property
    def admin(self) -> "Payer":
        """Return an administrator who sends requests about this user."""
        # Only the user's own call registers them.
        self.get("payment-status")
        # Idempotency keys are their administrator's, so each has one of their own.
        name = f"admin-of-{self.id}"
        token = self.stack.world.token(name, scopes=[ADMIN_SCOPE])
        return attrs.evolve(self, token=token)

    def subscribe(self, *, key: str | None = None, **order: Json) -> httpx.Response:
        """Subscribe to the product at its default price, unless the order differs."""
        if not {"price", "product"} & set(order):
            order["product"] = self.stack.product
        return self.call("POST", "subscriptions", order, key=key)

    def subscribed(self, card: str = GOOD, **order: Json) -> Json:
        """Return a user with a card and a subscription; its webhooks are applied."""
        self.give_card(card).raise_for_status()
        return self.subscribed_without_card(**order)

    def subscribed_without_card(self, **order: Json) -> Json:
        answer = self.subscribe(**order)
        assert answer.status_code == 201, answer.text
        self.stack.settle()
        return answer.json()

    def change(
        self, id_: str, *, key: str | None = None, **change: Json
    ) -> httpx.Response:
        return self.call("PATCH", f"subscriptions/{id_}", change, key=key)

    def pass_period(self) -> None:
        """Let the period of their subscription end, and its renewal be paid.

        "1 month" twice is not two periods: from the 29th of January it is the 28th of
        February, whatever the time of the day.
        """
        [subscription] = self.living
        [item] = subscription["items"]["data"]
        self.stack.pass_by(datetime.fromtimestamp(item["current_period_end"], UTC))
        self.stack.pass_by("2 hours")

    def intent(self, accepted: httpx.Response) -> Json:
        """Return the operation that a 202 names."""
        assert accepted.status_code == 202, accepted.text
        location = accepted.headers["location"]
        return self.get(location.removeprefix("/payments-gateway/api"))

    def stored(self, what: str, *, by: str = "user_id") -> list[tuple[Json, ...]]:
        """Return rows about them, as the database has them."""
        query = f"select {what} where user_id = $1 order by {by}"
        url = self.stack.world.database_url
        return [
            tuple(row) for row in databases.run(databases.fetch(url, query, self.id))
        ]

    # Their objects at the gateway

    def have(self, kind: str) -> list[Json]:
        return [
            it
            for it in self.stack.objects(kind)
            if it["metadata"].get("user_id") == self.id
        ]

    @property
    def customers(self) -> list[Json]:
        return self.have("customer")

    @property
    def subscriptions(self) -> list[Json]:
        return self.have("subscription")

    @property
    def living(self) -> list[Json]:
        ended = {"canceled", "incomplete_expired"}
        return [it for it in self.subscriptions if it["status"] not in ended]

    @property
    def charges(self) -> list[Json]:
        """Return the attempted charges, oldest first."""
        ids = {it["id"] for it in self.customers}
        return [it for it in self.stack.objects("charge") if it["customer"] in ids]

    @property
    def taken(self) -> list[int]:
        """Return the amounts that were charged."""
        return [it["amount"] for it in self.charges if it["status"] == "succeeded"]

    @property
    def card(self) -> str:
        """Return the default payment method at the gateway."""
        [customer] = self.customers
        return str(customer["invoice_settings"]["default_payment_method"])


async def _work(world: World, clock: Clock) -> None:
    """Let a worker do what is due by clocks that are not the real ones.

    It has all the calls to the gateway that it likes: a renewal of everybody in the
    world would use the budget up, and the user of the test would have to wait.
    """
    settings = Settings.from_env(world.env(0, 0))
    gateway = StripeGateway(
        settings.stripe_api_key,
        base=settings.stripe_api_base,
        livemode=settings.livemode,
    )
    container = build_container(
        settings, Overrides(clock=clock, system_clock=clock, gateway=gateway)
    )
    async with opened(container), gateway.opened():
        worker = Worker.of(container)
        # A sync may be due again at once, but not for ever.
        for _ in range(LOOKS_MAX):
            if not await worker.once():
                return
        raise AssertionError("the worker finds no end")


def returned(stack: ServiceWithSandbox) -> Sandbox:
    """Return the sandbox that is gone, as it was and where it was, to be entered."""
    port = urlsplit(stack.service.world.env(0, 0)["PAYMENTS_STRIPE_API_BASE"]).port
    assert port is not None
    again = Sandbox(port=port)
    again.engine, again.app = stack.sandbox.engine, SandboxApp.of(stack.sandbox.engine)
    return again


def _both(*watches: Watch) -> Watch:
    def watch(request: ApiRequest, response: ApiResponse) -> None:
        for one in watches:
            one(request, response)

    return watch


def _priced(wire: Wire, amount: int, currency: str = "eur", **more: Json) -> Json:
    return wire.post(
        "prices",
        currency=currency,
        unit_amount=amount,
        recurring={"interval": "month"},
        **more,
    )


def stocked(
    sandbox: Sandbox, wire: Wire, running: ServiceProcess
) -> ServiceWithSandbox:
    """Put goods into a sandbox: two prices of a product, one in dollars, another's."""
    basic = _priced(wire, BASIC, product_data={"name": "Plan"})
    product = basic["product"]
    wire.post(f"products/{product}", default_price=basic["id"])
    other = _priced(wire, 500, product_data={"name": "Other"})
    wire.post(f"products/{other['product']}", default_price=other["id"])
    return ServiceWithSandbox(
        sandbox,
        wire,
        running,
        product=product,
        basic=basic["id"],
        pro=_priced(wire, PRO, product=product)["id"],
        dollars=_priced(wire, 1000, "usd", product_data={"name": "Far"})["id"],
        other=other["id"],
        other_product=other["product"],
    )


def moment(text: str) -> datetime:
    """Return a time of an answer."""
    return datetime.fromisoformat(text)


@contextmanager
def selling(
    postgres: str,
    template: str,
    *,
    ago: timedelta = timedelta(0),
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[ServiceWithSandbox]:
    """Lend a whole deployment; all its gateway's requests and answers must conform.

    It begins so long `ago`; `more` are settings of its processes.
    """
    began = datetime.now(UTC).replace(microsecond=0) - ago
    with (
        conforming(seed=7, start=began) as sandbox,
        databases.copy_of(postgres, template) as dsn,
        wired(sandbox) as wire,
    ):
        world = SalesWorld(
            dsn, stripe_base=sandbox.url, stripe_key=sandbox.api_key, more=more
        )
        with service.running(world) as [running]:
            stack = stocked(sandbox, wire, running)

            def note(request: ApiRequest, _: ApiResponse) -> None:
                if request.method != "GET":
                    stack.posts.append(f"{request.method} {request.path}")

            sandbox.engine.watch = _both(sandbox.engine.watch, note)
            sandbox.deliver_to(f"{running.url}/webhooks/stripe", world.secrets[0])
            yield stack


def pointers(answer: httpx.Response) -> list[str]:
    """Return the fields that a problem names."""
    return [it["pointer"] for it in problem_of(answer).get("errors", [])]


def problem_of(answer: httpx.Response) -> Mapping[str, Json]:
    """Return a problem of the right media type, with all required fields."""
    problem: Mapping[str, Json] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "detail", "code"} <= set(problem)
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a problem."""
    return answer.status_code, str(problem_of(answer)["code"])
