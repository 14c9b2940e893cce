"""The owner of a subscription, by hand: show it, link it to a user, unlink it."""

from typing import Final

import click

from payments_core.errors import InvalidValue
from payments_core.identity import UserId
from payments_core.use_cases import LinkSubscription
from payments_core.use_cases.references import gateway_reference
from payments_service.cli import environment, filters
from payments_service.cli.links import plan_of, show_link
from payments_service.container import Container
from payments_service.presentation.schemas import SubscriptionLinkOut

_SUBSCRIPTION: Final = click.argument(
    "id_", metavar="SUBSCRIPTION", help="The subscription's id at Stripe (sub_…)."
)


def _id(text: str) -> str:
    """Read the gateway's id: it cannot be derived from ours.

    Raises:
        InvalidValue: the text is not an id of the gateway.
    """
    if text.startswith("sub-"):
        raise InvalidValue(
            "subscription",
            "our id, not Stripe's (sub_…): `payments subscription list USER` lists "
            "both; `payments audit list --action unlink_subscription` lists those "
            "without a user",
        )
    return gateway_reference("subscription", text)


@click.command()
@_SUBSCRIPTION
@filters.JSON
def show(*, id_: str, as_json: bool) -> None:
    """Show the owner of a subscription, and all decisions by hand."""
    gateway_id = _id(id_)

    async def work() -> SubscriptionLinkOut:
        async with environment.opened() as container:
            read = container[LinkSubscription].read
            caller = environment.operator()
            return SubscriptionLinkOut.of(await read(gateway_id, caller=caller))

    show_link(environment.run(work()), as_json=as_json)


@click.command()
@_SUBSCRIPTION
@click.option(
    "--user", required=True, help="The owner of the subscription: id or e-mail."
)
@filters.REASON
@filters.DRY_RUN
@filters.JSON
def link(*, id_: str, user: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Link a subscription to a user.

    From then on nothing else changes its owner. A subscription that was never stored,
    because its events conflict, is fetched from Stripe.
    """
    environment.run(_decide(id_, user, reason, dry_run, as_json))


@click.command()
@_SUBSCRIPTION
@filters.REASON
@filters.DRY_RUN
@filters.JSON
def unlink(*, id_: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Unlink a subscription from its user, if it has one.

    The periods that it paid for go with it. It stays unlinked until it is linked by
    hand. This works also for a subscription that Stripe does not have: `payments
    reconcile` then no longer reports it.
    """
    environment.run(_decide(id_, None, reason, dry_run, as_json))


async def _decide(
    id_: str,
    user: str | None,
    reason: str,
    dry_run: bool,  # noqa: FBT001  # handed on
    as_json: bool,  # noqa: FBT001  # handed on
) -> None:
    gateway_id = _id(id_)
    caller = environment.operator()
    async with environment.opened() as container:
        owner = None if user is None else await environment.named(container, user)
        if dry_run:
            click.echo(await _plan(container, gateway_id, owner))
            return
        decide = container[LinkSubscription]
        done = await decide(gateway_id, owner, reason, caller=caller)
        show_link(SubscriptionLinkOut.of(done), as_json=as_json)


async def _plan(container: Container, id_: str, user: UserId | None) -> str:
    """Say what would be done.

    Raises:
        SubscriptionNotFound, SubscriptionLinked, GatewayUnavailable: see
            `LinkSubscription.check`.
    """
    check = container[LinkSubscription].check
    link = await check(id_, user, caller=environment.operator())
    if link is None:
        return f"{id_} would be fetched from Stripe, and linked to {user}"
    return plan_of(id_, user, link.subscription)


COMMANDS: Final = (show, link, unlink)
