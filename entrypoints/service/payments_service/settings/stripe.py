"""Which Stripe is called, and with which key and secrets."""

import re
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from payments_service.settings.reader import Reader, SettingsError
from payments_service.settings.values import ENVIRONMENTS, PORT_MAX, one_of

STRIPE_API_BASE: Final = "https://api.stripe.com"
_API_KEY: Final = re.compile(r"(?:sk|rk)_(test|live)_[A-Za-z0-9_]+")
# Spelled out rather than parsed: parsers disagree about `@`, `\\`, `#` and tabs.
_LOOPBACK_BASE: Final = re.compile(
    r"https?://(?:127\.0\.0\.1|localhost|\[::1\])(?::([0-9]{1,5}))?"
)


@attrs.frozen(kw_only=True)
class StripeAccess:
    """The settings for managing Stripe endpoints, which have no secret yet."""

    livemode: bool
    api_base: str
    api_key: str = attrs.field(repr=False)
    webhook_secrets: tuple[str, ...] = attrs.field(default=(), repr=False)

    @property
    def mode(self) -> str:
        return "live" if self.livemode else "test"


def stripe_access(env: Mapping[str, str]) -> StripeAccess:
    """Read only the settings that calls of Stripe need.

    Raises:
        SettingsError: the mode or the key is missing, or something cannot be read.
    """
    given = Reader(env)
    live = given.required("PAYMENTS_ENV", one_of(ENVIRONMENTS)) == "production"
    base = given.get("PAYMENTS_STRIPE_API_BASE", api_base(live=live), STRIPE_API_BASE)
    key = given.required("PAYMENTS_STRIPE_API_KEY", api_key(live=live))
    none = tuple[str, ...]()
    secrets = given.get("PAYMENTS_STRIPE_WEBHOOK_SECRETS", webhook_secrets, none)
    if given.problems or key is None:
        raise SettingsError(given.problems)
    return StripeAccess(
        livemode=live, api_base=base, api_key=key, webhook_secrets=secrets
    )


def api_base(*, live: bool) -> Callable[[str], str]:
    def read(text: str) -> str:
        text = text.rstrip("/")
        if text == STRIPE_API_BASE:
            return text
        # A secret key is sent wherever this points, so it may point only to Stripe or
        # to this machine.
        if live:
            raise ValueError(f"production talks to {STRIPE_API_BASE} only")
        match = _LOOPBACK_BASE.fullmatch(text)
        if match is None or int(match[1] or 0) > PORT_MAX:
            raise ValueError(f"neither {STRIPE_API_BASE} nor a loopback address")
        return text

    return read


def api_key(*, live: bool) -> Callable[[str], str]:
    wanted = "live" if live else "test"

    def read(text: str) -> str:
        match = _API_KEY.fullmatch(text)
        if match is None:
            raise ValueError("not a Stripe key (sk_… or rk_…)")
        if match[1] != wanted:
            raise ValueError(
                f"a {match[1]} key; this environment takes {wanted} keys only"
            )
        return text

    return read


def webhook_secrets(text: str) -> tuple[str, ...]:
    # The adapter knows the form. Imported here: `--help` reads no settings.
    from payments_adapters.stripe.signature import check_secrets  # noqa: PLC0415

    secrets = tuple(filter(None, re.split(r"[\s,]+", text)))
    check_secrets(secrets)
    return secrets
