"""Callers who write and read continuously, until they are stopped."""

import itertools
import json
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import anyio
import attrs
import httpx

from faults.deliveries import Event, client
from faults.payers import Payer
from payments_core.caller import FEED_SCOPE
from support import databases
from support.service import PREFIX, World

# Each event is one more payment of its payer.
MONTHS: Final = 20
SENDERS: Final = 2
WAIT_S: Final = 2
COMES_BACK_S: Final = 0.05
FAILURES_MAX: Final = 10_000


@attrs.frozen
class Failure:
    """A request without its expected answer; times are monotonic."""

    what: str
    status: int | str
    began_s: float
    ended_s: float = attrs.field(factory=time.monotonic)
    text: str = ""


@attrs.define
class Load:
    """Sends events, sells subscriptions, reads, and waits for changes.

    A failed request is sent again until it succeeds: as Stripe does, and as a client
    does with the same idempotency key. Each failure is recorded.
    """

    world: World
    port: int
    product: str | None = None
    answers: Counter[str] = attrs.field(factory=Counter)
    failures: list[Failure] = attrs.field(factory=list)
    everybody: list[Payer] = attrs.field(factory=list)
    sold_to: list[str] = attrs.field(factory=list)
    stopped: bool = False
    # The time of the last successful answer.
    taken_s: float = 0.0
    # Pages of the feed with changes, which have positions while a worker runs.
    pages: int = 0
    _numbers: Any = attrs.field(factory=itertools.count)

    async def run(self) -> None:
        """Send until `stopped`, and then finish what was begun."""
        async with client() as http, anyio.create_task_group() as tasks:
            for _ in range(SENDERS):
                tasks.start_soon(self._pay, http)
            tasks.start_soon(self._follow, http)
            if self.product is not None:
                tasks.start_soon(self._buy, http)

    async def _pay(self, http: httpx.AsyncClient) -> None:
        while not self.stopped:
            payer = Payer(next(self._numbers), MONTHS)
            path, admin = f"/users/{payer.user}", self.world.admin()
            await self._asked(http, "PUT", path, admin, {"email": payer.email})
            self.everybody.append(payer)
            for event in payer.events():
                charge = event["data"]["object"]
                if charge["customer"] is not None:
                    # No gateway has it.
                    charge |= {"customer": None, "receipt_email": payer.email}
                await self._until_taken("webhook", partial(self._post, http, event))
            await self._read(http, payer)

    async def _post(self, http: httpx.AsyncClient, event: Event) -> httpx.Response:
        body = json.dumps(event).encode()
        url = self._url("/webhooks/stripe")
        return await http.post(url, content=body, headers=self.world.signed(body))

    async def _read(self, http: httpx.AsyncClient, payer: Payer) -> None:
        path = f"/users/{payer.user}/payment-status"
        token = self.world.token(payer.user, email=payer.email)
        await self._asked(http, "GET", path, token)

    async def _follow(self, http: httpx.AsyncClient) -> None:
        """Wait for changes again and again, as another service does."""
        token = self.world.token("app", scopes=[FEED_SCOPE])
        after = "0"
        while not self.stopped:
            path = f"/feed?after={quote(after)}&wait_s={WAIT_S}"
            page = await self._asked(http, "GET", path, token)
            after = page.json()["next"]
            self.pages += bool(page.json()["changes"])

    async def _buy(self, http: httpx.AsyncClient) -> None:
        """Let one user after the other add a card and subscribe."""
        while not self.stopped:
            # Without pauses they would exceed the gateway's limit.
            await databases.execute(
                self.world.database_url, "delete from gateway_budgets"
            )
            user = f"buyer-{next(self._numbers)}"
            self.sold_to.append(user)
            token = self.world.token(user, email=f"{user}@example.com")
            card, order = {"payment_method": "pm_card_visa"}, {"product": self.product}
            await self._asked(http, "PUT", f"/users/{user}/card", token, card)
            path = f"/users/{user}/subscriptions"
            await self._asked(http, "POST", path, token, order)
            await self._asked(http, "GET", f"/users/{user}/payment-status", token)

    async def _asked(  # what makes up a request
        self,
        http: httpx.AsyncClient,
        method: str,
        path: str,
        token: str,
        body: object = None,
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        if method == "POST":
            headers["Idempotency-Key"] = secrets.token_hex(16)

        async def ask() -> httpx.Response:
            return await http.request(
                method, self._url(path), json=body, headers=headers
            )

        return await self._until_taken(f"{method} {path.partition('?')[0]}", ask)

    async def _until_taken(
        self, what: str, ask: Callable[[], Awaitable[httpx.Response]]
    ) -> httpx.Response:
        is_again = False
        while len(self.failures) < FAILURES_MAX:
            began_s = time.monotonic()
            try:
                answer = await ask()
            except httpx.TransportError as error:
                self.failures.append(Failure(what, repr(error), began_s))
                is_again = True
                await anyio.sleep(COMES_BACK_S)
                continue
            if answer.is_success:
                self.answers[what.split("/", maxsplit=1)[0].strip()] += 1
                self.taken_s = time.monotonic()
                return answer
            # Its process is gone, and another one continues it when the lease ends.
            goes_on = is_again and "operation_in_progress" in answer.text
            is_again = True
            if not goes_on:
                self.failures.append(
                    Failure(what, answer.status_code, began_s, text=answer.text[:300])
                )
            # Nothing waits for it: a refused request is sent again later.
            said_s = float(answer.headers.get("retry-after", 0)) if goes_on else 0
            await anyio.sleep(max(said_s, COMES_BACK_S))
        raise AssertionError(f"too much fails: {self.failures[:3]}")

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{PREFIX}{path}"
