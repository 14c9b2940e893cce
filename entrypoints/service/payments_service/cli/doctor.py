"""What is wrong with this deployment, and what to do about it."""

import json
from collections.abc import Sequence

import attrs
import click

from payments_service.cli import environment
from payments_service.cli.exit_codes import Exit
from payments_service.cli.webhook_url import webhook_url
from payments_service.clocks import utc_now
from payments_service.doctor import (
    CheckResult,
    Deployment,
    Status,
    check_all,
    check_start,
)
from payments_service.settings import is_any_required_given


@click.command()
@click.option(
    "--start",
    "only_start",
    is_flag=True,
    help="Check only what a process needs to start; no request goes to Stripe.",
)
@click.option(
    "--worker",
    "of_worker",
    is_flag=True,
    help="Check a worker: it needs no settings that verify callers and webhooks.",
)
@click.option(
    "--url",
    metavar="URL",
    help="Check only the endpoints of this address, as in `payments stripe setup`.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(
    *, only_start: bool, of_worker: bool, url: str | None, as_json: bool
) -> None:
    """Check everything, and say what is wrong and what to do about it.

    It checks the settings, database, schema, mode, API key and its permissions, the
    endpoints at Stripe, clocks, received events, what is waiting or failed, back-fill
    and sweep. Nothing is changed. Exit code 7: something is wrong, or could not be
    checked.
    """
    env = environment.effective()
    if not is_any_required_given(env):
        click.echo(environment.hint(), err=True)
    deployment = Deployment(
        env=env,
        is_option=environment.is_option,
        clock=environment.gateway_clock(env),
        system_clock=utc_now,
        url=url and webhook_url(url),
        serves=not of_worker,
    )
    results = environment.run(
        check_start(deployment) if only_start else check_all(deployment)
    )
    well = all(it.status is Status.OK for it in results)
    _show(results, well=well, as_json=as_json)
    if not well:
        raise SystemExit(Exit.FOUND)


def _show(results: Sequence[CheckResult], *, well: bool, as_json: bool) -> None:
    if as_json:
        items = [attrs.asdict(it) for it in results]
        click.echo(json.dumps({"well": well, "items": items}))
        return
    for it in results:
        remedy = f"; {it.remedy}" if it.remedy else ""
        click.echo(f"{it.status.value:<7}  {it.check}: {it.text}{remedy}")
