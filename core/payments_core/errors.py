"""Whose fault is it, and may I retry? Three answers; the edge needs no more.

`Rejected`: the caller asked for something the rules forbid. Do not retry.
`Unavailable`: the world did not answer. Retry with the same key or event.
`Untrusted`: the message does not come from who it claims. Do not read it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Final

RETRY_AFTER_S: Final = 1


class PaymentsError(Exception):
    """Anything this library raises on purpose.

    `message` is its text, unless it is made with one of its own.
    """

    code: ClassVar[str] = "payments_error"
    message: ClassVar[str] = ""
    # When to ask again; None if that is of no use.
    retry_after_s: int | None = None

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.message)


class Rejected(PaymentsError):  # noqa: N818  # the tree reads as a sentence
    code: ClassVar[str] = "rejected"


class Unavailable(PaymentsError):  # noqa: N818  # see Rejected
    code: ClassVar[str] = "unavailable"
    retry_after_s = RETRY_AFTER_S


class Untrusted(PaymentsError):  # noqa: N818  # see Rejected
    code: ClassVar[str] = "untrusted"


class InvalidValue(Rejected):
    """A value that no rule could make sense of; `field` says which, "" the whole."""

    code: ClassVar[str] = "invalid_value"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class CurrencyMismatch(Rejected):
    code: ClassVar[str] = "currency_mismatch"

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"cannot mix {left} and {right}")
        self.left = left
        self.right = right


class IllegalTransition(Rejected):
    code: ClassVar[str] = "illegal_transition"

    def __init__(self, subject: str, before: str, after: str) -> None:
        super().__init__(f"a {before} {subject} does not become {after}")
        self.before = before
        self.after = after


class AccountNotFound(Rejected):
    """There is no such account, or the caller may not know that there is."""

    code: ClassVar[str] = "account_not_found"
    message: ClassVar[str] = "no such user"


class NotRecorded(Rejected):
    """What was known then was not logged: the account's first row is later."""

    code: ClassVar[str] = "not_recorded"
    message: ClassVar[str] = "nothing was recorded of this user by then"


class FeatureNotFound(Rejected):
    """The catalogue names no such feature."""

    code: ClassVar[str] = "feature_not_found"
    message: ClassVar[str] = "the catalogue names no such feature"


class PassesNotOffered(Rejected):
    """There is no key here that signs access passes."""

    code: ClassVar[str] = "access_pass_not_offered"
    message: ClassVar[str] = "no access passes are issued here: ask for the access"


class PositionNotGiven(Rejected):
    """No change has this position yet: the feed that it is of was another one."""

    code: ClassVar[str] = "position_not_given"
    message: ClassVar[str] = (
        "the feed ends before this position: it was restored, so read it anew"
    )


class EmailTaken(Rejected):
    code: ClassVar[str] = "email_taken"
    field: ClassVar[str] = "email"
    message: ClassVar[str] = "another user has this e-mail"


class CustomerTaken(Rejected):
    """A gateway customer is bound to one account at a time, and an account to one."""

    code: ClassVar[str] = "customer_taken"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.field = "customer_id"
        self.reason = reason


class ScopeRequired(Rejected):
    code: ClassVar[str] = "scope_required"

    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs a token with the scope {scope}")
        self.scope = scope


class PriceNotAllowed(Rejected):
    """Only an administrator names any price; others one that the catalogue lists."""

    code: ClassVar[str] = "price_not_allowed"

    def __init__(
        self, reason: str = "name a product: a price is an administrator's to choose"
    ) -> None:
        self.field = "price"
        self.reason = reason
        super().__init__(f"{self.field}: {self.reason}")


class TrialNotAllowed(Rejected):
    """Only an administrator gives a trial, or makes it one of something else."""

    code: ClassVar[str] = "trial_not_allowed"

    def __init__(
        self,
        field: str = "trial_days",
        reason: str = "a trial is an administrator's to give, or the catalogue's",
    ) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{self.field}: {self.reason}")


class AccountErased(Rejected):
    """The user was erased, for good."""

    code: ClassVar[str] = "account_erased"
    message: ClassVar[str] = "this user was erased: a new one needs another id"


class AccountInUse(Rejected):
    """A user is not erased while something of theirs is under way."""

    code: ClassVar[str] = "account_in_use"

    def __init__(self, open_: Sequence[str]) -> None:
        super().__init__("it cannot be erased yet:\n" + "\n".join(open_))
        self.open = tuple(open_)


