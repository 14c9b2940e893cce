"""All checks, independent and concurrent, within a deadline."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import attrs

from payments_adapters.postgres.store import PostgresStore
from payments_adapters.stripe.admin import StripeAdmin
from payments_core.ports import Clock, SystemClock
from payments_service.doctor.at_stripe import KEY, AtStripe
from payments_service.doctor.catalogue import CatalogueReview
from payments_service.doctor.checks import (
    Check,
    CheckResult,
    CheckResults,
    Status,
    once_well,
    wrong,
)
from payments_service.doctor.endpoints import ENDPOINTS
from payments_service.doctor.keys import key_checks
from payments_service.doctor.start import (
    check_settings,
    database_checks,
    erasure_key_check,
)
from payments_service.doctor.stored import Stored
from payments_service.settings import (
    Settings,
    SettingsError,
    StripeAccess,
    database_url,
    stripe_access,
)

# A connection for each check: a check that waits for a lock delays no other.
_CHECKS_MAX: Final = 13


@attrs.frozen(kw_only=True)
class Deployment:
    """What is checked: an environment, and the clocks to compare it with.

    `clock` is the expected time of Stripe, in development the sandbox's. `serves` is
    False for a worker's environment.
    """

    env: Mapping[str, str]
    is_option: Callable[[str], bool]
    clock: Clock
    system_clock: SystemClock
    url: str | None = None
    serves: bool = True


@attrs.frozen
class _Address:
    """A database: its address, and the connections to it."""

    url: str = attrs.field(repr=False)
    store: PostgresStore


async def check_start(it: Deployment) -> CheckResults:
    """Check what a process needs to start; Stripe is not called."""
    settings, found = check_settings(it.env, it.is_option, serves=it.serves)
    async with AsyncExitStack() as stack:
        store = await _store(it, stack)
        return [*found, *await _all(_of_database(it, settings, store, start=True), [])]


async def check_all(it: Deployment) -> CheckResults:
    """Check everything; what cannot be checked is reported as unknown."""
    settings, found = check_settings(it.env, it.is_option, serves=it.serves)
    async with AsyncExitStack() as stack:
        store, access = await _store(it, stack), _access(it)
        others = list[Check]()
        if access is not None:
            at_stripe = await _at_stripe(it, access, store, stack)
            others += at_stripe.checks()
            if settings is not None and settings.catalogue is not None:
                review = CatalogueReview(at_stripe.admin, settings.catalogue)
                others.append(review.check())
        elif settings is not None:
            remedy = "set PAYMENTS_STRIPE_API_KEY: without it Stripe is not called"
            found = [*found, wrong(KEY, "no key is set", remedy)]
        else:
            why = "the settings for Stripe are missing or invalid"
            found = [*found, *(_unknown(name, why) for name in (KEY, ENDPOINTS))]
        if settings is not None:
            others += key_checks(settings)
        stored = _of_database(it, settings, store, start=False)
        return [*found, *await _all(stored, others)]


async def _all(stored: Sequence[Check], others: Sequence[Check]) -> CheckResults:
    """Run all concurrently; of `stored`, the rest after the first one succeeded."""
    running = [asyncio.ensure_future(check.run()) for check in stored[:1]]
    waiting = [once_well(first, it) for first in running for it in stored[1:]]
    running += [asyncio.ensure_future(it.run()) for it in (*waiting, *others)]
    return [it for results in await asyncio.gather(*running) for it in results]


async def _store(it: Deployment, stack: AsyncExitStack) -> _Address | None:
    try:
        url = database_url(it.env)
    except SettingsError:
        url = None
    if url is None:
        # The check of the settings reports what is wrong with it.
        return None
    store = PostgresStore(url, 2, rare_size=_CHECKS_MAX)
    return _Address(url, await stack.enter_async_context(store.opened()))


def _of_database(
    it: Deployment, settings: Settings | None, at: _Address | None, *, start: bool
) -> Sequence[Check]:
    """Return the checks of a database: first, whether it answers."""
    if at is None:
        return []
    reached, others = database_checks(
        at.url, at.store, livemode=_mode(it, settings), writes=not start
    )
    key = [erasure_key_check(at.store, settings)]
    more = [] if start else _stored(it, settings, at.store).checks()
    return [reached, *others, *key, *more]


def _mode(it: Deployment, settings: Settings | None) -> bool | None:
    if settings is not None:
        return settings.livemode
    # Another setting is invalid; this one may well be valid.
    named = {"production": True, "development": False}
    return named.get(it.env.get("PAYMENTS_ENV", "").strip())


def _access(it: Deployment) -> StripeAccess | None:
    try:
        return stripe_access(it.env)
    except SettingsError:
        return None


def _stored(it: Deployment, settings: Settings | None, store: PostgresStore) -> Stored:
    # Without valid settings, the defaults.
    return Stored(
        store=store,
        clock=it.clock,
        system_clock=it.system_clock,
        back_fills=settings is None or settings.reads_event_list,
        sweeps=settings is None or settings.sweeps,
        endpoints=[it.name for it in settings.webhooks_out] if settings else [],
    )


async def _at_stripe(
    it: Deployment,
    access: StripeAccess,
    at: _Address | None,
    stack: AsyncExitStack,
) -> AtStripe:
    admin = StripeAdmin(access.api_key, base=access.api_base, livemode=access.livemode)
    return AtStripe(
        admin=await stack.enter_async_context(admin.opened()),
        clock=it.clock,
        store=at.store if at else None,
        secrets=access.webhook_secrets,
        livemode=access.livemode,
        url=it.url,
    )


def _unknown(check: str, text: str) -> CheckResult:
    return CheckResult(check=check, status=Status.UNKNOWN, text=text)
