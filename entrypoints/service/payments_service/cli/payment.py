"""Payments: show the owner of one, link it to a user by hand, unlink it."""

import click

from payments_core.identity import UserId
from payments_core.payment import PaymentId
from payments_core.use_cases import LinkPayment, ReadPaymentLink
from payments_core.use_cases.references import gateway_reference
from payments_service.cli import environment, filters
from payments_service.cli.links import plan_of, show_link
from payments_service.container import Container
from payments_service.presentation.schemas import PaymentLinkOut

_PAYMENT = click.argument(
    "id_", metavar="PAYMENT", help="The payment's id: the id of its charge (ch_…)."
)


@click.group()
def payment() -> None:
    """Payments: show the owner of one, link it to a user by hand, unlink it."""


def _id(text: str) -> PaymentId:
    return PaymentId(gateway_reference("payment", text))


@payment.command()
@_PAYMENT
@filters.JSON
def show(*, id_: str, as_json: bool) -> None:
    """Show the owner of a payment, and all decisions by hand about it."""

    async def work() -> PaymentLinkOut:
        async with environment.opened() as container:
            return await _read(container, _id(id_))

    show_link(environment.run(work()), as_json=as_json)


async def _read(container: Container, id_: PaymentId) -> PaymentLinkOut:
    read = container[ReadPaymentLink]
    return PaymentLinkOut.of(await read(id_, caller=environment.operator()))


@payment.command()
@_PAYMENT
@click.option("--user", required=True, help="The owner of the payment: id or e-mail.")
@filters.REASON
@filters.DRY_RUN
@filters.JSON
def link(*, id_: str, user: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Link a payment to a user.

    From then on nothing else changes its owner. A payment that was never stored,
    because its events conflict, is fetched from Stripe.
    """
    environment.run(_decide(id_, user, reason, dry_run, as_json))


@payment.command()
@_PAYMENT
@filters.REASON
@filters.DRY_RUN
@filters.JSON
def unlink(*, id_: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Unlink a payment from its user, if it has one.

    It stays unlinked until it is linked by hand. This works also for a payment that
    Stripe does not have: `payments reconcile` then no longer reports it.
    """
    environment.run(_decide(id_, None, reason, dry_run, as_json))


async def _decide(
    id_: str,
    user: str | None,
    reason: str,
    dry_run: bool,  # noqa: FBT001  # handed on
    as_json: bool,  # noqa: FBT001  # handed on
) -> None:
    payment_id = _id(id_)
    async with environment.opened() as container:
        owner = None if user is None else await environment.named(container, user)
        if dry_run:
            click.echo(await _plan(container, payment_id, owner))
            return
        decide = container[LinkPayment]
        done = await decide(payment_id, owner, reason, caller=environment.operator())
        show_link(PaymentLinkOut.of(done), as_json=as_json)


async def _plan(container: Container, id_: PaymentId, user: UserId | None) -> str:
    """Say what would be done.

    Raises:
        PaymentNotFound, PaymentLinked, GatewayUnavailable: see `LinkPayment.check`.
    """
    check = container[LinkPayment].check
    link = await check(id_, user, caller=environment.operator())
    if link is None:
        return f"{id_} would be fetched from Stripe, and linked to {user}"
    return plan_of(id_, user, link.record)
