"""Whether the endpoints at Stripe send this service what it needs: a pure function."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import attrs

from payments_adapters.stripe.api_shapes import API_VERSION
from payments_adapters.stripe.endpoint import ALL_TYPES, EVENT_TYPES, Endpoint
from payments_service.doctor.checks import CheckResult, CheckResults, ok, wrong
from payments_service.endpoint_roles import (
    WEBHOOK_PATH,
    Role,
    address_of,
    digest_of,
    knows_secret,
    role_of,
    shown_url,
    since_of,
    stripe_command,
)

ENDPOINTS: Final = "endpoints"
# The overlap of a roll is a day; a longer one was forgotten.
ROLL_LATE: Final = timedelta(days=2)
# The service's address, if it is unknown.
_ITS_ADDRESS: Final = "https://YOUR-ADDRESS"


@attrs.frozen(kw_only=True)
class EndpointReview:
    """The endpoints at Stripe at `at`, compared with the `secrets` of the settings.

    `url` is the address to check; None: any address of such a service. `others` are the
    endpoints at other addresses.
    """

    endpoints: Sequence[Endpoint]
    others: Sequence[Endpoint] = ()
    secrets: Sequence[str]
    livemode: bool
    at: datetime
    url: str | None = None

    def results(self) -> CheckResults:
        if not self._with(Role.IN_USE):
            return [
                wrong(
                    ENDPOINTS,
                    f"no endpoint sends to …{WEBHOOK_PATH}",
                    _setup(self.url or _ITS_ADDRESS),
                ),
                *self._of_rolls(),
            ]
        found = [
            *(it for one in self._with(Role.IN_USE) for it in self._of(one)),
            *self._of_types(),
            *self._of_rolls(),
            *self._of_kinds(),
            *self._of_secrets(),
        ]
        if found:
            return found
        return [ok(ENDPOINTS, self._described(it)) for it in self._enabled()]

    def _with(self, role: Role) -> Sequence[Endpoint]:
        return [it for it in self.endpoints if role_of(it) is role]

    def _enabled(self) -> Sequence[Endpoint]:
        return [it for it in self._with(Role.IN_USE) if it.is_enabled]

    def _described(self, it: Endpoint) -> str:
        what = "thin events" if it.is_thin else f"version {it.api_version}"
        secret = "" if it.marks.secret else "; its secret is not noted, so not checked"
        return f"{it.id} to {shown_url(it.url)}: enabled, {what}{secret}"

    def _of(self, it: Endpoint) -> Iterable[CheckResult]:
        if not it.is_enabled:
            yield wrong(ENDPOINTS, f"{it.id} is disabled", _set_up(it))
        if not it.is_thin and it.api_version != API_VERSION:
            version = it.api_version or "of the account"
            yield wrong(
                ENDPOINTS,
                f"{it.id} sends version {version}, not {API_VERSION}: each event costs "
                "one more call",
                f"a new endpoint has the right version: {self._replaced(it)}",
            )
        if self.livemode and not it.url.startswith("https:"):
            yield wrong(
                ENDPOINTS,
                f"{it.id} sends to an address without TLS",
                _setup(it.url.replace("http:", "https:", 1), is_thin=it.is_thin),
            )
        if knows_secret(it, self.secrets) is False:
            yield wrong(
                ENDPOINTS,
                f"the secret of {it.id} is not set: its events are refused",
                f"add it to PAYMENTS_STRIPE_WEBHOOK_SECRETS, or {self._replaced(it)}",
            )

    def _replaced(self, it: Endpoint) -> str:
        """Return how to replace an endpoint; a roll may be in progress."""
        in_use = self._by_address(self._with(Role.IN_USE))
        beside = in_use[address_of(it.url), it.is_thin]
        if len(beside) == 1:
            return f"roll it: {_begin_roll(it)}"
        if it is beside[-1]:
            return (
                f"delete {it.id} in Stripe's dashboard, and begin the roll again: "
                + _begin_roll(it)
            )
        return f"end the roll, which disables it: {_roll(beside[-1], '--finish')}"

    def _of_types(self) -> Iterable[CheckResult]:
        sent = {type_ for it in self._enabled() for type_ in it.types}
        if self._enabled() and ALL_TYPES not in sent and (lack := EVENT_TYPES - sent):
            text = f"no endpoint sends these types: {', '.join(sorted(lack))}"
            yield wrong(ENDPOINTS, text, _set_up(self._enabled()[0]))

    def _of_rolls(self) -> Iterable[CheckResult]:
        for it in self._with(Role.MADE):
            text = f"{it.id} was created by an interrupted run"
            # The command follows from the state that it left.
            replaces = any(
                address_of(one.url) == address_of(it.url)
                for one in self._with(Role.IN_USE)
            )
            again = _begin_roll(it) if replaces else _set_up(it)
            yield wrong(ENDPOINTS, text, f"run it again with the same file: {again}")
        for it in self._with(Role.WAITING):
            since = since_of(it, self.at)
            if self.at - since > ROLL_LATE:
                text = f"{it.id} has waited since {since:%F} to be enabled"
                yield wrong(ENDPOINTS, text, _roll(it, "--enable"))
        for rolled in self._by_address(self._enabled()).values():
            since = since_of(rolled[-1], self.at)
            if len(rolled) > 1 and self.at - since > ROLL_LATE:
                text = f"{rolled[0].id} and {rolled[-1].id} send the same events"
                yield wrong(ENDPOINTS, text, _roll(rolled[-1], "--finish"))

    def _by_address(
        self, endpoints: Sequence[Endpoint]
    ) -> Mapping[tuple[str, bool], Sequence[Endpoint]]:
        """Return endpoints by address and kind, each followed by its replacement."""
        found = dict[tuple[str, bool], list[Endpoint]]()
        # Stripe lists the newest first.
        for it in endpoints[::-1]:
            found.setdefault((address_of(it.url), it.is_thin), []).append(it)
        return MappingProxyType(
            {
                key: sorted(every, key=lambda it: since_of(it, self.at))
                for key, every in found.items()
            }
        )

    def _of_kinds(self) -> Iterable[CheckResult]:
        addresses = self._by_address(self._enabled())
        for url, is_thin in addresses:
            if not is_thin and (url, True) in addresses:
                yield wrong(
                    ENDPOINTS,
                    f"snapshots and thin events are sent to {shown_url(url)}: each "
                    "event arrives twice",
                    "disable one of them in Stripe's dashboard",
                )

    def _of_secrets(self) -> Iterable[CheckResult]:
        # Also for endpoints that are not checked: their secrets are in use, too.
        endpoints = [*self.endpoints, *self.others]
        noted = [it.marks.secret for it in endpoints]
        if None in noted:
            return
        # A replaced endpoint is disabled, and signs nothing.
        signing = {
            it.marks.secret
            for it in endpoints
            if it.is_enabled or role_of(it) is Role.WAITING
        }
        stale = [it for it in self.secrets if digest_of(it) not in signing]
        if stale:
            yield wrong(
                ENDPOINTS,
                f"{len(stale)} of {len(self.secrets)} secrets belong to no endpoint",
                "remove unused secrets from PAYMENTS_STRIPE_WEBHOOK_SECRETS",
            )


def _setup(url: str, *, is_thin: bool = False) -> str:
    file = ("--secret-file", "stripe-webhook-secrets")
    return stripe_command(url, "setup", *file, is_thin=is_thin)


def _set_up(it: Endpoint) -> str:
    return _setup(it.url, is_thin=it.is_thin)


def _roll(it: Endpoint, *words: str) -> str:
    return stripe_command(it.url, "roll-secret", *words, is_thin=it.is_thin)


def _begin_roll(it: Endpoint) -> str:
    return _roll(it, "--secret-file", "new-secret")
