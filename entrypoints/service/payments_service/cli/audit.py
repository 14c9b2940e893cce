"""The audit log: what was done by hand, by whom, when and why."""

import json
from datetime import datetime
from typing import Final

import click

from payments_core.by_hand import ActionByHand, AuditPage, LoggedChange
from payments_core.erasure import PSEUDONYM
from payments_core.identity import UserId
from payments_core.use_cases import ReadAuditLog
from payments_service.cli import environment, filters
from payments_service.cli.table import show_table
from payments_service.container import Container
from payments_service.presentation.arguments import decode_audit_cursor, encode_cursor
from payments_service.presentation.moments import moment_text

_COLUMNS: Final = ("at", "by", "action", "subject", "user_id", "reason")
_EMPTY: Final = {"user_id": "no user, or not known", "reason": "none was given"}


@click.group()
def audit() -> None:
    """Read the audit log: what was done by hand, by whom, when and why.

    Each action is saved together with its effect, and stored permanently.
    """


@audit.command("list")
@click.option(
    "--subject",
    help="Only what was done to this: the id of an event, a payment, a subscription, "
    "a customer or a job.",
)
@click.option(
    "--user",
    help="Only what was done for this user: id or e-mail, or the pseudonym of an "
    "erased user. An action on an event by its id has no user.",
)
@click.option(
    "--action",
    type=click.Choice([it.value for it in ActionByHand]),
    help="Only this action.",
)
@filters.since("done")
@filters.limit(1_000)
@filters.CURSOR
@filters.JSON
def list_changes(
    *,
    subject: str | None,
    user: str | None,
    action: str | None,
    since: datetime | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List what was done by hand, the latest first."""
    after = decode_audit_cursor(cursor)

    async def work() -> AuditPage:
        async with environment.opened() as container:
            filters.not_in_the_future(since, container.clock())
            whose = None if user is None else await _whose(container, user)
            return await container[ReadAuditLog](
                subject=subject,
                user_id=whose,
                action=ActionByHand(action) if action else None,
                since=since,
                limit=limit,
                after=after,
                caller=environment.operator(),
            )

    page = environment.run(work())
    rows = [_facts(it) for it in page.changes]
    following = encode_cursor(page.after)
    if as_json:
        click.echo(json.dumps({"items": rows, "next_cursor": following}))
        return
    show_table(_COLUMNS, rows, nothing="no such change by hand", empty=_EMPTY)
    if following:
        click.echo(f"more: --cursor {following}", err=True)


async def _whose(container: Container, user: str) -> UserId:
    """Return the user id to filter by, or the pseudonym of an erased user."""
    if user.startswith(PSEUDONYM):
        return UserId(user)
    return await environment.named(container, user)


def _facts(logged: LoggedChange) -> dict[str, object]:
    change = logged.change
    return {
        "at": moment_text(logged.at.replace(microsecond=0)),
        "by": change.decided.by,
        "action": change.action.value,
        "subject": change.subject,
        "event_type": change.event_type,
        "user_id": change.user_id,
        "instead_of": change.instead_of,
        "reason": change.decided.reason or None,
    }
