"""Webhooks that changed nothing, by reason: counted and logged.

With a wrong secret, or an endpoint of the other mode, every webhook is refused, and
nothing else shows it: only Stripe knows, and gives up after three days.

Rule 1: each refusal and each event that is quarantined or ignored is counted by its
        reason, of which there are few: neither a reason nor a log line contains any
        input. An ignored event is not a problem, and is not logged.
Rule 2: each verified event is counted by its type and its immediate outcome. An unknown
        type is `other`: Stripe chooses its name.
Rule 3: for each other reason one warning a minute, the first at once, with the number
        it stands for and what to do. Anybody can send requests that are refused, as
        often as they like.
"""

from collections import Counter
from types import MappingProxyType
from typing import Final

import attrs

from payments_adapters.stripe import FOLLOWED, IGNORED, UNKNOWN_TYPE
from payments_core.errors import BadSignature, EventTypeMismatch, SignatureFault
from payments_core.events import UNREADABLE, EventState, Outcome
from payments_service.rare_warnings import RareWarnings

# Reasons are constants of ours; a bug that makes others must not fill the memory.
REASONS_MAX: Final = 64
OTHER: Final = "other"
# The immediate outcomes of an event, besides the states of a stored one.
DUPLICATE: Final = "duplicate"
FAILED: Final = "failed"
_OUTCOMES: Final = frozenset({*EventState, DUPLICATE, FAILED})
# A thin event counts under a type of its own.
_TYPES: Final = frozenset(
    {UNREADABLE, *FOLLOWED, *IGNORED, *(f"v1.{it}" for it in FOLLOWED)}
)

_ANYBODY: Final = (
    "if Stripe reports failed deliveries, see docs/api.md, Webhooks; otherwise the "
    "sender is not Stripe"
)
REMEDIES: Final = MappingProxyType(
    {
        SignatureFault.MISMATCH.value: (
            "compare PAYMENTS_STRIPE_WEBHOOK_SECRETS with the signing secret of this "
            "endpoint, in this mode; while it is rolled, list both. A proxy must "
            "not change the body"
        ),
        SignatureFault.STALE.value: (
            "set the clock of this machine; a webhook that is delayed for over five "
            "minutes, by a proxy for example, is refused too"
        ),
        SignatureFault.MISSING.value: (
            "a proxy may drop the header Stripe-Signature; otherwise the sender is not "
            "Stripe"
        ),
        SignatureFault.MALFORMED.value: (
            "a proxy may change the header Stripe-Signature; otherwise the sender is "
            "not Stripe"
        ),
        EventTypeMismatch.code: (
            "register this route at Stripe for its one type of event, or all types at "
            "/webhooks/stripe"
        ),
    }
)
QUARANTINED: Final = (
    "it was not applied: `payments webhook list --state quarantined` lists "
    "them, `payments webhook show ID` shows one. Once its reason is gone, "
    "`payments webhook replay ID` applies it; `link` sets its owner, `close` closes it"
)


def reason_of(error: Exception) -> str:
    """Return the reason of a refusal: a code, of which there are few."""
    if isinstance(error, BadSignature):
        return error.fault.value
    return str(getattr(error, "code", type(error).__name__))


@attrs.define
class WebhookReports:
    """Counts and warnings of one process, by reason."""

    _warnings: RareWarnings = attrs.field(factory=RareWarnings)
    refused: Counter[str] = attrs.field(init=False)
    quarantined: Counter[str] = attrs.field(init=False, factory=Counter)
    ignored: Counter[str] = attrs.field(init=False)
    # By type and outcome. The hot path increments an existing key without a call.
    received: dict[tuple[str, str], int] = attrs.field(init=False)

    @refused.default
    def _none_yet(self) -> Counter[str]:
        # An alert on growth misses the first value of a new series.
        return Counter(dict.fromkeys(REMEDIES, 0))

    @ignored.default
    def _none_unknown(self) -> Counter[str]:
        return Counter({UNKNOWN_TYPE: 0})

    @received.default
    def _none_received(self) -> dict[tuple[str, str], int]:
        return {(it, EventState.APPLIED.value): 0 for it in FOLLOWED}

    def receive(self, type_: str, outcome: str) -> None:
        """Count a verified event by its immediate outcome."""
        known = type_ if type_ in _TYPES else OTHER
        key = known, outcome if outcome in _OUTCOMES else OTHER
        self.received[key] = self.received.get(key, 0) + 1

    def refuse(self, error: Exception) -> None:
        """Count a webhook that was refused with this error: it was not stored."""
        reason = _bounded(self.refused, reason_of(error))
        self.refused[reason] += 1
        to_do = REMEDIES.get(reason, _ANYBODY)
        self._warnings.warn("webhook refused", reason, reason=reason, to_do=to_do)

    def keep(self, outcome: Outcome) -> None:
        """Count an event that is quarantined or ignored.

        Either on arrival, or by the job that it waits for.
        """
        # A parser's reason, with the name of a field, would be a series per field.
        word = (outcome.reason or OTHER).partition(": ")[0]
        is_ignored = outcome.state is EventState.IGNORED
        counts = self.ignored if is_ignored else self.quarantined
        reason = _bounded(counts, word)
        counts[reason] += 1
        if not is_ignored:
            self._warnings.warn(
                "event quarantined", reason, reason=reason, to_do=QUARANTINED
            )


def _bounded(counts: Counter[str], reason: str) -> str:
    return reason if reason in counts or len(counts) < REASONS_MAX else OTHER
