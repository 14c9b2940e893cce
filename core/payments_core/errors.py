"""Errors by whose fault they are and whether a retry helps: three base classes.

`Rejected`: the caller asked for something the rules forbid. Do not retry.
`Unavailable`: a dependency did not answer. Retry with the same key or event.
`Untrusted`: the sender of the message is not verified. Do not read it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Final

RETRY_AFTER_S: Final = 1


class PaymentsError(Exception):
    """Base class of every error that this library raises on purpose.

    `message` is the default text; an instance may be given its own.
    """

    code: ClassVar[str] = "payments_error"
    message: ClassVar[str] = ""
    # When to retry; None if a retry does not help.
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
    """An invalid value; `field` names it, "" means the whole input."""

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
    """The account does not exist, or the caller may not know that it exists."""

    code: ClassVar[str] = "account_not_found"
    message: ClassVar[str] = "no such user"


class NotRecorded(Rejected):
    """The account's first row in the log is later than the requested time."""

    code: ClassVar[str] = "not_recorded"
    message: ClassVar[str] = "nothing was recorded about this user by that time"


class FeatureNotFound(Rejected):
    """The feature is not in the catalogue."""

    code: ClassVar[str] = "feature_not_found"
    message: ClassVar[str] = "the catalogue names no such feature"


class PassesNotOffered(Rejected):
    """No key to sign access passes is configured."""

    code: ClassVar[str] = "access_pass_not_offered"
    message: ClassVar[str] = "no access passes are issued here: read the access instead"


class PositionNotGiven(Rejected):
    """The feed has no such position yet: the position is from another feed."""

    code: ClassVar[str] = "position_not_given"
    message: ClassVar[str] = (
        "the feed ends before this position, so it was restored: read it from the start"
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
    """Only an administrator may use a price that the catalogue does not list."""

    code: ClassVar[str] = "price_not_allowed"

    def __init__(
        self, reason: str = "name a product: a price needs an administrator"
    ) -> None:
        self.field = "price"
        self.reason = reason
        super().__init__(f"{self.field}: {self.reason}")


class TrialNotAllowed(Rejected):
    """Only an administrator may give a trial, or change what a trial is for."""

    code: ClassVar[str] = "trial_not_allowed"

    def __init__(
        self,
        field: str = "trial_days",
        reason: str = "only an administrator or the catalogue may give a trial",
    ) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{self.field}: {self.reason}")


class AccountErased(Rejected):
    """The user was erased permanently."""

    code: ClassVar[str] = "account_erased"
    message: ClassVar[str] = "this user was erased: a new user needs another id"


class AccountInUse(Rejected):
    """The user still has something open, which prevents the erasure."""

    code: ClassVar[str] = "account_in_use"

    def __init__(self, open_: Sequence[str]) -> None:
        super().__init__("the user cannot be erased yet:\n" + "\n".join(open_))
        self.open = tuple(open_)


class ErasureKeyUnusable(Unavailable):
    """Tombstones exist, and the key that made them is not configured."""

    code: ClassVar[str] = "erasure_key_unusable"
    message: ClassVar[str] = (
        "users were erased with a key that is not in PAYMENTS_ERASURE_KEY"
    )


class PaymentNotFound(Rejected):
    """The payment exists neither here nor at the gateway."""

    code: ClassVar[str] = "payment_not_found"
    message: ClassVar[str] = "no such payment"


class PaymentLinked(Rejected):
    """The payment is linked to another user."""

    code: ClassVar[str] = "payment_linked"

    def __init__(self, user_id: str) -> None:
        super().__init__(f"payment linked to user {user_id}: unlink it first")
        self.user_id = user_id


class SubscriptionLinked(Rejected):
    """The subscription is linked to another user."""

    code: ClassVar[str] = "subscription_linked"

    def __init__(self, user_id: str) -> None:
        super().__init__(f"subscription linked to user {user_id}: unlink it first")
        self.user_id = user_id


class PaymentOfSubscription(Rejected):
    """The payment paid an invoice of a user's subscription and stays with that user."""

    code: ClassVar[str] = "payment_of_subscription"

    def __init__(self, user_id: str) -> None:
        super().__init__(
            f"it paid a subscription invoice of user {user_id}, who stays its owner"
        )
        self.user_id = user_id


class TokenNotFound(Rejected):
    """The token does not exist, or the caller may not invalidate it."""

    code: ClassVar[str] = "token_not_found"
    message: ClassVar[str] = "you have no such token"


class EventNotFound(Rejected):
    code: ClassVar[str] = "event_not_found"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"no event {event_id} is stored")
        self.event_id = event_id


