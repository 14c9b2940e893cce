"""What became of webhooks that changed nothing: counted, and told in the log.

A wrong secret, or an endpoint of the other mode, refuses every webhook, and nothing
else shows it: Stripe alone would know, and give up after three days.

Rule 1: each refusal and each event that is quarantined or ignored is counted by its
        reason, of which there are few: neither a reason nor a line holds anything of
        the input. What is ignored is no trouble, and is not in the log.
Rule 2: each event that was verified is counted by its type and what became of it at
        once. A type that we do not know is `other`: Stripe chooses its name.
Rule 3: of each other reason one warning a minute, the first at once, with how many it
        stands for and what to do. Anybody may send what is refused, as often as they
        like.
"""

from collections import Counter
from types import MappingProxyType
from typing import Final

import attrs

from payments_adapters.stripe import FOLLOWED, IGNORED, UNKNOWN_TYPE
from payments_core.errors import BadSignature, EventTypeMismatch, SignatureFault
from payments_core.events import UNREADABLE, EventState, Outcome
from payments_service.rare_warnings import RareWarnings

# Reasons are constants of ours; a bug that makes others may not fill the memory.
REASONS_MAX: Final = 64
OTHER: Final = "other"
# What became of an event at once, besides the states of one that is kept.
DUPLICATE: Final = "duplicate"
FAILED: Final = "failed"
_OUTCOMES: Final = frozenset({*EventState, DUPLICATE, FAILED})
# A thin event has a type of its own.
_TYPES: Final = frozenset(
    {UNREADABLE, *FOLLOWED, *IGNORED, *(f"v1.{it}" for it in FOLLOWED)}
)

_ANYBODY: Final = (
    "if Stripe reports failed deliveries, see docs/api.md, Webhooks; else it is not "
    "Stripe that sends them"
)
REMEDIES: Final = MappingProxyType(
    {
        SignatureFault.MISMATCH.value: (
            "compare PAYMENTS_STRIPE_WEBHOOK_SECRETS with the signing secret of this "
            "endpoint, in this mode; while it is rolled, list both. A proxy may change "
            "no byte of the body"
        ),
        SignatureFault.STALE.value: (
            "set the clock of this machine; what is held back for over five minutes, "
            "by a proxy say, is refused too"
        ),
        SignatureFault.MISSING.value: (
            "a proxy may drop the header Stripe-Signature; else it is not Stripe that "
            "sends them"
        ),
        SignatureFault.MALFORMED.value: (
            "a proxy may change the header Stripe-Signature; else it is not Stripe "
            "that sends them"
        ),
        EventTypeMismatch.code: (
            "register this route at Stripe for its one type of event, or all types at "
            "/webhooks/stripe"
        ),
    }
)
QUARANTINED: Final = (
    "nothing of it was applied: `payments webhook list --state quarantined` lists "
    "them, `payments webhook show ID` shows one. Once its reason is gone, "
    "`payments webhook replay ID` applies it; `link` says whose it is, `close` ends it"
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
    # By type and outcome. Who has one that is there already counts it without a call.
    received: dict[tuple[str, str], int] = attrs.field(init=False)

    @refused.default
    def _none_yet(self) -> Counter[str]:
        # An alert on growth misses the first of a series that was not there.
        return Counter(dict.fromkeys(REMEDIES, 0))

    @ignored.default
    def _none_unknown(self) -> Counter[str]:
        return Counter({UNKNOWN_TYPE: 0})

    @received.default
    def _none_received(self) -> dict[tuple[str, str], int]:
        return {(it, EventState.APPLIED.value): 0 for it in FOLLOWED}

    def receive(self, type_: str, outcome: str) -> None:
        """Hear what became of an event that was verified."""
        known = type_ if type_ in _TYPES else OTHER
        key = known, outcome if outcome in _OUTCOMES else OTHER
        self.received[key] = self.received.get(key, 0) + 1

    def refuse(self, error: Exception) -> None:
        """Hear that a webhook was answered with this error: nothing of it was kept."""
        reason = _bounded(self.refused, reason_of(error))
        self.refused[reason] += 1
        to_do = REMEDIES.get(reason, _ANYBODY)
        self._warnings.warn("webhook refused", reason, reason=reason, to_do=to_do)

    def keep(self, outcome: Outcome) -> None:
        """Hear that an event is quarantined or ignored.

        That is as it comes, or by the job that it waits for.
        """
        # What a parser says of a field would be a series of each field.
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
