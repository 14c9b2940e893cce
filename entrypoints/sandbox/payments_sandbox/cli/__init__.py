"""`payments-sandbox …`: data on stdout, messages on stderr."""

import logging
import sys

import click

from payments_sandbox.cli.client import Target
from payments_sandbox.cli.commands import COMMANDS
from payments_sandbox.cli.errors import CommandError, Exit


def _known() -> tuple[str, str]:
    raise CommandError(
        Exit.UNREACHABLE,
        "no sandbox is named: start one with `payments-sandbox serve`, and name it "
        "with --url and --key (PAYMENTS_SANDBOX_URL, PAYMENTS_SANDBOX_KEY)",
    )


@click.group(
    commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option("--url", help="The sandbox's address.")
@click.option("--key", help="Its API key.")
# No variable: PAYMENTS_SANDBOX_VERSION may mean something else.
@click.version_option(package_name="payments-sandbox", allow_from_autoenv=False)
@click.pass_context
def sandbox(context: click.Context, *, url: str | None, key: str | None) -> None:
    """Serve a fake Stripe, and control its time and faults.

    Every option is also an environment variable: `--port` of `serve` is
    PAYMENTS_SANDBOX_SERVE_PORT.

    Exit codes: 0 done, 2 usage, 3 not found, 4 configuration, 5 no sandbox answers,
    6 refused.
    """
    context.obj = Target(url, key, _known)


def main() -> None:
    """Run the command line; a failure is one sentence on stderr and an exit code."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        code = sandbox(
            prog_name="payments-sandbox",
            auto_envvar_prefix="PAYMENTS_SANDBOX",
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.USAGE)
    except CommandError as error:
        for line in str(error).splitlines():
            click.echo(f"payments-sandbox: {line}", err=True)
        sys.exit(error.code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(Exit.DONE)
    # `--help` and `--version` exit with click's code.
    sys.exit(code if isinstance(code, int) else Exit.DONE)


__all__ = ["main", "sandbox"]
