"""Bearer tokens: issue for development, invalidate, list; keys of access passes."""

import json
import os
import uuid
from datetime import datetime, timedelta
from typing import IO, Any, Final

import click
from typing_extensions import override

from payments_adapters.emails import read_email
from payments_adapters.jwt import KeySet, add_pass_key, issue
from payments_adapters.jwt.keys import KEY_SET_BYTES_MAX
from payments_core.caller import ADMIN_SCOPE, FEED_SCOPE, READ_SCOPE
from payments_core.errors import InvalidValue
from payments_core.identity import Email, UserId, user_id
from payments_core.use_cases import (
    InvalidateAllTokens,
    InvalidateToken,
    InvalidateUserTokens,
    ListInvalidatedTokens,
)
from payments_service.cli import environment, filters
from payments_service.cli.dev_folder import JWT_AUDIENCE, JWT_ISSUER, DevFolder
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.table import show_table
from payments_service.clocks import utc_now
from payments_service.presentation.arguments import (
    decode_cursor,
    encode_cursor,
    user_named,
)
from payments_service.presentation.moments import moment_text

_NOW: Final = "NOW"
_COLUMNS: Final = ("issuer", "jti", "user_id", "expires_at", "invalidated_at")
_EMPTY: Final = {"user_id": "invalidated by its issuer and jti alone"}
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Print what would be done.")


@click.group()
def token() -> None:
    """Bearer tokens: issue for development, invalidate, list; keys of access passes."""


def admin_token(folder: DevFolder, lifetime: timedelta) -> str:
    """Return a token with administrator rights for a development service."""
    return _issued(folder, UserId("admin"), None, (ADMIN_SCOPE,), lifetime)


def _issued(
    folder: DevFolder,
    user: UserId,
    email: Email | None,
    scopes: tuple[str, ...],
    lifetime: timedelta,
) -> str:
    return issue(
        KeySet.from_jwks(folder.jwks()),
        issuer=JWT_ISSUER,
        audience=JWT_AUDIENCE,
        user_id=user,
        email=email,
        scopes=scopes,
        at=utc_now(),
        lifetime=lifetime,
        jti=uuid.uuid4().hex,
    )


@token.command("issue")
@click.option("--user", required=True, help="The user's id; becomes `sub`.")
@click.option("--email", help="Lets the user's first call register it.")
@click.option("--admin", is_flag=True, help=f"Add the scope {ADMIN_SCOPE}.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([READ_SCOPE, FEED_SCOPE]),
    help="Add this scope; can be repeated.",
)
@click.option(
    "--lifetime",
    default=3600,
    show_default=True,
    type=click.IntRange(1, 86_400),
    help="Seconds.",
)
@_JSON
def issue_token(
    *,
    user: str,
    email: str | None,
    admin: bool,
    scopes: tuple[str, ...],
    lifetime: int,
    as_json: bool,
) -> None:
    """Issue a token with the development key.

    In production the users micro-service issues them.
    """
    if os.environ.get("PAYMENTS_ENV", "development") != "development":
        raise CommandError(
            Exit.REFUSED,
            "tokens are issued by the users micro-service; this command signs with "
            "the development key only",
        )
    folder = DevFolder.of(os.environ)
    folder.running()
    text = _issued(
        folder,
        user_id(user),
        read_email(email) if email else None,
        (*scopes, ADMIN_SCOPE) if admin else scopes,
        timedelta(seconds=lifetime),
    )
    click.echo(json.dumps({"token": text}) if as_json else text)


class _IssuedBefore(click.ParamType[datetime | str]):
    name = "when"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | str:
        # NOW is resolved at execution, because a confirmation may come first.
        if isinstance(value, str) and value.upper() == _NOW:
            return _NOW
        return filters.MOMENT.convert(value, param, ctx)


