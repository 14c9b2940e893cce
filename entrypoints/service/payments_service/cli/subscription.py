"""Subscriptions: list a user's, start one, change one, cancel one."""

import json
from collections.abc import Callable
from typing import Any, Final

import click
import msgspec

from payments_core.intent import Intent, IntentState
from payments_core.subscription import Subscription
from payments_core.use_cases import (
    Change,
    ChangeSubscription,
    CheckChange,
    EndSubscription,
    ExecutedOperation,
    ExecuteOperation,
    GetAuthorizedAccount,
    Order,
    PreviewChange,
    ReadIntent,
    ReadSubscriptions,
    StartSubscription,
)
from payments_core.use_cases.subscriptions import is_ended, not_subscribed_to
from payments_service.cli import environment, subscription_links
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.table import show_table
from payments_service.container import Container
from payments_service.presentation.arguments import subscription_named, user_named
from payments_service.presentation.operations import intent_out
from payments_service.presentation.problems import problem_of
from payments_service.presentation.schemas import (
    PreviewOut,
    SubscribedOut,
    SubscriptionsOut,
)

_COLUMNS: Final = (
    *("id", "stripe_id", "status", "product", "price", "quantity", "paid_through"),
)
_EMPTY: Final = {"paid_through": "no paid invoice of it is known"}
_USER = click.argument("user", help="The user's id or e-mail.")
_SUBSCRIPTION = click.argument(
    "id_",
    metavar="SUBSCRIPTION",
    help="The subscription's id: ours (sub-…), or Stripe's (sub_…).",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Print what would be done.")
_DESPITE_DECLINES = click.option(
    "--despite-declines",
    is_flag=True,
    help="Continue although the user's cards were declined too often within an hour.",
)
_KEY = click.option("--key", help="An idempotency key, to repeat the command safely.")


@click.group()
def subscription() -> None:
    """Subscriptions: list those of a user; start, change, cancel or link one."""


for _command in subscription_links.COMMANDS:
    subscription.add_command(_command)


def _own(key: str | None) -> str | None:
    return key and f"command-line {key}"


async def _done(container: Container, executed: ExecutedOperation) -> Intent:
    """Wait until an operation has ended, and return it.

    Raises:
        PaymentsError: it was refused.
        CommandError: the gateway did not answer; the worker continues.
    """
    intent = executed.intent
    if intent.outcome is None:
        # It continues in the background of this process: wait for its end.
        await container[ExecuteOperation].drain()
        intent = await container[ReadIntent](intent.id, caller=environment.operator())
    if intent.outcome is None:
        raise CommandError(
            Exit.DEPENDENCY_DOWN,
            f"Stripe did not answer; the worker continues intent {intent.id}",
        )
    if intent.state is not IntentState.SUCCEEDED and intent.outcome.refusal:
        raise problem_of(intent.outcome.refusal)
    return intent


def _show(shown: Any, *, as_json: bool) -> None:  # JSON is anything
    plain = msgspec.to_builtins(shown)
    if as_json:
        click.echo(json.dumps(plain))
        return
    for name, value in plain.items():
        click.echo(f"{name}: {'-' if value is None else value}")


@subscription.command("list")
@_USER
@_JSON
def list_subscriptions(*, user: str, as_json: bool) -> None:
    """List the subscriptions of a user."""

    async def work() -> list[Subscription]:
        async with environment.opened() as container:
            return list(
                await container[ReadSubscriptions](
                    user_named(user), caller=environment.operator()
                )
            )

    found = environment.run(work())
    shown = msgspec.to_builtins(SubscriptionsOut.of(found))["items"]
    items = [
        {**item, "stripe_id": it.gateway_id}
        for item, it in zip(shown, found, strict=True)
    ]
    if as_json:
        click.echo(json.dumps({"items": items}))
        return
    show_table(_COLUMNS, items, nothing="no subscription is known", empty=_EMPTY)


@subscription.command()
@_USER
@click.option("--product", help="The product, at its default price.")
@click.option("--price", help="A price, instead of --product.")
@click.option("--quantity", default=1, show_default=True, help="The quantity.")
@click.option("--payment-method", help="A card; by default the user's default card.")
@click.option("--trial-days", type=int, help="Free days before the first payment.")
@_DESPITE_DECLINES
@_KEY
@_DRY_RUN
@_JSON
def start(
    *,
    user: str,
    despite_declines: bool,
    key: str | None,
    dry_run: bool,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Subscribe a user to a product."""
    order = Order(**wanted)

    async def work(container: Container) -> ExecutedOperation:
        return await container[StartSubscription](
            user_named(user),
            order,
            caller=environment.operator(),
            key=_own(key),
            despite_declines=despite_declines,
        )

    async def check(container: Container) -> None:
        operator = environment.operator()
        account = await container[GetAuthorizedAccount](
            user_named(user), caller=operator
        )
        price = await container[StartSubscription].price(
            product=order.product, price=order.price, caller=operator
        )
        not_subscribed_to(price.product)(account)

    words = f"would subscribe {user}"
    _operate(work, check, words, dry_run=dry_run, as_json=as_json)


@subscription.command()
@_USER
@_SUBSCRIPTION
@click.option("--product", help="Another product, at its default price.")
@click.option("--price", help="Another price, instead of --product.")
@click.option("--quantity", type=int, help="The new quantity.")
@click.option(
    "--cancel-at-period-end/--go-on",
    default=None,
    help="Cancel it at the end of the period, or undo that.",
)
@click.option(
    "--proration-date",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    help="The date that --dry-run printed, at most 600 s ago: the cost is as printed.",
)
@_DESPITE_DECLINES
@_KEY
@_DRY_RUN
@_JSON
def change(
    *,
    user: str,
    id_: str,
    despite_declines: bool,
    key: str | None,
    dry_run: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Change a subscription; --dry-run prints what it would cost."""
    wanted = Change(**fields)
    if dry_run and wanted.costs:
        _preview(user, id_, wanted, as_json=as_json)
        return

    async def work(container: Container) -> ExecutedOperation:
        return await container[ChangeSubscription](
            user_named(user),
            subscription_named(id_),
            wanted,
            caller=environment.operator(),
            key=_own(key),
            despite_declines=despite_declines,
        )

    async def check(container: Container) -> None:
        operator = environment.operator()
        account = await container[GetAuthorizedAccount](
            user_named(user), caller=operator
        )
        rule = container[CheckChange].rule(
            subscription_named(id_), wanted, None, caller=operator
        )
        rule(account)

    _operate(work, check, f"would change {id_}", dry_run=dry_run, as_json=as_json)


def _preview(user: str, id_: str, wanted: Change, *, as_json: bool) -> None:
    async def work() -> PreviewOut:
        async with environment.opened() as container:
            found = await container[PreviewChange](
                user_named(user),
                subscription_named(id_),
                wanted,
                caller=environment.operator(),
            )
        return PreviewOut.of(found)

    _show(environment.run(work()), as_json=as_json)


@subscription.command()
@_USER
@_SUBSCRIPTION
@click.option("--at-period-end", is_flag=True, help="At the end of the period.")
@_KEY
@_DRY_RUN
@_JSON
def cancel(
    *,
    user: str,
    id_: str,
    at_period_end: bool,
    key: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Cancel a subscription; a period that was paid for is kept."""

    async def work(container: Container) -> ExecutedOperation | Subscription:
        ended = await container[EndSubscription](
            user_named(user),
            subscription_named(id_),
            at_period_end=at_period_end,
            caller=environment.operator(),
            key=_own(key),
        )
        return ended.executed or ended.subscription

    async def check(container: Container) -> Subscription | None:
        found = await container[ReadSubscriptions].one(
            user_named(user), subscription_named(id_), caller=environment.operator()
        )
        return found if is_ended(found, at_period_end=at_period_end) else None

    _operate(work, check, f"would cancel {id_}", dry_run=dry_run, as_json=as_json)


def _operate(
    work: Callable[[Container], Any],
    check: Callable[[Container], Any],
    words: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run an operation and show its result; with `dry_run` check it, and print `words`.

    If nothing is left to do, both show the subscription as it is.
    """

    async def whole() -> Any:  # one of our shapes
        async with environment.opened() as container:
            found = await (check if dry_run else work)(container)
            if isinstance(found, Subscription):
                return SubscribedOut.of(found.report)
            if dry_run:
                return None
            return intent_out(await _done(container, found)).result

    shown = environment.run(whole())
    if dry_run and shown is None:
        click.echo(json.dumps({"would": words}) if as_json else words)
        return
    _show(shown, as_json=as_json)
