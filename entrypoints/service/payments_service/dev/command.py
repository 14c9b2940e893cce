"""`payments dev`: everything on this machine, in one command."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import click

from payments_adapters.postgres import schema
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_sandbox.cli.client import SandboxClient
from payments_service import logs
from payments_service.cli import environment
from payments_service.cli.dev_folder import lendable
from payments_service.cli.ending import Ending
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.steps import Steps
from payments_service.cli.token import admin_token
from payments_service.container import Overrides, build_container, opened
from payments_service.dev.children import Child, keep
from payments_service.dev.demo import beginning, play
from payments_service.dev.folder import OwnedFolder
from payments_service.dev.postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    embedded_postgres,
)
from payments_service.dev.sandbox_process import RunningSandbox, sandbox_process
from payments_service.dev.welcome import welcome
from payments_service.http.server import Service
from payments_service.listeners import listen, url_of
from payments_service.presentation import PREFIX
from payments_service.processes.start import bound, require_own_database
from payments_service.settings import Settings
from payments_service.settings import database_url as named_database
from payments_service.worker import Worker

# What runs once all is up, with the facts; it stops when the callable returns true.
Then = Callable[[Mapping[str, str], Callable[[], bool]], None]

# If one of these is set, no sandbox is started.
_NAMES_STRIPE: Final = tuple(
    f"PAYMENTS_STRIPE_API_{name}{twin}"
    for name in ("BASE", "KEY")
    for twin in ("", "_FILE")
)

# The whole environment of the demo: free ports, and no variables of the user.
_DEMO: Final = {"PAYMENTS_PORT": "0", "PAYMENTS_OPS_PORT": "0"}


@click.command()
@click.option("--fresh", is_flag=True, help="Delete the data and the secrets first.")
@click.option("--demo", is_flag=True, help="Simulate a year of one user, and exit.")
@click.pass_obj
def dev(ending: Ending, *, fresh: bool, demo: bool) -> None:
    """Run the service with an embedded Postgres and a fake Stripe.

    Data and secrets stay in `.payments` (PAYMENTS_DEV_DIR); its `dev.json` tells other
    commands where everything is. Ctrl-C ends everything.
    """
    if os.environ.get("PAYMENTS_ENV", "development") != "development":
        # The command issues and prints a token with administrator rights.
        raise CommandError(
            Exit.REFUSED,
            "PAYMENTS_ENV is not development; `payments serve` is what production runs",
        )
    begun = _Begun(ending, Steps(ending.began))
    if demo:
        # A temporary folder: the demo uses no existing data and leaves none.
        with tempfile.TemporaryDirectory(prefix="payments-demo-") as path:
            _run(begun, OwnedFolder(Path(path)), _DEMO, fresh=False, then=play)
    else:
        _run(begun, OwnedFolder.of(os.environ), os.environ, fresh=fresh, then=None)


@attrs.frozen
class _Begun:
    """How a run ends, and how it reports its steps."""

    ending: Ending
    steps: Steps

    def step(self, text: str) -> None:
        """Report the next step, unless a signal arrived.

        Raises:
            SystemExit: a signal arrived.
        """
        self.ending.go_on()
        self.steps.say(text)


def _run(
    begun: _Begun,
    folder: OwnedFolder,
    env: Mapping[str, str],
    *,
    fresh: bool,
    then: Then | None,
) -> None:
    with folder.owned(fresh=fresh):
        with ExitStack() as stack:
            with suppress(SystemExit):
                # A requested end is not an error.
                _run_in(stack, begun, folder, env, then)
            begun.steps.say("ending what was started")
        begun.steps.say("ended")


def _run_in(
    stack: ExitStack,
    begun: _Begun,
    folder: OwnedFolder,
    env: Mapping[str, str],
    then: Then | None,
) -> None:
    """Start everything in order, to end with the stack, and serve until the end."""
    children: list[Child[Any]] = []
    database_url = named_database(env)
    if database_url is None:
        is_new = "" if folder.postgres.exists() else ", created for the first time"
        begun.step(f"Postgres, in {folder.postgres}{is_new}")
        postgres = stack.enter_context(_postgres(folder))
        children.append(postgres)
        database_url = postgres.running.dsn
    lent = {"PAYMENTS_LOG_LEVEL": "warning", **folder.settings(database_url, None)}
    settings = Settings.from_env(
        environment.completed(env, lent), environment.is_option
    )
    logs.configure(settings.log_level)
    begun.step(f"the database's schema, up to {schema.head()}")
    begun.ending.step(partial(schema.upgrade, database_url))
    begun.ending.step(partial(require_own_database, settings))
    listen_on = partial(_listener, begun.steps, env)
    public = listen_on(settings.host, settings.port, "PAYMENTS_PORT")
    ops = listen_on(settings.host, settings.ops_port, "PAYMENTS_OPS_PORT")
    sandbox = None
    if not any(env.get(name) for name in _NAMES_STRIPE):
        begun.step("the sandbox, a fake Stripe")
        child = stack.enter_context(
            _sandbox(folder, settings, url_of(public, settings.host), then)
        )
        children.append(child)
        sandbox = child.running.client
        settings = attrs.evolve(
            settings, stripe_api_base=sandbox.url, stripe_api_key=sandbox.key
        )
    facts = _facts(folder, settings, public, ops, sandbox) | lendable(env)
    begun.step("the service, and a worker")
    listeners = (public, ops)
    begun.ending.run(
        partial(_serve, begun, folder, settings, listeners, facts, then, children)
    )


def _sandbox(
    folder: OwnedFolder, settings: Settings, service_url: str, then: Then | None
) -> Child[RunningSandbox]:
    """Return the sandbox; for the demo, with a clock that only the demo advances.

    After a restart it has the same port, and its journal restores its state.
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
            # The API version of our webhook endpoints.
            options=(
                *("--api-version", API_VERSION),
                *(("--frozen", "--start", began) if then else ()),
            ),
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
            return f"{child.name} died and is being restarted"
    return None


