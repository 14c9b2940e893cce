"""Connect Stripe to this service: the endpoint and its secret."""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import click
from typing_extensions import override

from payments_adapters.stripe.admin import StripeAdmin
from payments_adapters.stripe.rights import RIGHTS
from payments_service.cli import environment
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.progress import told_if_cut_off
from payments_service.cli.secret_file import SecretFile
from payments_service.cli.stripe_endpoints import EndpointRun
from payments_service.cli.stripe_roll import begin_roll, enable_roll, finish_roll
from payments_service.cli.webhook_url import webhook_url
from payments_service.endpoint_roles import WEBHOOK_PATH
from payments_service.settings import StripeAccess

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


class _Span(click.ParamType[timedelta]):
    """A duration: 90m, 24h, 3d."""

    name = "span"

    @override
    def convert(
        self,
        value: str | timedelta,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,4})([mhd])", value)
        if found is None:
            self.fail(f"{value} is not a duration such as 90m, 24h or 3d", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


_URL = click.option(
    "--url",
    required=True,
    metavar="URL",
    help=f"The public address of the service, without {WEBHOOK_PATH}.",
)
_THIN = click.option(
    "--thin", "is_thin", is_flag=True, help="Thin events, by an event destination."
)
_DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Only print what would be done."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


def _file_option(*, required: bool) -> Callable[..., Callable[..., object]]:
    return click.option(
        "--secret-file",
        required=required,
        type=click.Path(dir_okay=False, path_type=Path),
        help="The file for the new secret; an existing file is never overwritten.",
    )


@click.group()
def stripe() -> None:
    """Connect Stripe to this service: the endpoint and its secret.

    Needs the settings PAYMENTS_ENV and PAYMENTS_STRIPE_API_KEY. The key selects the
    Stripe account, and test or live mode.
    """


@stripe.command()
@_URL
@_file_option(required=True)
@_THIN
@_DRY_RUN
@_JSON
def setup(
    *, url: str, secret_file: Path, is_thin: bool, dry_run: bool, as_json: bool
) -> None:
    """Create the endpoint at Stripe, or update the one that exists.

    The secret of a new endpoint is written to the file, which only its owner can read:
    Stripe shows it only at creation. If an endpoint with this URL exists, its event
    types and description are updated, and it is enabled.
    """
    file = SecretFile(secret_file)
    _run(
        lambda it: it.set_up(file),
        url=url,
        is_thin=is_thin,
        dry_run=dry_run,
        as_json=as_json,
        rights=True,
    )


@stripe.command()
@_URL
@_file_option(required=False)
@click.option(
    "--enable",
    is_flag=True,
    help="Enable the second endpoint, once every process has both secrets.",
)
@click.option(
    "--finish", is_flag=True, help="Disable the old endpoint, after the overlap."
)
@click.option(
    "--overlap",
    type=_Span(),
    default="24h",
    show_default=True,
    metavar="SPAN",
    help="How long both endpoints send, before --finish: 90m, 24h, 3d.",
)
@click.option(
    "--force",
    is_flag=True,
    # A variable that is set once for all commands must not remove a safeguard.
    allow_from_autoenv=False,
    help="Skip the overlap, and the check for the secret. Cannot be set by an "
    "environment variable.",
)
@_THIN
@_DRY_RUN
@_JSON
def roll_secret(  # its options
    *,
    url: str,
    secret_file: Path | None,
    enable: bool,
    finish: bool,
    overlap: timedelta,
    force: bool,
    is_thin: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Roll the secret with a second endpoint; no delivery is refused.

    It takes three runs. The first run creates a second endpoint, which sends nothing
    yet, and writes its secret to the file. When every process has both secrets,
    --enable lets it send in parallel with the old endpoint; events that arrive twice
    are duplicates. After the overlap --finish disables the old endpoint. The progress
    is stored at Stripe.
    """
    if enable and finish:
        raise click.UsageError("--enable and --finish need two separate runs")
    if secret_file is None and not (enable or finish):
        raise click.UsageError("the first run needs --secret-file")

    async def work(it: EndpointRun) -> None:
        if finish:
            await finish_roll(it, overlap, forced=force)
        elif enable:
            await enable_roll(it, forced=force)
        elif secret_file is not None:
            await begin_roll(it, SecretFile(secret_file))

    _run(work, url=url, is_thin=is_thin, dry_run=dry_run, as_json=as_json)


def _run(  # what the commands have in common
    work: Callable[[EndpointRun], Awaitable[None]],
    *,
    url: str,
    is_thin: bool,
    dry_run: bool,
    as_json: bool,
    rights: bool = False,
) -> None:
    access = environment.stripe_access()
    admin = StripeAdmin(access.api_key, base=access.api_base, livemode=access.livemode)
    it = EndpointRun(
        admin=admin,
        url=webhook_url(url, livemode=access.livemode),
        is_thin=is_thin,
        dry_run=dry_run,
        secrets=access.webhook_secrets,
        say=lambda text: click.echo(text, err=True),
    )

    async def run() -> None:
        async with admin.opened():
            await work(it)

    def tell() -> None:
        for text in [] if dry_run else it.did:
            click.echo(f"begun: {text}", err=True)

    with told_if_cut_off(tell):
        environment.run(run())
    if as_json:
        click.echo(json.dumps(_facts(it, access, rights=rights)))
    else:
        _tell(it, access, rights=rights)
    if it.secret_in_file is False:
        raise CommandError(Exit.REFUSED, it.next)


def _facts(it: EndpointRun, access: StripeAccess, *, rights: bool) -> dict[str, object]:
    needed = [{"resource": one.resource, "level": one.level} for one in RIGHTS]
    return {
        "mode": access.mode,
        "url": it.url,
        "endpoint": it.endpoint_id,
        "dry_run": it.dry_run,
        "did": it.did,
        "secret_in_file": it.secret_in_file,
        "next": it.next or None,
        **({"rights": needed} if rights else {}),
    }


def _tell(it: EndpointRun, access: StripeAccess, *, rights: bool) -> None:
    click.echo(f"{access.mode} mode, {it.url}")
    for text in it.did or ["nothing to change"]:
        click.echo(f"  {text}")
    if it.next and it.secret_in_file is not False:
        click.echo(it.next, err=True)
    if not rights:
        return
    click.echo("a restricted key of the service needs:", err=True)
    for level in ("write", "read"):
        named = [
            right.resource
            for right in RIGHTS
            if right.level == level and not right.of_setup
        ]
        click.echo(f"  {level}: {', '.join(named)}", err=True)