class EventApplied(Rejected):
    """The event is already applied; to apply it again would change nothing."""

    code: ClassVar[str] = "event_applied"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {event_id} is already applied")
        self.event_id = event_id


class EventClosed(Rejected):
    """An operator closed the event: it is never applied."""

    code: ClassVar[str] = "event_closed"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {event_id} was closed by hand")
        self.event_id = event_id


class EventOfOtherMode(Rejected):
    """The event is from test mode and we run in live mode, or the other way round."""

    code: ClassVar[str] = "event_of_other_mode"

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"event {event_id} is of the other mode, never applied: close it"
        )
        self.event_id = event_id


class EventNotLinkable(Rejected):
    code: ClassVar[str] = "event_not_linkable"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {event_id} names no readable payment or subscription")
        self.event_id = event_id


class EventBodyGone(Rejected):
    """The event was not applied, and is older than the retention of bodies."""

    code: ClassVar[str] = "event_body_gone"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"the body of event {event_id} is no longer stored")
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
    """The endpoint reached its limit of open deliveries; `left` more were requested.

    They are the changes after `position`.
    """

    code: ClassVar[str] = "too_many_open"

    def __init__(self, endpoint: str, left: int, position: int) -> None:
        super().__init__(
            f"{endpoint} is at its limit of open deliveries: {left} are left, those "
            f"after position {position}; continue there when some have ended"
        )
        self.endpoint = endpoint
        self.left = left
        self.position = position


class EventTypeMismatch(Rejected):
    """The event is signed, but its route accepts another type only."""

    code: ClassVar[str] = "event_type_mismatch"

    def __init__(self, expected: str) -> None:
        super().__init__(f"this route accepts {expected} only")
        self.expected = expected


class SubscriptionNotFound(Rejected):
    """The subscription does not exist, or has another owner."""

    code: ClassVar[str] = "subscription_not_found"
    message: ClassVar[str] = "no such subscription"


class AlreadySubscribed(Rejected):
    """The user has an open subscription to the product: `subscription_id`."""

    code: ClassVar[str] = "already_subscribed"

    def __init__(self, subscription_id: str) -> None:
        super().__init__("the user has an open subscription to this product")
        self.subscription_id = subscription_id


class SubscriptionEnded(Rejected):
    code: ClassVar[str] = "subscription_ended"

    def __init__(self, status: str) -> None:
        super().__init__(f"the subscription is {status} and can no longer be changed")
        self.status = status


class PeriodNotPaid(Rejected):
    """The change would refund time of a period that is unpaid or disputed."""

    code: ClassVar[str] = "period_not_paid"

    def __init__(self, field: str) -> None:
        self.field = field
        self.reason = "the current period is not paid, or its payment is disputed"
        super().__init__(f"{self.field}: {self.reason}")


class PreviewExpired(Rejected):
    """The proration date is not from a recent preview of the current period."""

    code: ClassVar[str] = "preview_expired"

    def __init__(self, reason: str, advice: str = "request a new preview") -> None:
        self.field = "proration_date"
        self.reason = reason
        super().__init__(f"{self.field}: {reason}; {advice}")


class IntentNotFound(Rejected):
    code: ClassVar[str] = "intent_not_found"
    message: ClassVar[str] = "no such intent"


class IdempotencyKeyReused(Rejected):
    """The idempotency key was used before with another request."""

    code: ClassVar[str] = "idempotency_key_reused"
    message: ClassVar[str] = "this idempotency key was used before with another request"


class OperationInProgress(Rejected):
    """The user has such an operation in progress: `intent_id`."""

    code: ClassVar[str] = "operation_in_progress"
    retry_after_s = RETRY_AFTER_S

    def __init__(self, intent_id: str) -> None:
        super().__init__("the same operation is in progress; try again in a moment")
        self.intent_id = intent_id


class CalledOff(Rejected):
    """The operation was called off before its outcome was known."""

    code: ClassVar[str] = "called_off"
    message: ClassVar[str] = "the operation was called off"


class IntentEnded(Rejected):
    code: ClassVar[str] = "intent_ended"

    def __init__(self, state: str) -> None:
        super().__init__(f"the operation has ended ({state}): nothing to call off")
        self.state = state


class NotToBeCalledOff(Rejected):
    """The operation may already have done something that cannot be undone."""

    code: ClassVar[str] = "not_to_be_called_off"
    message: ClassVar[str] = (
        "the operation may be done already and cannot be undone: read its outcome"
    )


class CardDeclined(Rejected):
    """The bank declined the card; `decline_code` is its reason, if it gave one."""

    code: ClassVar[str] = "card_declined"

    def __init__(self, reason: str, decline_code: str | None) -> None:
        super().__init__(reason)
        self.decline_code = decline_code


