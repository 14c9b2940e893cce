"""The settings of a command: from the environment, else from the dev folder."""

import os
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import click
import uvloop

from payments_core.caller import ADMIN_SCOPE, Caller
from payments_core.identity import UserId
from payments_core.ports import Clock
from payments_core.tokens import Token
from payments_core.use_cases import GetAuthorizedAccount
from payments_service.cli.dev_folder import DevFolder, not_running
from payments_service.clocks import utc_now
from payments_service.container import Container, Overrides, build_container
from payments_service.container import opened as container_opened
from payments_service.presentation.arguments import user_named
from payments_service.settings import (
    Settings,
    SettingsError,
    StripeAccess,
    is_any_required_given,
)
from payments_service.settings import stripe_access as stripe_access_of
from payments_service.spans import NO_SPANS, Spans

_T = TypeVar("_T")
_HINT: Final = (
    "`payments dev` needs none of them; while it runs, other commands use its settings"
)


def hint() -> str:
    """Return how to run without settings if no development service runs."""
    folder = DevFolder.of(os.environ).path
    return f"{_HINT}: none runs on {folder}, `make run` or `payments dev` starts one"


def settings(*, serves: bool = True) -> Settings:
    """Read the settings; a running development service provides those not set.

    `serves` is as in `Settings.from_env`.

    Raises:
        SettingsError: something is missing or wrong.
    """
    if "PAYMENTS_ENV" in os.environ:
        return Settings.from_env(os.environ, is_option, serves=serves)
    own = lent()
    try:
        given = completed(os.environ, own)
        return Settings.from_env(given, is_option, serves=serves)
    except SettingsError as error:
        raise SettingsError(error.problems, None if own else hint()) from error


def stripe_access() -> StripeAccess:
    """Read the settings for Stripe; a running development service provides its own.

    Raises:
        SettingsError: something is missing or wrong.
    """
    return stripe_access_of(effective())


def effective() -> Mapping[str, str]:
    """Return the environment, completed by a running development service."""
    if "PAYMENTS_ENV" in os.environ:
        return os.environ
    return completed(os.environ, lent())


def lent() -> dict[str, str]:
    """Return the settings of a running development service; empty if none runs."""
    return DevFolder.of(os.environ).lent()


def is_option(name: str) -> bool:
    """Say whether a variable is the option of a command."""
    context = click.get_current_context(silent=True)
    if context is None:
        return False
    root = context.find_root()
    return name in _options(root, root.command, root.auto_envvar_prefix or "", name)


def _options(
    context: click.Context, command: click.Command, prefix: str, name: str
) -> Iterator[str]:
    """Return the variables of a command, and of subcommands that `name` may be of.

    Other subcommands are not loaded, because importing a command takes time.
    """
    for param in command.params:
        if isinstance(param, click.Option) and param.allow_from_autoenv and param.name:
            yield f"{prefix}_{param.name.upper()}"
    if not isinstance(command, click.Group):
        return
    for word in command.list_commands(context):
        deeper = f"{prefix}_{word.upper()}".replace("-", "_")
        if not name.startswith(f"{deeper}_"):
            continue
        child = command.get_command(context, word)
        if child is not None:
            yield from _options(context, child, deeper, name)


def completed(env: Mapping[str, str], lent: Mapping[str, str]) -> dict[str, str]:
    """Return the environment, and of `lent` what it sets neither itself nor by file."""
    missing = {
        name: value for name, value in lent.items() if not env.get(f"{name}_FILE")
    }
    return {**missing, **env}


@asynccontextmanager
async def opened(*, serves: bool = False) -> AsyncIterator[Container]:
    """Provide a wired container with an open database, for one command.

    Without `serves` a worker's settings are enough: nothing verifies a token.

    Raises:
        CommandError: nothing is set, and no development service runs.
        SettingsError: a setting is missing or wrong.
        StoreUnavailable: the database does not answer.
    """
    require_service()
    container = wired(settings(serves=serves))
    async with container_opened(container):
        yield container


def require_service() -> None:
    """Refuse a command that has no service, and say how to start one.

    If some required settings are set, the missing ones are reported instead, later.

    Raises:
        CommandError: nothing is set, and no development service runs.
    """
    folder = DevFolder.of(os.environ)
    if not (is_any_required_given(os.environ) or folder.published()):
        raise not_running(folder.path)


def wired(settings: Settings, spans: Spans = NO_SPANS) -> Container:
    """Wire everything; with a development service's sandbox, use the sandbox's clock.

    Raises:
        SettingsError: the JWT keys or the webhook secrets cannot be used.
    """
    clock = gateway_clock({"PAYMENTS_STRIPE_API_BASE": settings.stripe_api_base})
    return build_container(
        settings, Overrides(clock=clock if clock is not utc_now else None), spans
    )


def gateway_clock(env: Mapping[str, str]) -> Clock:
    """Return the gateway's clock: of a development service, the sandbox's."""
    if "PAYMENTS_ENV" not in os.environ:
        folder = DevFolder.of(os.environ)
        facts = folder.published() or {}
        base = facts.get("sandbox_url")
        if base and env.get("PAYMENTS_STRIPE_API_BASE") == base:
            return folder.sandbox_clock
    return utc_now


def operator() -> Caller:
    """Return the caller of a command: an administrator, who has the settings."""
    now = utc_now()
    return Caller(
        Token(
            issuer="command-line",
            jti="command-line",
            user_id=UserId("operator"),
            issued_at=now,
            expires_at=now,
            scopes=frozenset({ADMIN_SCOPE}),
        )
    )


async def named(container: Container, user: str) -> UserId:
    """Return the id of the user that an id or an e-mail names.

    Raises:
        InvalidValue: it is neither.
        AccountNotFound: there is no such user.
    """
    find = container[GetAuthorizedAccount]
    return (await find(user_named(user), caller=operator())).user_id


def run(work: Coroutine[Any, Any, _T]) -> _T:
    return uvloop.run(work)