def _facts(
    folder: OwnedFolder,
    settings: Settings,
    public: socket.socket,
    ops: socket.socket,
    sandbox: SandboxClient | None,
) -> dict[str, str]:
    """Return what other commands need to know: `dev.json`."""
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


async def _serve(  # noqa: PLR0913, PLR0917  # all that was created for it
    begun: _Begun,
    folder: OwnedFolder,
    settings: Settings,
    listeners: tuple[socket.socket, socket.socket],
    facts: Mapping[str, str],
    then: Then | None,
    children: Sequence[Child[Any]],
) -> None:
    # With another Stripe there is no sandbox whose time could be used.
    clock = folder.sandbox_clock if "sandbox_url" in facts else None
    overrides = Overrides(clock=clock)
    service = Service(
        build_container(settings, overrides),
        *listeners,
        trouble=partial(_trouble, children),
        connections_max=settings.connections_max,
        keep_alive_s=settings.keep_alive_s,
    )
    # In production the worker is another process: it shares nothing with the service.
    behind = build_container(settings, overrides)
    working = Worker.of(
        behind, back_fills=settings.reads_event_list, sweeps=settings.sweeps
    )
    started = asyncio.Event()
    begun.ending.by(service.stop)
    async with opened(behind), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(service.run(started.set))
        serving.add_done_callback(lambda _: working.stop())
        for keeping in [tasks.create_task(keep(child)) for child in children]:
            serving.add_done_callback(partial(_cancel, keeping))
        await started.wait()
        tasks.create_task(working.run())
        if begun.ending.told:
            return
        folder.publish(facts)
        begun.steps.say("ready")
        if then is None:
            click.echo(welcome(folder, facts))
        else:
            await _play(begun, then, facts, service.stop)


async def _play(
    begun: _Begun, then: Then, facts: Mapping[str, str], stop: Callable[[], None]
) -> None:
    """Run `then` once all is up; ignore its errors after a signal."""
    try:
        await asyncio.to_thread(then, facts, lambda: begun.ending.told)
    except Exception:
        if not begun.ending.told:
            raise
    finally:
        stop()


def _cancel(task: "asyncio.Task[None]", _: "asyncio.Task[None]") -> None:
    task.cancel()


def _listener(
    steps: Steps, env: Mapping[str, str], host: str, port: int, variable: str
) -> socket.socket:
    """Bind the port of the variable; if it is not set, the default or a free port."""
    if env.get(variable):
        return bound(host, port, variable)
    try:
        return listen(host, port)
    except OSError:
        steps.say(f"port {port} is in use; choosing another one")
        return bound(host, 0, "PAYMENTS_HOST")
