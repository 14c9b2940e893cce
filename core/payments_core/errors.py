"""Whose fault is it, and may I retry? Three answers; the edge needs no more.

`Rejected`: the caller asked for something the rules forbid. Do not retry.
`Unavailable`: the world did not answer. Retry with the same key or event.
`Untrusted`: the message does not come from who it claims. Do not read it.
"""

from typing import ClassVar


class PaymentsError(Exception):
    """Anything this library raises on purpose."""

    code: ClassVar[str] = "payments_error"


class Rejected(PaymentsError):  # noqa: N818  # the tree reads as a sentence
    code: ClassVar[str] = "rejected"


class Unavailable(PaymentsError):  # noqa: N818  # see Rejected
    code: ClassVar[str] = "unavailable"


class Untrusted(PaymentsError):  # noqa: N818  # see Rejected
    code: ClassVar[str] = "untrusted"


class InvalidValue(Rejected):
    """A value that no rule could make sense of; `field` says which."""

    code: ClassVar[str] = "invalid_value"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
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

    def __init__(self) -> None:
        super().__init__("no such user")


class EmailTaken(Rejected):
    code: ClassVar[str] = "email_taken"

    def __init__(self) -> None:
        super().__init__("another user has this e-mail")


class CustomerTaken(Rejected):
    """A gateway customer is bound to one account, once, and stays there."""

    code: ClassVar[str] = "customer_taken"

    def __init__(self) -> None:
        super().__init__("this customer or this user is bound to another already")


class ScopeRequired(Rejected):
    code: ClassVar[str] = "scope_required"

    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs a token with the scope {scope}")
        self.scope = scope


class TokenNotFound(Rejected):
    """There is no such token, or it is not the caller's to invalidate."""

    code: ClassVar[str] = "token_not_found"

    def __init__(self) -> None:
        super().__init__("no such token of yours")


class EventNotFound(Rejected):
    code: ClassVar[str] = "event_not_found"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"no event {event_id} was kept")
        self.event_id = event_id


class EventTypeMismatch(Rejected):
    """A signed event came to a route that takes another type."""

    code: ClassVar[str] = "event_type_mismatch"

    def __init__(self, expected: str) -> None:
        super().__init__(f"this route takes {expected} only")
        self.expected = expected


class MalformedEvent(Rejected):
    """A signed body that is not an event; `field` is its path, "" the whole."""

    code: ClassVar[str] = "malformed_event"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field or 'body'}: {reason}")
        self.field = field
        self.reason = reason


class ChangedElsewhere(Unavailable):
    """Somebody saved this since it was read: read it again."""

    code: ClassVar[str] = "changed_elsewhere"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} changed since it was read")


class StoreUnavailable(Unavailable):
    """The database did not say whether it did it; running it again is safe."""

    code: ClassVar[str] = "store_unavailable"

    def __init__(self) -> None:
        super().__init__("the database did not answer; try again")


class Overloaded(Unavailable):
    code: ClassVar[str] = "overloaded"

    def __init__(self) -> None:
        super().__init__("too much is waiting already; try again in a moment")


class BadSignature(Untrusted):
    code: ClassVar[str] = "bad_signature"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidToken(Untrusted):
    code: ClassVar[str] = "invalid_token"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenInvalidated(Untrusted):
    code: ClassVar[str] = "token_invalidated"

    def __init__(self) -> None:
        super().__init__("this token was invalidated")
