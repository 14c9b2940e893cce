"""Keys and secrets that change while a process serves.

Rule 1: files are read again every 5 s, and compared by content: Kubernetes swaps links,
        so times are useless. Never while handling a request.
Rule 2: content with which no process would start is not used: the old keys stay, the
        error is logged once, and counted until it is fixed.
Rule 3: keys at an address are read by `FetchedKeys`. Until the first read the process
        is not ready; afterwards it stays ready, because webhooks need no keys of
        callers.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final, Self

import attrs
import structlog
from typing_extensions import override

from payments_adapters.jwt import IssuersVerifier, JwtVerifier, KeySet
from payments_adapters.jwt.fetched_keys import FetchedKeys, FetchListener
from payments_adapters.jwt.key_sources import HeldKeys
from payments_adapters.jwt.key_url import KeyUrl
from payments_adapters.jwt.published_keys import PublishedKeys
from payments_adapters.stripe import StripeSignatures
from payments_core.errors import InvalidValue
from payments_core.ports import SystemClock
from payments_service.settings import Settings, SettingsError

FILES_EVERY_S: Final = 5.0
# A part of the smaller lane of callers, so that tokens of unknown keys never fill it,
# even with two issuers.
_WAITING_PART: Final = 8
_UNKNOWN_BYTES: Final = 32

_Take = Callable[[Settings], None]


@attrs.define(eq=False)
class RereadFiles:
    """The files of `Settings.rereadable`, and what uses the new content of each."""

    settings: Settings
    _takers: Mapping[str, _Take]
    _sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _texts: dict[str, str] = attrs.field(init=False, factory=dict, repr=False)
    # The files that cannot be used now, and how often each became so.
    refused: set[str] = attrs.field(init=False, factory=set)
    refusals: Counter[str] = attrs.field(init=False, factory=Counter)

    async def look(self) -> None:
        """Read all files again, and apply changed ones."""
        for name in self.settings.rereadable:
            try:
                # In a thread: a disk may hang, and keys are tried for weakness.
                text, changed = await asyncio.to_thread(self._changed, name)
            except SettingsError as error:
                self._texts.pop(name, None)
                self._refuse(name, error)
                continue
            self.refused.discard(name)
            if changed != self.settings:
                # First, because a file that failed is still new the next time.
                self._takers[name](changed)
                self.settings = changed
                structlog.get_logger().info("read again", setting=name)
            self._texts[name] = text

    def _changed(self, name: str) -> tuple[str, Settings]:
        text = self.settings.file_text(name)
        if text == self._texts.get(name):
            # Checking keys for weakness takes too long to do all the time.
            return text, self.settings
        return text, self.settings.reread(name, text)

    async def keep_looking(self) -> None:
        while True:
            await self._sleep(FILES_EVERY_S)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # the next read may succeed
                structlog.get_logger().error("bug", exc_info=error)

    def _refuse(self, name: str, error: SettingsError) -> None:
        if name in self.refused:
            return
        self.refused.add(name)
        self.refusals[name] += 1
        structlog.get_logger().error(
            "a changed file is not used",
            setting=name,
            problems=error.problems,
            advice="fix it: the previous content is in use, and no process can start",
        )


class _Logged(FetchListener):
    @override
    def replaced(self, name: str, published: PublishedKeys) -> None:
        log = structlog.get_logger()
        log.info("keys were read", setting=name, kids=", ".join(published.keys.keys))
        if published.leaked:
            log.error(
                "private keys are published",
                setting=name,
                kids=", ".join(published.leaked),
                advice="their issuer must replace them: their tokens are refused",
            )

    @override
    def failed(self, name: str, reason: str, *, is_over: bool) -> None:
        event = "keys are too old" if is_over else "keys cannot be read"
        structlog.get_logger().error(event, setting=name, reason=reason)


@attrs.define(eq=False)
class Refreshing:
    """What verifies tokens and webhooks, and what keeps their keys current."""

    verifier: JwtVerifier | IssuersVerifier
    signatures: StripeSignatures
    files: RereadFiles
    fetched: Sequence[FetchedKeys]

    @classmethod
    def of(cls, settings: Settings, clock: SystemClock) -> Self:
        """Create all of it; only the settings have been read so far.

        Raises:
            SettingsError: keys or secrets cannot be used.
        """
        takers: dict[str, _Take] = {}
        with _blamed("PAYMENTS_STRIPE_WEBHOOK_SECRETS") as name:
            signatures = StripeSignatures(_secrets(settings), clock)
            takers[name] = lambda it: signatures.replace(it.stripe_webhook_secrets)
        users = _source(settings, takers, "PAYMENTS_JWT_KEYS", lambda it: it.jwt_keys)
        sources = [users]
        verifiers = [
            JwtVerifier(
                users,
                issuer=settings.jwt_issuer,
                audience=settings.jwt_audience,
                clock=clock,
                max_age=settings.jwt_max_age,
            )
        ]
        if settings.kubernetes_issuer is not None:
            clusters = _source(
                settings,
                takers,
                "PAYMENTS_KUBERNETES_KEYS",
                lambda it: it.kubernetes_keys,
            )
            sources.append(clusters)
            verifiers.append(
                JwtVerifier(
                    clusters,
                    issuer=settings.kubernetes_issuer,
                    audience=settings.kubernetes_audience or settings.jwt_audience,
                    clock=clock,
                    max_age=settings.kubernetes_max_age,
                    service_accounts=settings.kubernetes_scopes,
                )
            )
        return cls(
            verifiers[0] if len(verifiers) == 1 else IssuersVerifier(verifiers),
            signatures,
            RereadFiles(settings, takers),
            [it for it in sources if isinstance(it, FetchedKeys)],
        )

    @property
    def trouble(self) -> str | None:
        """Return what the first token still needs; None if nothing is missing."""
        missing = [it.name for it in self.fetched if it.age_s is None]
        return f"no keys yet of {', '.join(missing)}" if missing else None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Cancel reads in progress at the end; only `kept` reads periodically."""
        async with AsyncExitStack() as stack:
            for it in self.fetched:
                await stack.enter_async_context(it.opened())
            yield

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep all keys current while this is open."""
        loops = [it.keep_reading() for it in self.fetched]
        if self.files.settings.rereadable:
            loops.append(self.files.keep_looking())
        tasks = [asyncio.ensure_future(it) for it in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def key_urls(settings: Settings) -> Mapping[str, KeyUrl]:
    """Return the addresses of keys, by the setting that has each."""
    found = {}
    if settings.jwt_keys_url is not None:
        found["PAYMENTS_JWT_KEYS_URL"] = KeyUrl(settings.jwt_keys_url)
    if settings.kubernetes_keys_url is not None:
        found["PAYMENTS_KUBERNETES_KEYS_URL"] = KeyUrl(
            settings.kubernetes_keys_url,
            settings.kubernetes_ca_file,
            settings.kubernetes_token_file,
        )
    return found


def _secrets(settings: Settings) -> tuple[str, ...]:
    """Return the secrets of webhooks; a worker, which receives none, has its own."""
    # Random, so no signature matches it.
    unknown = f"whsec_{secrets.token_hex(_UNKNOWN_BYTES)}"
    return settings.stripe_webhook_secrets or (unknown,)


def _source(
    settings: Settings,
    takers: dict[str, _Take],
    name: str,
    keys_of: Callable[[Settings], str | None],
) -> HeldKeys | FetchedKeys:
    """Return the keys of an issuer: at an address, or in the setting `name`."""
    source = _fetched(settings, f"{name}_URL")
    if source is not None:
        return source
    keys = keys_of(settings)
    if keys is None:
        # A worker's settings have no keys: it verifies no tokens.
        return HeldKeys(None)
    with _blamed(name):
        held = HeldKeys(KeySet.from_jwks(keys))
    takers[name] = lambda it: _hold(held, keys_of(it))
    return held


def _fetched(settings: Settings, name: str) -> FetchedKeys | None:
    url = key_urls(settings).get(name)
    if url is None:
        return None
    limits = settings.in_flight
    waiting_max = max(1, min(limits.reads, limits.changes) // _WAITING_PART)
    return FetchedKeys(name, url.fetch, _Logged(), waiting_max=waiting_max)


def _hold(held: HeldKeys, keys: str | None) -> None:
    held.current = KeySet.from_jwks(keys or "")


@contextmanager
def _blamed(name: str) -> Iterator[str]:
    try:
        yield name
    except InvalidValue as error:
        raise SettingsError({name: error.reason}) from error
