"""A year of one user, simulated in seconds: only Stripe is fake, the rest is real."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import click
import httpx

from payments_core.months import months_after
from payments_sandbox.cli.client import SandboxClient
from payments_sandbox.periods import moment
from payments_service.clocks import utc_now
from payments_service.dev.sandbox import as_ours
from payments_service.presentation import PREFIX

USER: Final = "alice"
EMAIL: Final = "alice@example.com"
PRODUCT: Final = "prod_basic"
RENEWALS: Final = 11
FAILING_MONTH: Final = 7
MONTHS: Final = RENEWALS + 1
# An operation at Stripe is answered within eight seconds.
TIMEOUT_S: Final = 20.0
# A renewal is collected an hour after its period began.
_COLLECTED: Final = timedelta(hours=2)


def beginning() -> datetime:
    """Return the start of the year, so that it ends today."""
    return months_after(utc_now().replace(microsecond=0), -MONTHS)


@attrs.frozen
class _Row:
    """What happened on a day, and what the service answered then."""

    day: str
    happened: str
    status: str
    paid_until: str
    access: str
    why: str


@attrs.define
class _Teller:
    """Makes things happen at the sandbox, and requests the status after each."""

    sandbox: SandboxClient
    service: httpx.Client
    start: datetime
    # Whether a signal arrived.
    told: Callable[[], bool]
    customer: str = ""
    card: str = ""
    subscription: str = ""

    def register(self) -> None:
        self._ask("PUT", "", {"email": EMAIL})
        self.tell("registered")

    def subscribe(self) -> None:
        """Give her a card and a subscription, as an app would."""
        self._ask("PUT", "/card", {"payment_method": "pm_card_visa"})
        made = self._ask("POST", "/subscriptions", {"product": PRODUCT})
        self.subscription = made["id"]
        [customer] = self.sandbox.get("customers", email=EMAIL)["data"]
        self.customer = customer["id"]
        self.card = customer["invoice_settings"]["default_payment_method"]
        self.tell("subscribed")

    def renew(self, month: int) -> None:
        self._go_to(months_after(self.start, month) + _COLLECTED)
        self.tell(f"renewal {month}")

    def fail(self, month: int) -> None:
        """Make the card fail in this month, and Stripe's retry succeed."""
        self._set_card("insufficient_funds")
        self._go_to(months_after(self.start, month) + _COLLECTED)
        self.tell(f"renewal {month}: the card fails")
        self._set_card(None)
        [invoice] = self.sandbox.get("invoices", customer=self.customer, limit=1)[
            "data"
        ]
        self._go_to(moment(invoice["next_payment_attempt"]))
        self.tell("Stripe retries: recovered")

    def cancel(self) -> None:
        self._ask("DELETE", f"/subscriptions/{self.subscription}")
        self.tell("canceled")
        self._go_to(months_after(self.start, MONTHS))
        self.tell("a month later")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:  # JSON is anything
        answer = self.service.request(method, f"/users/{USER}{path}", json=body)
        return answer.raise_for_status().json()

    def _set_card(self, declines: str | None) -> None:
        self.sandbox.do("card", payment_method=self.card, declines=declines)

    def _go_to(self, then: datetime) -> None:
        self.sandbox.do("advance", until=int(then.timestamp()))

    def tell(self, happened: str) -> None:
        # Waits for the deliveries; no other time passes.
        now = self.sandbox.do("advance", until="0 seconds")["now"]
        answer = self.service.get(f"/users/{USER}/payment-status").raise_for_status()
        status: dict[str, Any] = answer.json()
        _print(
            _Row(
                f"{moment(now):%Y-%m-%d}",
                happened,
                status["payment_status"],
                (status["payment_expire_date"] or "-")[:10],
                "yes" if status["entitled"] else "no",
                self._why(),
            )
        )
        if self.told():
            raise _Enough

    def _why(self) -> str:
        """Return the latest charge: what the status was derived from."""
        if not self.customer:
            return "no payment yet"
        charges = self.sandbox.get("charges", customer=self.customer, limit=1)["data"]
        charge = charges[0]
        reason = f" ({charge['outcome']['reason']})" if charge["failure_code"] else ""
        return f"{charge['id']} {charge['status']}{reason}"


class _Enough(Exception):  # noqa: N818  # nothing is wrong
    """A signal stopped the demo."""


def play(facts: Mapping[str, str], told: Callable[[], bool]) -> None:
    """Subscribe, renew eleven times, fail in month seven, recover, cancel.

    Each step prints a line when it is done; `told` stops it after a step.
    """
    _print(_Row("day", "what happened", "status", "paid until", "access", "why"))
    with suppress(_Enough), as_ours(), _teller(facts, told) as teller:
        teller.register()
        teller.subscribe()
        for month in range(1, RENEWALS + 1):
            if month == FAILING_MONTH:
                teller.fail(month)
            else:
                teller.renew(month)
        teller.cancel()


@contextmanager
def _teller(facts: Mapping[str, str], told: Callable[[], bool]) -> Iterator[_Teller]:
    sandbox = SandboxClient(facts["sandbox_url"], facts["stripe_api_key"])
    with httpx.Client(
        base_url=facts["base_url"] + PREFIX,
        timeout=TIMEOUT_S,
        trust_env=False,
        headers={"Authorization": f"Bearer {facts['admin_token']}"},
    ) as service:
        yield _Teller(sandbox, service, moment(sandbox.ask("state")["now"]), told)


def _print(row: _Row) -> None:
    click.echo(
        f"{row.day:<10}  {row.happened:<30} {row.status:<8} {row.paid_until:<12} "
        f"{row.access:<7} {row.why}"
    )
