"""The identities of a user: user id, gateway customer and e-mail.

The user id is the identity. The e-mail may change, and never gives access to another
user's payments. A gateway customer is bound to one account at a time.
"""

import re
import unicodedata
from typing import Final, NewType, Self

import attrs

from payments_core.errors import InvalidValue

UserId = NewType("UserId", str)
CustomerId = NewType("CustomerId", str)

USER_ID_LENGTH_MAX: Final = 128
EMAIL_LENGTH_MAX: Final = 254
CUSTOMER_ID_LENGTH_MAX: Final = 255
# Opaque, but it must be safe in a URL, a log line and a header. It has no "@", so that
# one path segment can be an id or an e-mail.
_USER_ID: Final = re.compile(rf"[A-Za-z0-9._:|~+=-]{{1,{USER_ID_LENGTH_MAX}}}")
# Clients and proxies remove these path segments (RFC 3986, section 5.2.4).
_DOT_SEGMENTS: Final = (".", "..")
_CUSTOMER_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{CUSTOMER_ID_LENGTH_MAX}}}")
_EMAIL: Final = re.compile(r"[^\s@]+@[^\s@]+")


def user_id(text: str) -> UserId:
    """Read a user id: 1 to 128 of `A-Z a-z 0-9 . _ : | ~ + = -`, not "." or "..".

    Raises:
        InvalidValue: it is something else.
    """
    if _USER_ID.fullmatch(text) is None or text in _DOT_SEGMENTS:
        raise InvalidValue(
            "user_id",
            f"not 1 to {USER_ID_LENGTH_MAX} of A-Z a-z 0-9 . _ : | ~ + = -,"
            ' or "." or ".."',
        )
    return UserId(text)


def customer_id(text: str) -> CustomerId:
    """Read a customer id of the gateway.

    Raises:
        InvalidValue: it is something else.
    """
    if _CUSTOMER_ID.fullmatch(text) is None:
        raise InvalidValue("customer_id", "not a customer id")
    return CustomerId(text)


@attrs.frozen
class Email:
    """An e-mail as it was given, and the key by which two e-mails are the same."""

    text: str
    key: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Read an e-mail; spaces around it are ignored.

        The key ignores case, Unicode composition and a dot after the domain, and
        nothing else: "ß" is not "ss". An international domain is compared as written:
        an adapter may know its other spelling.

        Raises:
            InvalidValue: it has no local part or no domain, white space or control
                characters inside, or more than 254 characters.
        """
        text = text.strip()
        # Composed again: lower-casing may decompose a letter.
        lower = unicodedata.normalize("NFC", text).lower()
        key = unicodedata.normalize("NFC", lower).rstrip(".")
        # The key is checked too: it may be longer.
        if not (_is_email(text) and (key == text or _is_email(key))):
            raise InvalidValue("email", "not an e-mail address")
        return cls(text, key)


def _is_email(text: str) -> bool:
    return (
        len(text) <= EMAIL_LENGTH_MAX
        and _EMAIL.fullmatch(text) is not None
        # No control characters or other characters of Unicode's categories C.
        and text.isprintable()
    )
