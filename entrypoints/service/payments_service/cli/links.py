"""What the commands print about a link by hand, of a payment or a subscription."""

import json
from typing import Final

import click
import msgspec

from payments_core.identity import UserId
from payments_core.payment import PaymentRecord
from payments_core.subscription import Subscription
from payments_service.cli.table import show_table

_COLUMNS: Final = ("at", "action", "user_id", "by", "reason")


def show_link(link: msgspec.Struct, *, as_json: bool) -> None:
    """Show who owns a thing, and below it what was `decided` about that by hand."""
    shown = msgspec.to_builtins(link)
    if as_json:
        click.echo(json.dumps(shown))
        return
    decided = shown.pop("decided")
    for name, value in shown.items():
        click.echo(f"{name}: {'-' if value is None else value}")
    show_table(_COLUMNS, decided, nothing="nothing was decided by hand", empty={})


def plan_of(id_: str, user: UserId | None, kept: PaymentRecord | Subscription) -> str:
    """Say what linking or unlinking a stored thing would do."""
    if user is not None:
        return f"{id_} would be linked to {user}"
    if kept.unlinked_by_hand:
        return f"{id_} is already unlinked by hand"
    if kept.user_id is None:
        return f"{id_} would stay unlinked, also if its user registers"
    return f"{id_} would be unlinked from {kept.user_id}"
