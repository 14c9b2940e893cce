"""Signatures of outgoing webhooks, as libraries of Standard Webhooks verify them."""

import base64
import secrets
from datetime import UTC, datetime
from typing import Final

import pytest

from payments_adapters.webhooks_out.signing import headers_of, read_secret, written

AT: Final = datetime.fromtimestamp(1_614_265_330.9, UTC)
BODY: Final = b'{"test": 2432232314}'
ID: Final = "msg_p5jXN8AQM9LWM0D4loKWxJek"
# Of the test vector that the libraries of the specification share.
PUBLISHED: Final = bytes(
    (
        *(49, 242, 144, 246, 191, 6, 41, 138, 171, 79, 8, 212),
        *(60, 63, 8, 44, 246, 72, 163, 98, 218, 45, 164, 176),
    )
)


def test_the_published_example_is_signed_as_published() -> None:
    """
    By whole seconds, whatever the fraction.
    """
    assert headers_of([PUBLISHED], ID, AT, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_secrets_are_rotated_all_of_them_sign() -> None:
    """
    In their order, separated by spaces.
    """
    new, old = secrets.token_bytes(32), secrets.token_bytes(24)

    signed = headers_of([new, old], ID, AT, BODY)["webhook-signature"]

    assert signed.split(" ") == [
        headers_of([it], ID, AT, BODY)["webhook-signature"] for it in (new, old)
    ]


@pytest.mark.parametrize("count", [24, 32, 64])
def test_a_secret_is_read_as_it_is_written(count: int) -> None:
    """
    The prefix, and base64 with its padding.
    """
    key = secrets.token_bytes(count)
    assert read_secret(written(key)) == key
    assert written(key).startswith("whsec_")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (base64.b64encode(PUBLISHED).decode(), "does not start with whsec_"),
        ("whsec_" + "%" * 32, "is not base64 after whsec_"),
        ("whsec_" + "é" * 32, "is not base64 after whsec_"),
        (written(PUBLISHED)[:-1], "is not base64 after whsec_"),
        (written(PUBLISHED[:-1]), "does not have 24 to 64 bytes"),
        (written(secrets.token_bytes(65)), "does not have 24 to 64 bytes"),
        (written(bytes(24)), "has fewer than 6 different characters"),
        (written(bytes(range(24))), "is a sequence"),
    ],
    ids=["bare", "base64", "ascii", "padding", "short", "long", "zeros", "sequence"],
)
def test_what_is_no_secret_is_refused(text: str, reason: str) -> None:
    """
    The reason does not show it.
    """
    with pytest.raises(ValueError, match=reason) as raised:
        read_secret(text)
    assert str(raised.value) == reason
    assert raised.value.__cause__ is None