class ErasureKeyUnusable(Unavailable):
    """There are tombstones, and without their key nobody knows whom they name."""

    code: ClassVar[str] = "erasure_key_unusable"
    message: ClassVar[str] = (
        "users were erased with a key that PAYMENTS_ERASURE_KEY does not give"
    )


class PaymentNotFound(Rejected):
    """Neither we nor the gateway know it."""

    code: ClassVar[str] = "payment_not_found"
    message: ClassVar[str] = "there is no such payment"


class PaymentLinked(Rejected):
    """It is linked to another user."""

    code: ClassVar[str] = "payment_linked"

    def __init__(self, user_id: str) -> None:
        super().__init__(f"user {user_id} has this payment: unlink it first")
        self.user_id = user_id


class SubscriptionLinked(Rejected):
    """It is linked to another user."""

    code: ClassVar[str] = "subscription_linked"

    def __init__(self, user_id: str) -> None:
        super().__init__(f"user {user_id} has this subscription: unlink it first")
        self.user_id = user_id


class PaymentOfSubscription(Rejected):
    """It paid an invoice of a subscription: it is whose that is, and stays it."""

    code: ClassVar[str] = "payment_of_subscription"

    def __init__(self, user_id: str) -> None:
        super().__init__(
            f"it paid an invoice of a subscription of user {user_id}, whose it stays"
        )
        self.user_id = user_id


class TokenNotFound(Rejected):
    """There is no such token, or it is not the caller's to invalidate."""

    code: ClassVar[str] = "token_not_found"
    message: ClassVar[str] = "no such token of yours"


class EventNotFound(Rejected):
    code: ClassVar[str] = "event_not_found"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"no event {event_id} was kept")
        self.event_id = event_id


class EventApplied(Rejected):
    """There is nothing to apply again: merged twice, a report changes nothing."""

    code: ClassVar[str] = "event_applied"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {event_id} was applied")
        self.event_id = event_id


class EventClosed(Rejected):
    """An operator has decided that nothing follows of it."""

    code: ClassVar[str] = "event_closed"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {event_id} was closed by hand")
        self.event_id = event_id


class EventOfOtherMode(Rejected):
    """It is of the gateway's test mode and we are live, or the other way round."""

    code: ClassVar[str] = "event_of_other_mode"

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"event {event_id} is of the other mode: nothing can follow of it, close it"
        )
        self.event_id = event_id


class EventNotLinkable(Rejected):
    code: ClassVar[str] = "event_not_linkable"

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"event {event_id} is about no payment and no subscription that can be read"
        )
        self.event_id = event_id


class EventBodyGone(Rejected):
    """It was not applied, and is older than bodies are kept."""

    code: ClassVar[str] = "event_body_gone"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"the body of event {event_id} is not kept any more")
        self.event_id = event_id


class JobNotFound(Rejected):
    code: ClassVar[str] = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")
        self.job_id = job_id


class DeliveryNotFound(Rejected):
    code: ClassVar[str] = "delivery_not_found"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"there is no delivery {delivery_id}")
        self.delivery_id = delivery_id


class TooManyOpen(Rejected):
    """An endpoint has as many open deliveries as it may; `left` more were wanted.

    They are those after `position`.
    """

    code: ClassVar[str] = "too_many_open"

    def __init__(self, endpoint: str, left: int, position: int) -> None:
        super().__init__(
            f"{endpoint} has as many open deliveries as it may: {left} are left, those "
            f"after position {position}; go on there when there is room"
        )
        self.endpoint = endpoint
        self.left = left
        self.position = position


class EventTypeMismatch(Rejected):
    """A signed event came to a route that takes another type."""

    code: ClassVar[str] = "event_type_mismatch"

    def __init__(self, expected: str) -> None:
        super().__init__(f"this route takes {expected} only")
        self.expected = expected


class SubscriptionNotFound(Rejected):
    """There is no such subscription, or it is not the user's."""

    code: ClassVar[str] = "subscription_not_found"
    message: ClassVar[str] = "no such subscription"


class AlreadySubscribed(Rejected):
    """The user has an open subscription of the product: `subscription_id`."""

    code: ClassVar[str] = "already_subscribed"

    def __init__(self, subscription_id: str) -> None:
        super().__init__("the user has an open subscription of this product")
        self.subscription_id = subscription_id


