"""The bodies of requests. Unknown fields are refused.

The formats of fields are described here only for the OpenAPI document: the core's own
readers validate them, and tests check that both agree.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Self

import msgspec
from typing_extensions import override

from payments_core.by_hand import REASON_LENGTH_MAX
from payments_core.identity import (
    CUSTOMER_ID_LENGTH_MAX,
    EMAIL_LENGTH_MAX,
    USER_ID_LENGTH_MAX,
)
from payments_core.subscription import QUANTITY_MAX
from payments_core.use_cases import Change, Order
from payments_core.use_cases.references import REFERENCE_LENGTH_MAX
from payments_core.use_cases.subscriptions import TRIAL_DAYS_MAX
from payments_service.presentation.arguments import PrintableName


def _shown(description: str, **schema: object) -> msgspec.Meta:
    """Describe a field in the OpenAPI document; it validates nothing."""
    return msgspec.Meta(
        description=description, extra_json_schema={"extra": schema} if schema else None
    )


_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_REFERENCE: Final = rf"^[A-Za-z0-9_]{{1,{REFERENCE_LENGTH_MAX}}}$"
# No white space, no control characters.
EMAIL_PATTERN: Final = r"^[^\s@\x00-\x1f\x7f-\x9f]+@[^\s@\x00-\x1f\x7f-\x9f]+$"
# No control characters, and not only spaces.
_REASON: Final = {
    "max_length": REASON_LENGTH_MAX,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
}
# `PrintableName`, in a union.
_NAME: Final = {"pattern": "^[!-~]{1,255}$"}
_PRODUCT: Final = _shown(
    "Stripe's id of a product, sold at its default price.", pattern=_REFERENCE
)
_PRICE: Final = _shown("Stripe's id of a price. Admin.", pattern=_REFERENCE)
_QUANTITY: Final = _shown("The quantity.", minimum=1, maximum=QUANTITY_MAX)

_COSTING: Final = [{"required": [field]} for field in ("product", "price", "quantity")]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request, and what the document says about it besides its fields."""

    # Fields that identify something: a user, a token. They are not checked for card
    # numbers.
    names: ClassVar[frozenset[str]] = frozenset()
    # Which fields can be combined, as JSON Schema.
    rules: ClassVar[Mapping[str, object]] = {}

    @classmethod
    def examples(cls) -> Sequence[Self]:
        """Return valid bodies; each class of body has its own."""
        raise NotImplementedError


class UserIn(Body, frozen=True):
    """A user to register. `customer_id` binds a customer that exists at Stripe.

    With a `reason` it replaces the customer that is bound now.
    """

    email: Annotated[
        str,
        _shown(
            "The user's e-mail.",
            format="idn-email",
            pattern=EMAIL_PATTERN,
            max_length=EMAIL_LENGTH_MAX,
        ),
    ]
    customer_id: Annotated[
        str | None,
        _shown(
            "Stripe's id of a customer.",
            pattern=rf"^[A-Za-z0-9_-]{{1,{CUSTOMER_ID_LENGTH_MAX}}}$",
        ),
    ] = None
    reason: Annotated[
        str | None, _shown("Why it replaces the present customer.", **_REASON)
    ] = None

    rules: ClassVar[Mapping[str, object]] = {
        "if": {"properties": {"reason": {"type": "string"}}, "required": ["reason"]},
        "then": {
            "properties": {"customer_id": {"type": "string"}},
            "required": ["customer_id"],
        },
    }

    @classmethod
    @override
    def examples(cls) -> Sequence[Self]:
        return [cls(email="ada@example.com")]


class LinkIn(Body, frozen=True):
    """The owner of a payment, and the reason."""

    user_id: Annotated[
        str,
        _shown(
            "The id of a user who is registered.",
            pattern=rf"^[A-Za-z0-9._:|~+=-]{{1,{USER_ID_LENGTH_MAX}}}$",
            schema_not={"enum": [".", ".."]},
        ),
    ]
    reason: Annotated[str, _shown("Why, for the audit log.", **_REASON)]

    names: ClassVar[frozenset[str]] = frozenset({"user_id"})

    @classmethod
    @override
    def examples(cls) -> Sequence[Self]:
        return [cls("ada", "paid from a friend's computer")]


class UnlinkIn(Body, frozen=True):
    """Why a payment is unlinked."""

    reason: Annotated[str, _shown("Why, for the audit log.", **_REASON)]

    @classmethod
    @override
    def examples(cls) -> Sequence[Self]:
        return [cls("it was a friend's")]


