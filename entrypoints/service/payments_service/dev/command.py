"""Everything on this machine, in one command."""

import asyncio
import os
import shlex
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import click

from payments_adapters.postgres import schema
from payments_sandbox.cli.client import SandboxClient
from payments_service import logs
from payments_service.cli import environment
from payments_service.cli.ending import SIGNALS
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.token import admin_token
from payments_service.container import Overrides, build_container, opened, utc_now
from payments_service.dev.children import Child, keep
from payments_service.dev.demo import beginning, play
from payments_service.dev.folder import OwnedFolder
from payments_service.dev.postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    embedded_postgres,
)
from payments_service.dev.sandbox_process import RunningSandbox, sandbox_process
from payments_service.http.server import Service
from payments_service.listeners import listen, url_of
from payments_service.presentation import PREFIX
from payments_service.processes.start import bound, require_own_database
from payments_service.settings import Settings
from payments_service.settings import database_url as named_database
from payments_service.worker import Worker

Then = Callable[[Mapping[str, str]], None]

SAMPLES: Final = Path(__file__).with_name("samples")

# Who names Stripe, or a sandbox of their own, gets no other one.
_NAMES_STRIPE: Final = tuple(
    f"PAYMENTS_STRIPE_API_{name}{twin}"
    for name in ("BASE", "KEY")
    for twin in ("", "_FILE")
)

# The whole environment of the demo: ports that are nobody's, and nothing of the user's.
_DEMO: Final = {"PAYMENTS_PORT": "0", "PAYMENTS_OPS_PORT": "0"}


@click.command()
@click.option("--fresh", is_flag=True, help="Wipe the data and the secrets first.")
@click.option("--demo", is_flag=True, help="Play a year of one user, and end.")
def dev(*, fresh: bool, demo: bool) -> None:
    """Run the service on an embedded Postgres, with a fake Stripe beside it.

    Data and secrets stay in `.payments` (PAYMENTS_DEV_DIR); `dev.json` in it tells
    other commands where everything is. Ctrl-C ends it all.
    """
    if os.environ.get("PAYMENTS_ENV", "development") != "development":
        # It would hand out a token that may do everything, and print it.
        raise CommandError(
            Exit.REFUSED,
            "PAYMENTS_ENV is not development; `payments serve` is what production runs",
        )
    if demo:
        # A place of its own: it neither sees nor leaves anything.
        with tempfile.TemporaryDirectory(prefix="payments-demo-") as path:
            _run(OwnedFolder(Path(path)), _DEMO, fresh=False, then=play)
    else:
        _run(OwnedFolder.of(os.environ), os.environ, fresh=fresh, then=None)


def _run(
    folder: OwnedFolder, env: Mapping[str, str], *, fresh: bool, then: Then | None
) -> None:
    with ExitStack() as stack:
        stack.enter_context(folder.owned(fresh=fresh))
        children: list[Child[Any]] = []
        database_url = named_database(env)
        if database_url is None:
            postgres = stack.enter_context(_postgres(folder))
            children.append(postgres)
            database_url = postgres.running.dsn
        lent = {"PAYMENTS_LOG_LEVEL": "warning", **folder.settings(database_url, None)}
        settings = Settings.from_env(environment.completed(env, lent))
        logs.configure(settings.log_level)
        environment.run(schema.upgrade(database_url))
        environment.run(require_own_database(settings))
        public = _listener(settings.host, settings.port, "PAYMENTS_PORT", env)
        ops = _listener(settings.host, settings.ops_port, "PAYMENTS_OPS_PORT", env)
        sandbox = None
        if not any(env.get(name) for name in _NAMES_STRIPE):
            child = stack.enter_context(
                _sandbox(folder, settings, url_of(public, settings.host), then)
            )
            children.append(child)
            sandbox = child.running.client
            settings = attrs.evolve(
                settings, stripe_api_base=sandbox.url, stripe_api_key=sandbox.key
            )
        facts = _facts(folder, settings, public, ops, sandbox)
        environment.run(
            _serve(folder, settings, (public, ops), facts, then, children=children)
        )


def _sandbox(
    folder: OwnedFolder, settings: Settings, service_url: str, then: Then | None
) -> Child[RunningSandbox]:
    """Return the sandbox; for the demo, in a year that stands still between its steps.

    Started again, it is on the same port, and its journal makes it what it was.
    """
    began = f"{beginning():%Y-%m-%dT%H:%M:%SZ}"

    def start(before: RunningSandbox | None) -> AbstractContextManager[RunningSandbox]:
        return sandbox_process(
            folder.sandbox_journal,
            folder.sandbox_clock.path,
            key=folder.stripe_api_key(),
            forward=f"{service_url}{PREFIX}/webhooks/stripe",
            secret=settings.stripe_webhook_secrets[0],
            port=before.port if before else 0,
            options=("--frozen", "--start", began) if then else (),
        )

    return Child("the sandbox", start)


def _postgres(folder: OwnedFolder) -> Child[EmbeddedPostgres]:
    @contextmanager
    def start(before: EmbeddedPostgres | None) -> Iterator[EmbeddedPostgres]:
        port = before.port if before else 0
        try:
            with embedded_postgres(folder.postgres, port=port) as postgres:
                yield postgres
        except EmbeddedPostgresError as error:
            raise CommandError(Exit.DEPENDENCY_DOWN, str(error)) from error

    return Child("the embedded Postgres", start)


