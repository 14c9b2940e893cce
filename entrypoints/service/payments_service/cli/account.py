"""Accounts: who has paid, with what card, for which subscriptions."""

import json
from datetime import datetime
from typing import Final

import click
import msgspec
from typing_extensions import override

from payments_adapters.postgres.personal_data import AccountExport
from payments_core.by_hand import ByHand
from payments_core.errors import AccountErased, AccountInUse
from payments_core.identity import customer_id
from payments_core.use_cases import (
    EraseAccount,
    GetAuthorizedAccount,
    GetPaymentStatus,
    PaymentStatusView,
    RegisterCustomer,
)
from payments_core.use_cases.erasures import SETTLED_S, Erased, ErasureListener
from payments_service.cli import environment, filters
from payments_service.cli.account_import import import_
from payments_service.cli.account_list import list_users
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.progress import told_if_cut_off
from payments_service.presentation.arguments import user_named
from payments_service.presentation.explanation import why_entitled
from payments_service.presentation.schemas import PaymentStatusOut


class _Progress(ErasureListener):
    """Says on stderr how far an erasure is, and what is left of one cut off."""

    def __init__(self) -> None:
        self.is_begun = False

    @override
    def begun(self, wait_s: float) -> None:
        self.is_begun = True
        click.echo(
            f"all but the events is erased; they are looked through in {wait_s:.0f} s: "
            "what is being recorded ends first",
            err=True,
        )

    @override
    def settled(self) -> None:
        click.echo("looking through the events", err=True)

    def say_stopped(self) -> None:
        if self.is_begun:
            click.echo(
                "stopped before its end: events may still name the user. Run it again, "
                "it goes on",
                err=True,
            )


# A process that lacks the key then can record nothing: what is an erased user's it
# cannot tell.
_FIRST: Final = """\
nobody was erased from this database yet. From the first erasure on nothing that lacks
its PAYMENTS_ERASURE_KEY works: no webhook is recorded, no process starts. Therefore:
1. make the key, once, and keep it as you keep backups: openssl rand -base64 32
2. give the same PAYMENTS_ERASURE_KEY to every `serve` and `worker`, and restart them
3. run this again, with --first"""
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.group()
def account() -> None:
    """Accounts: who has paid, with what card, for which subscriptions."""


account.add_command(import_)
account.add_command(list_users)


@account.command()
@click.argument("user", help="The user's id or e-mail.")
@click.argument("customer", help="The customer's id at Stripe (cus_…).")
@click.option("--reason", help="Why it takes another one's place; kept for good.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@_JSON
def bind(
    *, user: str, customer: str, reason: str | None, dry_run: bool, as_json: bool
) -> None:
    """Bind a Stripe customer to a user.

    With a reason it takes another one's place, which must have no subscription that
    is not over.
    """

    async def work() -> None:
        caller, wanted = environment.operator(), customer_id(customer)
        by_hand = ByHand.of(caller.user_id, reason) if reason is not None else None
        async with environment.opened() as container:
            status = container[GetPaymentStatus]
            known = (await status(user_named(user), caller=caller)).account
            before = known.customer_id or "no customer"
            if dry_run:
                click.echo(
                    f"{known.user_id}: {before} -> {wanted}, if it is there at Stripe"
                    " and may be theirs"
                )
                return
            register = container[RegisterCustomer]
            await register(known.user_id, known.email, wanted, by_hand)
        done = {"user_id": known.user_id, "customer_id": wanted}
        click.echo(json.dumps(done) if as_json else f"{known.user_id}: {wanted}")

    environment.run(work())


@account.command()
@click.argument("user", help="The user's id or e-mail.")
@_JSON
def show(*, user: str, as_json: bool) -> None:
    """Show what is known of a user, and why they have access."""

    async def work() -> tuple[PaymentStatusView, datetime]:
        async with environment.opened() as container:
            status = container[GetPaymentStatus]
            view = await status(user_named(user), caller=environment.operator())
            return view, status.clock()

    view, now = environment.run(work())
    found = PaymentStatusOut.of(view)
    shown = {**msgspec.to_builtins(found), "customer_id": view.account.customer_id}
    for item, it in zip(
        shown["subscriptions"], view.account.subscriptions, strict=True
    ):
        item["stripe_id"] = it.gateway_id
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
            f"subscription: {it['id']}  {it['stripe_id']}  {it['status']}"
            f"  {it['quantity']} x {it['price']}"
            f"  paid through {it['paid_through'] or '-'}"
        )


