"""The commands. Each module is imported when its command is used."""

import signal
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import click
from typing_extensions import override

from payments_service.cli.ending import SIGNALS, Ending
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.steps import Steps
from payments_service.cli.texts import check_texts

# Commands of the extra `dev`, which the image does not contain.
_DEV: Final = {
    "dev": "payments_service.dev.command",
    "sandbox": "payments_service.dev.sandbox",
}
_DEV_PACKAGES: Final = ("payments_sandbox", "payments_service.dev")
_COMMANDS: Final = {
    "access": "What a user has access to, by product and feature.",
    "account": "Accounts: who has paid, with what card, for which subscriptions.",
    "audit": "What was done by hand: by whom, when, why.",
    "config": "The settings of the environment, and whether they are valid.",
    "db": "The database's schema.",
    "deliveries": "Deliveries of changes to other services: list, show, replay.",
    "dev": "The service, Postgres and a fake Stripe on this machine.",
    "doctor": "What is wrong with this deployment, and what to do about it.",
    "explain": "Why a user has paid or not.",
    "jobs": "The worker's jobs: list, show, retry.",
    "payment": "Payments: show the owner; link or unlink one by hand.",
    "purge": "Delete what is past its retention.",
    "reconcile": "Compare what is stored with what Stripe has, and repair it.",
    "sandbox": "The fake Stripe: serve, trigger, advance, chaos.",
    "serve": "The HTTP service.",
    "stripe": "Connect Stripe: the endpoint and its secret.",
    "subscription": "Subscriptions: list, start, change, cancel; link by hand.",
    "token": "Bearer tokens: issue for development, invalidate, list.",
    "worker": "The background work: sync, resume, link.",
    "webhook": "Webhook events: send one; list, show and replay stored ones.",
}
_HELP: Final = frozenset({"-h", "--help"})
# Their modules are in another package, because no other command may import HTTP.
_PROCESSES: Final = {
    "serve": "payments_service.processes.serve",
    "worker": "payments_service.processes.worker",
}
# Commands that run until one of these signals arrives.
_ENDLESS: Final = {
    "dev": (*SIGNALS, signal.SIGHUP),
    "serve": SIGNALS,
    "worker": SIGNALS,
}


class _Lazy(click.Group):
    """Importing the web framework takes a second; `--help` should not."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        elsewhere = {**_DEV, **_PROCESSES}
        module = elsewhere.get(cmd_name, f"payments_service.cli.{cmd_name}")
        try:
            command: Any = getattr(import_module(module), cmd_name)
        except ModuleNotFoundError as error:
            if cmd_name in _DEV and error.name in _DEV_PACKAGES:
                return _not_installed(cmd_name)
            raise
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            # Imports are done: from here Ctrl-C lets a command close what it opened.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if not isinstance(command, click.Command):
            return None
        check_texts(command)
        return command

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in _ENDLESS:
            # Before the import, which takes a second.
            ctx.obj = ctx.with_resource(Ending.listening(_ENDLESS[args[0]]))
        if args[0] == "dev" and not _HELP & set(args) and _is_dev_installed():
            # The first import takes seconds, because Python compiles all modules.
            Steps(ctx.obj.began).say("loading the program")
        return super().resolve_command(ctx, args)

    @override
    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


def _is_dev_installed() -> bool:
    try:
        return all(map(find_spec, _DEV_PACKAGES))
    except ModuleNotFoundError:
        return False


def _not_installed(name: str) -> click.Command:
    """Return a command that says how to install it, whatever its arguments."""

    def say() -> None:
        raise CommandError(
            Exit.CONFIGURATION,
            f"`payments {name}` needs the extra `dev`: install `payments-service[dev]`",
        )

    return click.Command(
        name,
        callback=say,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )


@click.group(cls=_Lazy, context_settings={"help_option_names": sorted(_HELP)})
# No variable: a deployment may use PAYMENTS_VERSION for something else.
@click.version_option(package_name="payments-service", allow_from_autoenv=False)
def payments() -> None:
    """Who has paid, and why.

    Settings come from the environment (`payments config show`); while `payments dev`
    runs, its folder provides the settings that the environment lacks. Options are also
    environment variables: `--limit` of `webhook list` is PAYMENTS_WEBHOOK_LIST_LIMIT.

    Exit codes: 0 done, 1 bug, 2 usage, 3 not found, 4 configuration, 5 dependency
    down, 6 refused by state or not confirmed, 7 a check found something, 130
    interrupted.
    """