@token.command()
@click.argument(
    "text", required=False, metavar="[TOKEN]", help="The token itself, if it is valid."
)
@click.option(
    "--user", help="All tokens of this user (id or e-mail) that were issued until now."
)
@click.option(
    "--all",
    "everybodys",
    is_flag=True,
    help="With --issued-before: the tokens of all users, as after a restored backup.",
)
@click.option(
    "--issued-before",
    type=_IssuedBefore(),
    metavar="WHEN",
    help="With --user or --all: those issued until then: NOW or a time (ISO 8601, "
    "UTC).",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--issuer",
    help="With --jti and --expires-at: the issuer of one token; a configured issuer.",
)
@click.option("--jti", help="The id of that token: its claim `jti`.")
@click.option(
    "--expires-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    help="When that token expires: its claim `exp`. The revocation is stored at least "
    "as long as a token issued now can be valid.",
)
@_DRY_RUN
@_JSON
def invalidate(
    *,
    text: str | None,
    user: str | None,
    everybodys: bool,
    issued_before: datetime | str | None,
    yes: bool,
    issuer: str | None,
    jti: str | None,
    expires_at: datetime | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Invalidate one token, all tokens of a user, or of all users.

    When the command returns, every process refuses them.
    """
    name = (issuer, jti, expires_at)
    ways = [text is not None, user is not None, everybodys, any(name)]
    if ways.count(True) != 1 or (any(name) and not all(name)):
        raise click.UsageError(
            "give a TOKEN, or --user, or --issuer --jti --expires-at, or --all "
            "--issued-before"
        )
    if everybodys and issued_before is None:
        raise click.UsageError("--all needs --issued-before: NOW, or a time")
    if issued_before is not None and not (everybodys or user is not None):
        raise click.UsageError("--issued-before needs --all or --user")
    if everybodys or user is not None:
        until = _not_in_the_future(issued_before)
        if everybodys and not (yes or dry_run):
            _confirm_all(until)
        work = _invalidate_many(user, until, dry_run=dry_run)
    elif issuer and jti and expires_at:
        work = _invalidate_named(issuer, jti, expires_at, dry_run=dry_run)
    else:
        work = _invalidate_text(text or "", dry_run=dry_run)
    facts = environment.run(work)
    click.echo(
        json.dumps(facts)
        if as_json
        else "\n".join(f"{name}: {value}" for name, value in facts.items())
    )


def _not_in_the_future(given: datetime | str | None) -> datetime | None:
    """Return the time that was given; None means now."""
    if not isinstance(given, datetime):
        return None
    if given > utc_now():
        raise InvalidValue("issued_before", "a time in the future")
    return given


def _confirm_all(until: datetime | None) -> None:
    when = "now" if until is None else moment_text(until)
    question = f"invalidate the tokens of all users that were issued until {when}?"
    click.confirm(question, abort=True, err=True)


async def _invalidate_many(
    user: str | None, until: datetime | None, *, dry_run: bool
) -> dict[str, object]:
    """Invalidate all tokens of a user, or of all users."""
    named = None if user is None else user_named(user)
    caller = environment.operator()
    async with environment.opened() as container:
        if dry_run:
            return {"would_invalidate_until": moment_text(until or utc_now())}
        if named is None:
            end = container[InvalidateAllTokens]
            at = await end(issued_before=until, caller=caller)
            return {"invalidated_until": moment_text(at)}
        end_users = container[InvalidateUserTokens]
        if not (isinstance(named, Email) or await end_users.is_known(named)):
            click.echo(
                f"the user {named} has no account: noted anyway, because tokens may "
                "exist",
                err=True,
            )
        done = await end_users(named, issued_before=until, caller=caller)
    return {"user_id": done.user_id, "invalidated_until": moment_text(done.at)}


async def _invalidate_text(text: str, *, dry_run: bool) -> dict[str, object]:
    async with environment.opened(serves=True) as container:
        if dry_run:
            return {"would_invalidate": True}
        end = container[InvalidateToken]
        if not await end(text, caller=environment.operator()):
            # HTTP does not tell a caller this, but an operator must know.
            raise CommandError(
                Exit.NOT_FOUND,
                "this is not a token that is valid now: nothing was invalidated",
            )
    return {"invalidated": True}


async def _invalidate_named(
    issuer: str, jti: str, expires_at: datetime, *, dry_run: bool
) -> dict[str, object]:
    async with environment.opened() as container:
        _require_our_issuer(issuer)
        if dry_run:
            return {"would_invalidate": True}
        end = container[InvalidateToken]
        await end.by_id(issuer, jti, expires_at, caller=environment.operator())
    return {"invalidated": True}


def _require_our_issuer(issuer: str) -> None:
    """Refuse an issuer that is not configured: it is mistyped."""
    settings = environment.settings(serves=False)
    ours = [it for it in (settings.jwt_issuer, settings.kubernetes_issuer) if it]
    if issuer not in ours:
        raise click.UsageError(f"--issuer: not one of {', '.join(ours)}")


@token.command("list")
@click.option(
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="The maximum number of items.",
)
@click.option("--cursor", help="The cursor of the previous page.")
@click.option(
    "--user", help="Also print until when all tokens of this user (id) are invalidated."
)
@_JSON
def list_tokens(
    *, limit: int, cursor: str | None, user: str | None, as_json: bool
) -> None:
    """List single tokens that are invalidated, by issuer and jti.

    It prints on stderr until when the tokens of all users are invalidated, and with
    --user those of a user.
    """
    of_user = None if user is None else user_id(user)

    async def work() -> tuple[list[dict[str, object]], str | None]:
        async with environment.opened() as container:
            invalidated = container[ListInvalidatedTokens]
            caller = environment.operator()
            page = await invalidated(
                after=decode_cursor(cursor), limit=limit, caller=caller
            )
            await _tell_moments(invalidated, of_user)
        items: list[dict[str, object]] = [
            {
                "issuer": r.issuer,
                "jti": r.jti,
                "user_id": r.user_id,
                "expires_at": moment_text(r.expires_at),
                "invalidated_at": moment_text(r.invalidated_at),
            }
            for r in page.revocations
        ]
        return items, encode_cursor(page.after)

    items, following = environment.run(work())
    if as_json:
        click.echo(json.dumps({"items": items, "next_cursor": following}))
        return
    show_table(_COLUMNS, items, nothing="no token is invalidated", empty=_EMPTY)
    if following:
        click.echo(f"more: --cursor {following}", err=True)


async def _tell_moments(
    invalidated: ListInvalidatedTokens, user: UserId | None
) -> None:
    """Print until when all tokens of all users, and of a user, are invalidated."""
    every = await invalidated.until(None, caller=environment.operator())
    if every is not None:
        click.echo(f"all users: all issued until {moment_text(every)}", err=True)
    if user is None:
        click.echo("all tokens of a user: see --user", err=True)
        return
    at = await invalidated.until(user, caller=environment.operator())
    until = "none" if at is None else f"all issued until {moment_text(at)}"
    click.echo(f"the user {user}: {until}", err=True)


@token.command("pass-key")
@click.argument("kid", help="The name of the new key: its `kid`.")
@click.option(
    "--add-to",
    type=click.File("rb"),
    help="A key set (- is stdin) whose keys come before the new one.",
)
def pass_key(*, kid: str, add_to: IO[bytes] | None) -> None:
    """Print a key set for access passes, with a new key named KID.

    The key set is a secret: PAYMENTS_ACCESS_PASS_KEYS_FILE names its file. The first
    key of the set signs. To rotate, add a key; once all verifiers have it, move it to
    the first place; once the passes of the old key have expired, remove the old key.
    """
    text = None
    if add_to is not None:
        try:
            text = add_to.read(KEY_SET_BYTES_MAX + 1).decode()
        except ValueError as error:
            raise InvalidValue("add_to", "not UTF-8") from error
    click.echo(add_pass_key(kid, text))