class SubscriptionEnded(Rejected):
    code: ClassVar[str] = "subscription_ended"

    def __init__(self, status: str) -> None:
        super().__init__(f"the subscription is {status}: nothing can change it")
        self.status = status


class PeriodNotPaid(Rejected):
    """A change would give back time of the current period, whose money is not ours."""

    code: ClassVar[str] = "period_not_paid"

    def __init__(self, field: str) -> None:
        self.field = field
        self.reason = "the current period is not paid, or its payment is disputed"
        super().__init__(f"{self.field}: {self.reason}")


class PreviewExpired(Rejected):
    """The proration date is no date of a recent preview of this period."""

    code: ClassVar[str] = "preview_expired"

    def __init__(self, reason: str, advice: str = "ask for a preview again") -> None:
        self.field = "proration_date"
        self.reason = reason
        super().__init__(f"{self.field}: {reason}; {advice}")


class IntentNotFound(Rejected):
    code: ClassVar[str] = "intent_not_found"
    message: ClassVar[str] = "no such intent"


class IdempotencyKeyReused(Rejected):
    """The key came before, with another request."""

    code: ClassVar[str] = "idempotency_key_reused"
    message: ClassVar[str] = "this idempotency key came with another request before"


class OperationInProgress(Rejected):
    """Such an operation of the user is under way; `intent_id` is it."""

    code: ClassVar[str] = "operation_in_progress"
    retry_after_s = RETRY_AFTER_S

    def __init__(self, intent_id: str) -> None:
        super().__init__("the same is under way already; ask again in a moment")
        self.intent_id = intent_id


class CalledOff(Rejected):
    """It was called off before it was known what came of it."""

    code: ClassVar[str] = "called_off"
    message: ClassVar[str] = "the operation was called off"


class IntentEnded(Rejected):
    code: ClassVar[str] = "intent_ended"

    def __init__(self, state: str) -> None:
        super().__init__(f"the operation has ended ({state}): nothing is to call off")
        self.state = state


class NotToBeCalledOff(Rejected):
    """It may have changed or taken something already that nothing gives back."""

    code: ClassVar[str] = "not_to_be_called_off"
    message: ClassVar[str] = (
        "it may have been done already, and cannot be undone: ask for its outcome"
    )


class CardDeclined(Rejected):
    """The bank said no; `decline_code` is its word, where it gave one."""

    code: ClassVar[str] = "card_declined"

    def __init__(self, reason: str, decline_code: str | None) -> None:
        super().__init__(reason)
        self.decline_code = decline_code


class UnknownReference(Rejected):
    """A field names something that the gateway does not have, or does not sell."""

    code: ClassVar[str] = "unknown_reference"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Abandoned(Rejected):
    """It could not be done in a day, and was given up; nothing was done."""

    code: ClassVar[str] = "abandoned"
    message: ClassVar[str] = "Stripe did not answer for a day: given up"


# The refusal code of a read whose id is none of the gateway's.
INVALID_ID: Final = "invalid_id"


class GatewayRefused(Rejected):
    """The gateway said no, for good: nothing was done, nothing will be.

    `field` names what it is about in our words, `refusal_code` is the gateway's own.
    `declined` says that it was the bank.
    """

    code: ClassVar[str] = "gateway_refused"

    def __init__(
        self,
        refusal_code: str,
        reason: str,
        *,
        field: str | None = None,
        decline_code: str | None = None,
        declined: bool = False,
    ) -> None:
        super().__init__(f"{refusal_code}: {reason}")
        self.refusal_code = refusal_code
        self.reason = reason
        self.field = field
        self.decline_code = decline_code
        self.declined = declined


class GatewayObjectMissing(Rejected):
    """The gateway has no such object; `what` is our word for its kind."""

    code: ClassVar[str] = "gateway_object_missing"

    def __init__(self, what: str) -> None:
        super().__init__(f"Stripe knows no such {what}")
        self.what = what


class StoreUnavailable(Unavailable):
    """The database did not say whether it did it; running it again is safe."""

    code: ClassVar[str] = "store_unavailable"
    message: ClassVar[str] = "the database did not answer; try again"


class SaveTimedOut(StoreUnavailable):
    """The database did not answer a save in time."""

    code: ClassVar[str] = "save_timed_out"