class UnknownReference(Rejected):
    """A field names something that does not exist at the gateway, or is not sold."""

    code: ClassVar[str] = "unknown_reference"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Abandoned(Rejected):
    """The operation was given up after a day; nothing was done."""

    code: ClassVar[str] = "abandoned"
    message: ClassVar[str] = "Stripe did not answer for a day: given up"


# The refusal code of a read with an id that is not one of the gateway's.
INVALID_ID: Final = "invalid_id"


class GatewayRefused(Rejected):
    """The gateway refused the request for good: nothing was or will be done.

    `field` names the cause in our words, `refusal_code` is the gateway's own code.
    `declined`: the bank said no.
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
    """The database did not say whether the statement ran; a retry is safe."""

    code: ClassVar[str] = "store_unavailable"
    message: ClassVar[str] = "the database did not answer; try again"


class SaveTimedOut(StoreUnavailable):
    """The database did not answer a save in time."""

    code: ClassVar[str] = "save_timed_out"


class AccountBusy(Unavailable):
    """The account stayed locked, or every try met a concurrent change."""

    code: ClassVar[str] = "account_busy"
    message: ClassVar[str] = "the account is busy; try again in a moment"


class Overloaded(Unavailable):
    code: ClassVar[str] = "overloaded"
    message: ClassVar[str] = "too much work is waiting; try again in a moment"


class KeysUnavailable(Unavailable):
    """An issuer's tokens cannot be verified: its keys were never read, or long ago.

    Or too many requests already wait for the keys to be read.
    """

    code: ClassVar[str] = "keys_unavailable"
    message: ClassVar[str] = (
        "the keys that verify this token cannot be read now; try again in a moment"
    )

    def __init__(self, issuer: str) -> None:
        super().__init__()
        self.issuer = issuer


class SyncedRecently(Unavailable):
    """The user is being synced, or was synced just now: see `SYNC_EVERY_S`."""

    code: ClassVar[str] = "synced_recently"
    message: ClassVar[str] = (
        "this user is being synced, or just was; try again in a moment"
    )

    def __init__(self, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class RateLimited(Unavailable):
    """The caller sent more than `quota` requests of the kind `policy` in `window_s`.

    Nothing was done; a retry may succeed after `retry_after_s` seconds.
    """

    code: ClassVar[str] = "rate_limited"
    message: ClassVar[str] = "too many requests from this caller; try again later"

    def __init__(
        self, policy: str, quota: int, window_s: int, retry_after_s: int
    ) -> None:
        super().__init__()
        self.policy = policy
        self.quota = quota
        self.window_s = window_s
        self.retry_after_s = retry_after_s


class TooManyDeclines(Unavailable):
    """The user's cards were declined too often within an hour.

    Nothing was sent to Stripe; the oldest decline leaves the hour after `retry_after_s`
    seconds.
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
    """The gateway was not called, or rejected the call: nothing was done."""

    code: ClassVar[str] = "gateway_busy"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Stripe cannot be called now: {reason}")
        self.reason = reason


class GatewayMisconfigured(GatewayNotAttempted):
    """The gateway refuses our API key, or the key lacks a permission.

    Nothing was done, and that does not change until a person sets another key.
    `permission`: the key is valid, but not for this call.
    """

    code: ClassVar[str] = "gateway_key_refused"

    def __init__(
        self,
        reason: str = "it refuses the API key of this service",
        *,
        permission: bool = False,
    ) -> None:
        super().__init__(reason)
        self.permission = permission


class GatewayOutcomeUnknown(GatewayUnavailable):
    """The gateway did not say whether it did what was requested.

    `server_error_cached`: it answered with a server error, which it stores under the
    idempotency key, so a retry with the same key returns the same error.
    """

    code: ClassVar[str] = "gateway_silent"

    def __init__(self, reason: str, *, server_error_cached: bool = False) -> None:
        super().__init__(f"Stripe did not answer: {reason}")
        self.reason = reason
        self.server_error_cached = server_error_cached


class SignatureFault(StrEnum):
    """What is wrong with a signature: one value for each remedy."""

    MISSING = "signature_missing"
    MALFORMED = "signature_malformed"
    # Too old, or from the future.
    STALE = "signature_stale"
    # Made with another secret, or of other bytes.
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
    """The token is not accepted.

    `unknown_key_of` is the issuer, if the token names a key that we do not know of it;
    None if anything else is wrong.
    """

    code: ClassVar[str] = "invalid_token"

    def __init__(self, reason: str, *, unknown_key_of: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unknown_key_of = unknown_key_of


class TokenInvalidated(Untrusted):
    code: ClassVar[str] = "token_invalidated"
    message: ClassVar[str] = "this token was invalidated"
