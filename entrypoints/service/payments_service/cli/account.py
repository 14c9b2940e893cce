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
    """Reports on stderr how far an erasure is, and what an interrupted one left."""

    def __init__(self) -> None:
        self.is_begun = False

    @override
    def begun(self, wait_s: float) -> None:
        self.is_begun = True
        click.echo(
            f"all but the events is erased; they are searched in {wait_s:.0f} s, after "
            "events that are being recorded are complete",
            err=True,
        )

    @override
    def settled(self) -> None:
        click.echo("searching the events", err=True)

    def say_stopped(self) -> None:
        if self.is_begun:
            click.echo(
                "stopped before the end: events may still name the user. Run the "
                "command again to continue",
                err=True,
            )


# After an erasure a process without the key can record nothing: it cannot tell which
# facts are about an erased user.
_FIRST: Final = """\
no user was erased from this database yet. After the first erasure a process without
PAYMENTS_ERASURE_KEY does not start, and a running one records no webhook. Therefore:
1. create the key, once, and store it like your backups: openssl rand -base64 32
2. set the same PAYMENTS_ERASURE_KEY for every `serve` and `worker`; restart them
3. run this command again, with --first"""
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.group()
def account() -> None:
    """Accounts: who has paid, with what card, for which subscriptions."""


account.add_command(import_)
account.add_command(list_users)


@account.command()
@click.argument("user", help="The user's id or e-mail.")
@click.argument("customer", help="The customer's id at Stripe (cus_…).")
@click.option(
    "--reason", help="Why it replaces the present customer; stored permanently."
)
@click.option("--dry-run", is_flag=True, help="Print what would be done.")
@_JSON
def bind(
    *, user: str, customer: str, reason: str | None, dry_run: bool, as_json: bool
) -> None:
    """Bind a Stripe customer to a user.

    With --reason it replaces the customer that is bound now. All subscriptions of that
    customer must have ended.
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
                    f"{known.user_id}: {before} -> {wanted}, if it exists at Stripe and"
                    " can be bound to this user"
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
    """Show what is known about a user, and why they have access or not."""

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
    """Write all data that is stored about a user, as JSON.

    Each row of each table that is about the user goes to stdout: one row per line, or
    one document with --json. docs/retention.md lists the tables. Events include their
    bodies if these are still stored. The command reads all events, which takes minutes
    if there are many.
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
            # Written row by row, because there may be many events.
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
    "--reason",
    required=True,
    help="Why: 1 to 500 characters, stored; must not identify the user.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print what prevents the erasure, if anything."
)
@click.option(
    "--first",
    "is_first_allowed",
    is_flag=True,
    # A variable that is set once for all commands must not confirm this.
    allow_from_autoenv=False,
    help="Confirm that every process has PAYMENTS_ERASURE_KEY, and erase the first "
    "user. Cannot be set by an environment variable.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--settle",
    "settled_s",
    type=filters.SETTLE,
    default=SETTLED_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait before events are searched, so that those being recorded "
    "are complete.",
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
    """Erase a user permanently.

    Payments, paid periods and the log of the account stay, with amounts and times,
    under a pseudonym. All other data of the user is deleted: docs/retention.md lists
    it. Later events about the user are ignored. Nothing is changed at Stripe: delete
    the customer there as well. The erasure is refused while the user has an open
    subscription, operation, payment or dispute. If it is interrupted, run the command
    again to continue.
    """
    named, caller, progress = user_named(user), environment.operator(), _Progress()
    by_hand = ByHand.of(caller.user_id, reason)

    async def look() -> list[str]:
        async with environment.opened() as container:
            it = container[EraseAccount]
            try:
                whose, found = await it.what_is_open(named, caller=caller)
            except AccountErased as error:
                text = "this user was already erased: there is nothing left to do"
                raise CommandError(Exit.REFUSED, text) from error
            is_first = not await it.erasures.is_any()
        if found:
            raise AccountInUse(found)
        if is_first and not is_first_allowed:
            stands = f"{whose} has nothing open, but " if dry_run else ""
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
        click.confirm(f"erase {whose} permanently?", abort=True, err=True)
    with told_if_cut_off(progress.say_stopped):
        erased = environment.run(work())
    done = {"pseudonym": erased.pseudonym, "events": erased.events, "erased": True}
    click.echo(
        json.dumps(done)
        if as_json
        else f"erased; remaining data is under {erased.pseudonym} "
        f"({erased.events} events)"
    )
