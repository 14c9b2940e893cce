"""Who has paid, derived from payments.

Rule 1: nobody writes a status. It follows from the payments, whatever their order.
Rule 2: the latest payment, by the charge's own time, gives the status. Of several
        in one second a success counts before a failure before a pending one.
Rule 3: money that stayed buys one calendar month. Bought early, the month is added
        to the end of the term; after a gap it starts a new term.
Rule 4: months are counted from the term's anchor, never from the previous end.
Rule 5: a refund in full and a lost dispute give the month back. Nothing else does.
Rule 6: "expired" is not a status; it is what the clock says about the date.
"""

import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NewType, Self

import attrs

from payments_core.errors import CustomerTaken, InvalidValue
from payments_core.months import months_after
from payments_core.payment import (
    CustomerId,
    DisputeState,
    Payment,
    PaymentId,
    PaymentState,
)

UserId = NewType("UserId", str)

USER_ID_LENGTH_MAX: Final = 128
EMAIL_LENGTH_MAX: Final = 254
CUSTOMER_ID_LENGTH_MAX: Final = 255
# Opaque, but it has to survive a URL, a log line and a header unharmed. It has no
# "@", so that one path segment can be an id or an e-mail.
_USER_ID: Final = re.compile(rf"[A-Za-z0-9._:|~+=-]{{1,{USER_ID_LENGTH_MAX}}}")
_CUSTOMER_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{CUSTOMER_ID_LENGTH_MAX}}}")
_EMAIL: Final = re.compile(r"[^\s@]+@[^\s@]+")


def user_id(text: str) -> UserId:
    """Read a user id: 1 to 128 of `A-Z a-z 0-9 . _ : | ~ + = -`.

    Raises:
        InvalidValue: it is something else.
    """
    if _USER_ID.fullmatch(text) is None:
        raise InvalidValue(
            "user_id", f"not 1 to {USER_ID_LENGTH_MAX} of A-Z a-z 0-9 . _ : | ~ + = -"
        )
    return UserId(text)


def customer_id(text: str) -> CustomerId:
    """Read a gateway's customer id.

    Raises:
        InvalidValue: it is something else.
    """
    if _CUSTOMER_ID.fullmatch(text) is None:
        raise InvalidValue("customer_id", "not a customer id")
    return CustomerId(text)