class CardIn(Body, frozen=True):
    """Stripe's id of a payment method; a card number is never sent to this service."""

    payment_method: Annotated[
        str, _shown("Stripe's id of a payment method.", pattern=_REFERENCE)
    ]

    @classmethod
    @override
    def examples(cls) -> Sequence[Self]:
        return [cls("pm_card_visa")]


class OrderIn(Body, frozen=True):
    """Either `product` or `price`; `price` and `trial_days` are for administrators."""

    product: Annotated[str | msgspec.UnsetType, _PRODUCT] = msgspec.UNSET
    price: Annotated[str | msgspec.UnsetType, _PRICE] = msgspec.UNSET
    quantity: Annotated[int, _QUANTITY] = 1
    payment_method: Annotated[
        str | msgspec.UnsetType,
        _shown("The card that pays; by default the user's card.", pattern=_REFERENCE),
    ] = msgspec.UNSET
    trial_days: Annotated[
        int | msgspec.UnsetType,
        _shown("Free days at the start. Admin.", minimum=1, maximum=TRIAL_DAYS_MAX),
    ] = msgspec.UNSET

    rules: ClassVar[Mapping[str, object]] = {
        "if": {"required": ["product"]},
        "then": {"not": {"required": ["price"]}},
        "else": {"required": ["price"]},
    }

    @classmethod
    @override
    def examples(cls) -> Sequence[Self]:
        return [cls(product="prod_basic", payment_method="pm_card_visa")]

    def order(self) -> Order:
        """Return what is ordered.

        Raises:
            InvalidValue: see `Order`.
        """
        return Order(**_given(self))


class ChangeIn(Body, frozen=True):
    """`product` or `price`, not both; `price` is for administrators.

    `proration_date` comes from a preview, and is at most 600 s old.
    """

    product: Annotated[str | msgspec.UnsetType, _PRODUCT] = msgspec.UNSET
    price: Annotated[str | msgspec.UnsetType, _PRICE] = msgspec.UNSET
    quantity: Annotated[int | msgspec.UnsetType, _QUANTITY] = msgspec.UNSET
    cancel_at_period_end: Annotated[
        bool | msgspec.UnsetType, _shown("Whether it ends at the end of the period.")
    ] = msgspec.UNSET
    proration_date: Annotated[
        _Moment | msgspec.UnsetType,
        _shown("From a preview, so that the cost is as previewed."),
    ] = msgspec.UNSET

    rules: ClassVar[Mapping[str, object]] = {
        "minProperties": 1,
        "not": {"required": ["product", "price"]},
        "dependentSchemas": {
            "proration_date": {"anyOf": _COSTING},
        },
    }

    @classmethod
    @override
    def examples(cls) -> Sequence[Self]:
        return [cls(quantity=2), cls(cancel_at_period_end=True)]

    def change(self) -> Change:
        """Return the change.

        Raises:
            InvalidValue: see `Change`.
        """
        return Change(**_given(self))


class PreviewIn(ChangeIn, frozen=True):
    """A change that costs something, or gives a credit."""

    rules: ClassVar[Mapping[str, object]] = {
        "not": {"required": ["product", "price"]},
        "anyOf": _COSTING,
    }

    @classmethod
    @override
    def examples(cls) -> Sequence[Self]:
        return [cls(quantity=2)]


def _given(body: msgspec.Struct) -> dict[str, Any]:
    return {
        name: value
        for name, value in msgspec.structs.asdict(body).items()
        if value is not msgspec.UNSET
    }


class TokenIn(Body, frozen=True, omit_defaults=True):
    """Either `token`, or all of `issuer`, `jti` and `expires_at`."""

    token: Annotated[str | None, _shown("The token itself.")] = None
    issuer: Annotated[PrintableName | None, _shown("Its issuer. Admin.", **_NAME)] = (
        None
    )
    jti: Annotated[PrintableName | None, _shown("Its id. Admin.", **_NAME)] = None
    expires_at: Annotated[_Moment | None, _shown("When it expires. Admin.")] = None

    names: ClassVar[frozenset[str]] = frozenset({"token", "issuer", "jti"})
    rules: ClassVar[Mapping[str, object]] = {
        "if": {"properties": {"token": {"type": "string"}}, "required": ["token"]},
        "then": {
            "properties": {
                field: {"type": "null"} for field in ("issuer", "jti", "expires_at")
            }
        },
        "else": {
            "properties": {
                field: {"type": "string"} for field in ("issuer", "jti", "expires_at")
            },
            "required": ["issuer", "jti", "expires_at"],
        },
    }

    @classmethod
    @override
    def examples(cls) -> Sequence[Self]:
        until = datetime.fromisoformat("2030-01-01T00:00:00Z")
        return [cls(issuer="https://users.example.com", jti="b4c1", expires_at=until)]
