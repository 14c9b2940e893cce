"""Find the owner of a payment or subscription: by metadata, customer or e-mail.

Rule 1: the owner is the user in the metadata; else the account of the customer; else,
        for a payment, the account that had its e-mail when it was made. Without such an
        account it is unlinked.
Rule 2: if the metadata and the binding of the customer name different users, the owner
        is in conflict, and no account may change.
Rule 3: a linked thing stays linked to its user.
Rule 4: each link key has a version in the store. A save that stores something unlinked,
        or gives an account a key, compares and raises it, so neither misses the other.
Rule 5: a customer deleted at the gateway stays a former key of its account, for late
        reports.
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
        """Return each key as one text, as used for its version in the store."""
        yield from (f"user {user}" for user in self.user_ids)
        yield from (f"customer {customer}" for customer in self.customer_ids)
        yield from (f"email {email}" for email in self.email_keys)


NO_KEYS: Final = LinkKeys()


class KeyKind(StrEnum):
    EMAIL = "email"
    CUSTOMER = "customer"


@attrs.frozen(kw_only=True)
class FormerKey:
    """An e-mail or a customer that an account had, from `since` until `until`.

    `since` is None if it was not recorded. The times are from `Clock`, in whole
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
    """The holders of an e-mail over time; `current` has it since `since`."""

    former: Sequence[FormerKey]
    current: UserId | None = None
    since: datetime | None = None

    def at(self, moment: datetime | None) -> UserId | None:
        """Return who had it at a time; before the first holder, the first holder.

        Between two holders there is none. For an unknown time there is one only if a
        single user ever had it.
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
        """Say whether any user had it at that very time; for an unknown time, ever."""
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
    """Return every key by which one of these could find its account."""
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