@attrs.frozen
class Email:
    """An e-mail as it was given, and the key under which it is one person's."""

    text: str
    key: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Read an e-mail; spaces around it do not count.

        Raises:
            InvalidValue: no local part, no domain, white space or control
                characters inside, or more than 254 characters.
        """
        text = text.strip()
        key = email_key(text)
        # The key too: Unicode has letters that become an "@" or several letters.
        if not (_is_email(text) and _is_email(key)):
            raise InvalidValue("email", "not an e-mail address")
        return cls(text, key)


def _is_email(text: str) -> bool:
    return (
        len(text) <= EMAIL_LENGTH_MAX
        and _EMAIL.fullmatch(text) is not None
        and not any(unicodedata.category(letter)[0] == "C" for letter in text)
    )


def email_key(text: str) -> str:
    """Return what two spellings of one e-mail have in common.

    Case, Unicode form and a dot after the domain do not make another person.
    """
    return unicodedata.normalize("NFKC", text.strip()).casefold().rstrip(".")


class PaymentStatus(StrEnum):
    NONE = "none"
    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


_STATUSES: Final = MappingProxyType(
    {
        PaymentState.PENDING: PaymentStatus.PENDING,
        PaymentState.FAILED: PaymentStatus.FAILED,
        PaymentState.SUCCEEDED: PaymentStatus.PAID,
        PaymentState.PARTIALLY_REFUNDED: PaymentStatus.PAID,
        PaymentState.REFUNDED: PaymentStatus.REFUNDED,
        # Not known until the gateway is asked.
        PaymentState.CONTRADICTED: PaymentStatus.PENDING,
    }
)
_SETTLED_DISPUTES: Final = frozenset({DisputeState.NONE, DisputeState.WON})
_PRECEDENCE: Final = MappingProxyType(
    {
        PaymentState.CONTRADICTED: 0,
        PaymentState.PENDING: 0,
        PaymentState.FAILED: 1,
        PaymentState.SUCCEEDED: 2,
        PaymentState.PARTIALLY_REFUNDED: 2,
        PaymentState.REFUNDED: 2,
    }
)


def _status_of(payment: Payment) -> PaymentStatus:
    if payment.dispute in _SETTLED_DISPUTES:
        return _STATUSES[payment.state]
    return PaymentStatus.DISPUTED


@attrs.frozen
class Sighting:
    """What one payment means to its account; the latest one gives the status."""

    created_at: datetime
    precedence: int
    payment_id: PaymentId
    status: PaymentStatus
    buys_month: bool

    def __lt__(self, other: Self) -> bool:
        return self._place < other._place

    @property
    def _place(self) -> tuple[datetime, int, PaymentId]:
        return self.created_at, self.precedence, self.payment_id

    @classmethod
    def of(cls, payment: Payment) -> Self | None:
        """Return what the payment means, or None while its time is not known."""
        if payment.created_at is None:
            return None
        return cls(
            payment.created_at,
            _PRECEDENCE[payment.state],
            payment.id,
            _status_of(payment),
            payment.money_stayed,
        )


@attrs.frozen
class Term:
    """Months without a gap, counted from the payment that started them."""

    anchor: datetime
    months: int

    @property
    def ends_at(self) -> datetime:
        return months_after(self.anchor, self.months)


@attrs.frozen
class Checkpoint:
    """All that the payments folded so far come to.

    Payments fold in the order of their own time. One that is not older than
    `latest` can be taken at once; anything else folds from the start.
    """

    latest: Sighting | None = None
    term: Term | None = None

    @classmethod
    def replay(cls, payments: Iterable[Payment]) -> Self:
        """Fold payments, in any order given, from the start."""
        seen = sorted(filter(None, map(Sighting.of, payments)))
        checkpoint = cls()
        for sighting in seen:
            checkpoint = checkpoint.advance(sighting)
        return checkpoint

    def takes(self, sighting: Sighting) -> bool:
        """Say whether a payment new to this account can be taken at once."""
        return self.latest is None or sighting.created_at >= self.latest.created_at

    def advance(self, sighting: Sighting) -> Self:
        """Take a payment that is new and not older than the latest one.

        Payments of one second are symmetric: whichever is first, the second
        either joins its term or adds to the same one.
        """
        latest = self.latest if self.latest and sighting < self.latest else sighting
        return type(self)(latest, self._term_after(sighting))

    def _term_after(self, sighting: Sighting) -> Term | None:
        if not sighting.buys_month:
            return self.term
        if self.term is None or self.term.ends_at < sighting.created_at:
            return Term(sighting.created_at, 1)
        return Term(self.term.anchor, self.term.months + 1)


@attrs.frozen
class Policy:
    """What the owner of the service decided.

    `grace` is how long access outlives the date. `livemode` is whether money is
    real here: events of the other mode are kept apart and never applied.
    """

    grace: timedelta = timedelta(days=3)
    livemode: bool = False


@attrs.frozen
class Standing:
    """What the world may know: whether a user has paid, until when, and may enter."""

    payment_status: PaymentStatus
    payment_expire_date: datetime | None
    entitled: bool


def standing(payments: Iterable[Payment], *, now: datetime, policy: Policy) -> Standing:
    """Say what a user's payments come to.

    The one definition; `PaymentAccount.standing` says the same from a checkpoint,
    without reading all payments again.
    """
    return _standing(Checkpoint.replay(payments), now, policy)


def _standing(checkpoint: Checkpoint, now: datetime, policy: Policy) -> Standing:
    expires = checkpoint.term.ends_at if checkpoint.term else None
    return Standing(
        checkpoint.latest.status if checkpoint.latest else PaymentStatus.NONE,
        expires,
        entitled=expires is not None and now - expires < policy.grace,
    )


@attrs.frozen(kw_only=True)
class PaymentAccount:
    """Our one record of a user.

    The user id is the identity. The e-mail may change. `customer_id` is the
    gateway's customer: bound once, never to another.
    """

    user_id: UserId
    email: Email
    customer_id: CustomerId | None = None
    checkpoint: Checkpoint = Checkpoint()
    version: int = 0

    def renamed(self, email: Email) -> Self:
        return attrs.evolve(self, email=email)

    def bound(self, customer: CustomerId) -> Self:
        """Bind the gateway's customer.

        Raises:
            CustomerTaken: another customer is bound already.
        """
        if self.customer_id not in (None, customer):
            raise CustomerTaken
        return attrs.evolve(self, customer_id=customer)

    def folded(self, checkpoint: Checkpoint) -> Self:
        # Spelt out: on the way of every webhook, `attrs.evolve` costs four times more.
        return type(self)(
            user_id=self.user_id,
            email=self.email,
            customer_id=self.customer_id,
            checkpoint=checkpoint,
            version=self.version,
        )

    def standing(self, *, now: datetime, policy: Policy) -> Standing:
        return _standing(self.checkpoint, now, policy)
