"""Accounts: who has paid, with what card, for which subscriptions."""

import json
from datetime import datetime

import click
import msgspec

from payments_core.use_cases import GetPaymentStatus
from payments_service.cli import environment
from payments_service.presentation.arguments import user_named
from payments_service.presentation.explanation import why_entitled
from payments_service.presentation.schemas import PaymentStatusOut

_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.group()
def account() -> None:
    """Accounts: who has paid, with what card, for which subscriptions."""


@account.command()
@click.argument("user", help="The user's id or e-mail.")
@_JSON
def show(*, user: str, as_json: bool) -> None:
    """Show what is known of a user, and why they have access."""

    async def work() -> tuple[PaymentStatusOut, datetime]:
        async with environment.opened() as container:
            status = container[GetPaymentStatus]
            view = await status(user_named(user), caller=environment.operator())
            return PaymentStatusOut.of(view), status.clock()

    found, now = environment.run(work())
    shown = msgspec.to_builtins(found)
    if as_json:
        click.echo(json.dumps(shown))
        return
    card, subscriptions = shown.pop("card"), shown.pop("subscriptions")
    for name, value in shown.items():
        click.echo(f"{name}: {'-' if value is None else value}")
        if name == "entitled":
            click.echo(f"why: {why_entitled(found, now)}")
    expiry = card and f"{card['exp_month']:02}/{card['exp_year']}"
    click.echo(
        f"card: {card['brand']} ending in {card['last4']}, {expiry}"
        if card
        else "card: -"
    )
    for it in subscriptions:
        click.echo(
            f"subscription: {it['id']}  {it['status']}"
            f"  {it['quantity']} x {it['price']}"
            f"  paid through {it['paid_through'] or '-'}"
        )