def _trouble(children: Sequence[Child[Any]]) -> str | None:
    """Name a child that died, if any has."""
    for child in children:
        if not child.is_up:
            return f"{child.name} died and is started again"
    return None


def _facts(
    folder: OwnedFolder,
    settings: Settings,
    public: socket.socket,
    ops: socket.socket,
    sandbox: SandboxClient | None,
) -> dict[str, str]:
    """Return what other commands have to know: `dev.json`."""
    facts = {
        "base_url": url_of(public, settings.host),
        "ops_url": url_of(ops, settings.host),
        "database_url": settings.database_url,
        "webhook_secret": settings.stripe_webhook_secrets[0],
        "admin_token": admin_token(folder, settings.jwt_max_age),
    }
    if sandbox:
        facts |= {"sandbox_url": sandbox.url, "stripe_api_key": sandbox.key}
    return facts


async def _serve(  # noqa: PLR0913  # all that was made for it
    folder: OwnedFolder,
    settings: Settings,
    listeners: tuple[socket.socket, socket.socket],
    facts: Mapping[str, str],
    then: Then | None,
    *,
    children: Sequence[Child[Any]],
) -> None:
    # Who names a Stripe of their own has no sandbox whose time could be followed.
    clock = folder.sandbox_clock if "sandbox_url" in facts else None
    overrides = Overrides(clock=clock)
    service = Service(
        build_container(settings, overrides),
        *listeners,
        trouble=partial(_trouble, children),
    )
    # A process of its own in production: it shares nothing with the service.
    behind = build_container(settings, overrides)
    working = Worker.of(behind)
    started, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, service.stop)
    async with opened(behind), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(service.run(started.set))
        serving.add_done_callback(lambda _: working.stop())
        for keeping in [tasks.create_task(keep(child)) for child in children]:
            serving.add_done_callback(partial(_cancel, keeping))
        await started.wait()
        tasks.create_task(working.run())
        folder.publish(facts)
        if then is None:
            click.echo(welcome(folder, facts))
        else:
            try:
                await asyncio.to_thread(then, facts)
            finally:
                service.stop()


def _cancel(task: "asyncio.Task[None]", _: "asyncio.Task[None]") -> None:
    task.cancel()


def _listener(
    host: str, port: int, variable: str, env: Mapping[str, str]
) -> socket.socket:
    """Bind the port that was asked for, or, if none was, one that is free."""
    if env.get(variable):
        return bound(host, port, variable)
    try:
        return listen(host, port)
    except OSError:
        click.echo(f"port {port} is taken; another one will do", err=True)
        return bound(host, 0, "PAYMENTS_HOST")


def _this_program() -> str:
    """Return the words that start this program again, from wherever."""
    program = Path(sys.argv[0]).absolute()
    if program.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {program.parent.name}"
    return shlex.quote(str(program))


def welcome(folder: OwnedFolder, facts: Mapping[str, str]) -> str:
    """Say where everything is, and give lines that work when they are pasted."""
    api = facts["base_url"] + PREFIX
    bearer = f"-H 'Authorization: Bearer {facts['admin_token']}'"
    # It names the folder, as it may be pasted elsewhere than where we run.
    payments = f"PAYMENTS_DEV_DIR={shlex.quote(str(folder.path))} {_this_program()}"
    sample = shlex.quote(str(SAMPLES / "charge_succeeded.json"))
    json_type = "-H 'Content-Type: application/json'"
    user = """-d '{"email": "alice@example.com"}'"""
    # Ids of her own: the README pastes a payment too, and the same id is a duplicate.
    values = (
        "id=evt_alice_1",
        "data.object.id=ch_alice_1",
        f"data.object.created={int(_now(folder, facts).timestamp())}",
        "data.object.receipt_email=alice@example.com",
    )
    changes = " ".join(f"--set {value}" for value in values)
    stripe = facts.get("sandbox_url")
    sandbox = f"{stripe} (a sandbox: `payments sandbox --help`)" if stripe else "yours"
    headers = f"{bearer} {json_type}"
    lines = _sandbox_lines(payments, f"{api}/users/alice", headers) if stripe else ""
    return f"""payments-gateway is up; Ctrl-C ends it.

  service   {api}
  ops       {facts["ops_url"]}/readyz
  stripe    {sandbox}
  folder    {folder.path} (dev.json has the addresses, the token and the secret)

Register a user, ask for their payment status, ask who the service is:

  curl -X PUT {api}/users/alice {bearer} {json_type} {user}

  curl {api}/users/alice/payment-status {bearer}

  curl {facts["ops_url"]}/readyz

A signed webhook, as Stripe would send it; then ask for the status again:

  {payments} webhook send {sample} {changes}
{lines}"""


def _now(folder: OwnedFolder, facts: Mapping[str, str]) -> datetime:
    """Return the service's time, as what happens now is paid for from now on."""
    return folder.sandbox_clock() if "sandbox_url" in facts else utc_now()


def _sandbox_lines(payments: str, user: str, headers: str) -> str:
    return f"""
A card, a subscription, and what is known of her then:

  curl -X PUT {user}/card {headers} -d '{{"payment_method": "pm_card_visa"}}'

  curl -X POST {user}/subscriptions {headers} -d '{{"product": "prod_basic"}}'

  {payments} account show alice

What Stripe does by itself: renew that twice, an hour after each month, and let a
charge fail:

  {payments} sandbox advance "2 months"

  {payments} sandbox advance "1 hour"

  {payments} sandbox trigger charge.failed --user alice@example.com --set currency=eur
"""