@account.command()
@click.argument("user", help="The user's id or e-mail.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def export(*, user: str, as_json: bool) -> None:
    """Write all that is kept of a user, as JSON.

    On stdout, each row of each table that is about them: a row a line, or with --json
    one document. What is where says docs/retention.md. Events come with their bodies,
    as far as these are kept. All events are read for it, which takes minutes where
    there are many.
    """

    async def work() -> None:
        async with environment.opened() as container:
            find, caller = container[GetAuthorizedAccount], environment.operator()
            known = await find(user_named(user), caller=caller)
            rows = container[AccountExport](known.user_id)
            if not as_json:
                async for table, row in rows:
                    click.echo(json.dumps({"table": table, "row": row}))
                return
            # Written as it is read: events may be many.
            click.echo(f'{{"user_id": {json.dumps(known.user_id)}, "rows": [', nl=False)
            before = ""
            async for table, row in rows:
                told = json.dumps({"table": table, "row": row})
                click.echo(f"{before}{told}", nl=False)
                before = ",\n"
            click.echo("]}")

    environment.run(work())


@account.command()
@click.argument("user", help="The user's id or e-mail.")
@click.option(
    "--reason", required=True, help="Why: 1 to 500 characters, kept; not who it is."
)
@click.option(
    "--dry-run", is_flag=True, help="Say what stands against it, if anything."
)
@click.option(
    "--first",
    "is_first_allowed",
    is_flag=True,
    # What is said once for all commands must not say it.
    allow_from_autoenv=False,
    help="Every process has PAYMENTS_ERASURE_KEY: the first user may be erased. No "
    "variable says so.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether to do it.")
@click.option(
    "--settle",
    "settled_s",
    type=filters.SETTLE,
    default=SETTLED_S,
    show_default=True,
    metavar="SECONDS",
    help="After how long events are looked through: what was being recorded has ended.",
)
@_JSON
def erase(
    *,
    user: str,
    reason: str,
    dry_run: bool,
    is_first_allowed: bool,
    yes: bool,
    settled_s: float,
    as_json: bool,
) -> None:
    """Erase a user, for good.

    Payments, paid periods and the log of the account stay, with amounts and times, as
    a pseudonym's. All else of the user goes: docs/retention.md says what. What is heard
    of them later is ignored. Nothing is done at Stripe: the customer has to be deleted
    there besides. It is refused while a subscription, an operation, a payment or a
    dispute of theirs is open. Cut off, it goes on when it is asked for again.
    """
    named, caller, progress = user_named(user), environment.operator(), _Progress()
    by_hand = ByHand.of(caller.user_id, reason)

    async def look() -> list[str]:
        async with environment.opened() as container:
            it = container[EraseAccount]
            try:
                whose, found = await it.what_is_open(named, caller=caller)
            except AccountErased as error:
                text = "this user was already erased: nothing is left to do"
                raise CommandError(Exit.REFUSED, text) from error
            is_first = not await it.erasures.is_any()
        if found:
            raise AccountInUse(found)
        if is_first and not is_first_allowed:
            stands = f"nothing of {whose} stands against it, but " if dry_run else ""
            raise CommandError(Exit.REFUSED, f"{stands}{_FIRST}")
        return [whose]

    async def work() -> Erased:
        async with environment.opened() as container:
            it = container[EraseAccount]
            return await it(
                named, by_hand, caller=caller, settled_s=settled_s, listener=progress
            )

    (whose,) = environment.run(look())
    if dry_run:
        done: dict[str, object] = {"user_id": whose, "erased": False}
        click.echo(json.dumps(done) if as_json else f"{whose} would be erased")
        return
    if not yes:
        click.confirm(f"erase {whose} for good?", abort=True, err=True)
    with told_if_cut_off(progress.say_stopped):
        erased = environment.run(work())
    done = {"pseudonym": erased.pseudonym, "events": erased.events, "erased": True}
    click.echo(
        json.dumps(done)
        if as_json
        else f"erased; what is left is {erased.pseudonym}'s ({erased.events} events)"
    )