class AccountBusy(Unavailable):
    """The account stayed locked, or was changed by others all the time."""

    code: ClassVar[str] = "account_busy"
    message: ClassVar[str] = "the account is busy; try again in a moment"


class Overloaded(Unavailable):
    code: ClassVar[str] = "overloaded"
    message: ClassVar[str] = "too much is waiting already; try again in a moment"


class KeysUnavailable(Unavailable):
    """No token of an issuer can be verified: its keys were never read, or long ago.

    Or too many wait for them already, while they are read.
    """

    code: ClassVar[str] = "keys_unavailable"
    message: ClassVar[str] = (
        "the keys that verify this token cannot be read now; try again in a moment"
    )

    def __init__(self, issuer: str) -> None:
        super().__init__()
        self.issuer = issuer


class SyncedRecently(Unavailable):
    """The user's sync is under way, or was a moment ago: see `SYNC_EVERY_S`."""

    code: ClassVar[str] = "synced_recently"
    message: ClassVar[str] = "this user is or was just synced; try again in a moment"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class RateLimited(Unavailable):
    """The caller makes more requests than `quota` in `window_s` of what `policy` names.

    Nothing was done; there is room again after `retry_after_s` seconds.
    """

    code: ClassVar[str] = "rate_limited"
    message: ClassVar[str] = "too many requests of this caller; try again later"

    def __init__(
        self, policy: str, quota: int, window_s: int, retry_after_s: int
    ) -> None:
        super().__init__()
        self.policy = policy
        self.quota = quota
        self.window_s = window_s
        self.retry_after_s = retry_after_s


class TooManyDeclines(Unavailable):
    """Cards of the user were declined too often within an hour.

    Nothing was asked of Stripe; the oldest decline leaves the hour after
    `retry_after_s` seconds.
    """

    code: ClassVar[str] = "too_many_declines"
    message: ClassVar[str] = (
        "cards of this user were declined too often within an hour; try again later"
    )

    def __init__(self, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class GatewayUnavailable(Unavailable):
    code: ClassVar[str] = "gateway_unavailable"


class GatewayNotAttempted(GatewayUnavailable):
    """The gateway was not asked, or refused to listen: nothing was done."""

    code: ClassVar[str] = "gateway_busy"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Stripe cannot be asked now: {reason}")
        self.reason = reason


class GatewayMisconfigured(GatewayNotAttempted):
    """The gateway refuses our key, or does not permit it this: nothing was done.

    It does so until a person sets another key. `permission` says that the key is good,
    but not for this.
    """

    code: ClassVar[str] = "gateway_key_refused"

    def __init__(
        self,
        reason: str = "it refuses the key of this service",
        *,
        permission: bool = False,
    ) -> None:
        super().__init__(reason)
        self.permission = permission


class GatewayOutcomeUnknown(GatewayUnavailable):
    """The gateway did not say whether it did it.

    `server_error_cached` says that it answered with an error of its own, which it
    keeps under the idempotency key: the same key will not tell more.
    """

    code: ClassVar[str] = "gateway_silent"

    def __init__(self, reason: str, *, server_error_cached: bool = False) -> None:
        super().__init__(f"Stripe did not answer: {reason}")
        self.reason = reason
        self.server_error_cached = server_error_cached


class SignatureFault(StrEnum):
    """What is wrong with a signature, as far as its remedies differ."""

    MISSING = "signature_missing"
    MALFORMED = "signature_malformed"
    # Too old, or from the future.
    STALE = "signature_stale"
    # Of another secret, or of other bytes.
    MISMATCH = "signature_mismatch"


class BadSignature(Untrusted):
    code: ClassVar[str] = "bad_signature"

    def __init__(
        self, reason: str, fault: SignatureFault = SignatureFault.MALFORMED
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault


class InvalidToken(Untrusted):
    """A token that is not accepted.

    `unknown_key_of` is the issuer whose keys, as we know them, lack the one that the
    token names; None where anything else is wrong.
    """

    code: ClassVar[str] = "invalid_token"

    def __init__(self, reason: str, *, unknown_key_of: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unknown_key_of = unknown_key_of


class TokenInvalidated(Untrusted):
    code: ClassVar[str] = "token_invalidated"
    message: ClassVar[str] = "this token was invalidated"
