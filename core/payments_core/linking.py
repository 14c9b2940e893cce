"""Whose is what was reported: by metadata, by customer, by e-mail.

Rule 1: the user whom the metadata names; else the account of the customer; else, for
        a payment, the account that had its e-mail when it was made. No such account:
        it is unlinked.
Rule 2: the binding of a customer wins over metadata. If they disagree the owner is in
        conflict, and no account may change.
Rule 3: once linked, a thing stays where it is.
Rule 4: each link key has a version in the store. Who keeps something unlinked, or
        gives an account a key, compares and raises it: so neither misses the other.
Rule 5: a customer that the gateway has deleted stays its account's former key, for
        what is reported late.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Self

import attrs

from payments_core.identity import CustomerId, UserId
from payments_core.payment import Payment, PaymentRecord
from payments_core.subscription import Subscription, SubscriptionReport

# How many unlinked things a registration links at once; the worker links the others.
UNLINKED_MAX: Final = 100


@attrs.frozen
class LinkKeys:
    """The keys under which payments and subscriptions find their accounts."""

    user_ids: frozenset[UserId] = frozenset()
    customer_ids: frozenset[CustomerId] = frozenset()
    email_keys: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.user_ids or self.customer_ids or self.email_keys)

    def __or__(self, other: Self) -> Self:
        if not other:
            return self
        return type(self)(
            self.user_ids | other.user_ids,
            self.customer_ids | other.customer_ids,
            self.email_keys | other.email_keys,
        )

    def __sub__(self, other: Self) -> Self:
        return type(self)(
            self.user_ids - other.user_ids,
            self.customer_ids - other.customer_ids,
            self.email_keys - other.email_keys,
        )

    def names(self) -> Iterator[str]:
        """Return each key as one text, as the store counts its versions."""
        yield from (f"user {user}" for user in self.user_ids)
        yield from (f"customer {customer}" for customer in self.customer_ids)
        yield from (f"email {email}" for email in self.email_keys)


NO_KEYS: Final = LinkKeys()


class KeyKind(StrEnum):
    EMAIL = "email"
    CUSTOMER = "customer"


@attrs.frozen(kw_only=True)
class FormerKey:
    """An e-mail or a customer that an account had until a moment, and since when.

    `since` is None if that was before it was noted. The times are the clock's, in whole
    seconds, as the gateway's are.
    """

    kind: KeyKind
    key: str
    user_id: UserId
    since: datetime | None
    until: datetime


_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


@attrs.frozen
class EmailHolders:
    """Who had an e-mail, one after the other; `current` has had it since `since`."""

    former: Sequence[FormerKey]
    current: UserId | None = None
    since: datetime | None = None

    def at(self, moment: datetime | None) -> UserId | None:
        """Return who had it at a moment; before anybody had it, the first who did.

        Between two holders nobody had it. Of an unknown moment only one holder in all
        can be meant.
        """
        held = self._held()
        if moment is None:
            users = {user for _, _, user in held}
            return users.pop() if len(users) == 1 else None
        for since, until, user in held:
            if moment < until:
                return user if since <= moment or since == held[0][0] else None
        return None

    def had(self, moment: datetime | None) -> bool:
        """Say whether anybody had it at a moment itself; at an unknown one, ever."""
        return any(
            moment is None or since <= moment < until
            for since, until, _ in self._held()
        )

    def _held(self) -> Sequence[tuple[datetime, datetime, UserId]]:
        held = [(it.since or _BEGINNING, it.until, it.user_id) for it in self.former]
        if self.current is not None:
            end = datetime.max.replace(tzinfo=UTC)
            held.append((self.since or _BEGINNING, end, self.current))
        return sorted(held)


def link_keys(
    payments: Iterable[Payment] = (), subscriptions: Iterable[SubscriptionReport] = ()
) -> LinkKeys:
    """Return every key under which one of these could find its account."""
    user_ids, customer_ids, email_keys = set(), set(), set()
    for payment in payments:
        if payment.metadata_user_id:
            user_ids.add(UserId(payment.metadata_user_id))
        if payment.customer_id:
            customer_ids.add(payment.customer_id)
        if payment.email:
            email_keys.add(payment.email)
    for report in subscriptions:
        customer_ids.add(report.customer_id)
        if report.metadata_user_id:
            user_ids.add(UserId(report.metadata_user_id))
    return LinkKeys(frozenset(user_ids), frozenset(customer_ids), frozenset(email_keys))


@attrs.frozen
class Unlinked:
    """Payments and subscriptions without an owner, in the order of their ids."""

    payments: Sequence[PaymentRecord] = ()
    subscriptions: Sequence[Subscription] = ()


NOTHING_UNLINKED: Final = Unlinked()


@attrs.frozen
class OwnershipConflict:
    """The customer is bound to another user than the metadata names."""
