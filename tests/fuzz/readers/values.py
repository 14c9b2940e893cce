"""Values that callers and operators write: moments, ids, e-mails, cursors, texts."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from fuzz.reader import CANARY, Reader
from payments_adapters.emails import read_email
from payments_core.by_hand import ByHand
from payments_core.errors import InvalidValue
from payments_core.identity import customer_id, user_id
from payments_core.job_key import JobKey
from payments_core.money import Money
from payments_core.subscription import subscription_id
from payments_core.use_cases.references import feature_name, gateway_reference
from payments_service.card_data import find_card_data
from payments_service.cli import filters
from payments_service.cli.stripe import _Span
from payments_service.cli.texts import _TEXT
from payments_service.http.requests import page_limit, truth, whole_number
from payments_service.logs import redacted
from payments_service.presentation import arguments
from payments_service.presentation.moments import moment_named, moment_text

_NUMBER_MAX: Final = 2**63 - 1

_VALUES: Final[Sequence[Callable[[str], object]]] = (
    lambda text: moment_text(moment_named("at", text)),
    lambda text: filters.MOMENT.convert(text, None, None),
    lambda text: filters.SETTLE.convert(text, None, None),
    lambda text: _Span().convert(text, None, None),
    lambda text: whole_number("after", text, 0, _NUMBER_MAX, 0),
    lambda text: truth("latest", text),
    page_limit,
    arguments.user_named,
    arguments.subscription_named,
    user_id,
    customer_id,
    subscription_id,
    read_email,
    JobKey.of_id,
    lambda text: gateway_reference("price", text),
    lambda text: feature_name("feature", text),
    lambda text: ByHand.of("ops", text),
    lambda text: Money(len(text) * 10**15, text[-3:]),
)


def _value(data: bytes) -> object:
    """Read a text as each of them, if it is one that a command takes."""
    try:
        text = _TEXT.convert(data.decode(errors="surrogateescape"), None, None)
    except click.BadParameter:
        return None
    kinds = list[int]()
    for number, read in enumerate(_VALUES):
        try:
            read(text)
        except (InvalidValue, click.BadParameter):
            continue
        kinds.append(number)
    return tuple(kinds)


def _refused_value(data: bytes) -> object:
    """Read a text as what a log or an answer tells of, where it is refused."""
    text = data.decode("latin-1")
    reads = (arguments.user_named, read_email, user_id, customer_id)
    return [type(read(text)) for read in reads]


_CURSORS: Final[Sequence[Callable[[str | None], Any]]] = (
    arguments.decode_cursor,
    arguments.decode_event_cursor,
    arguments.decode_audit_cursor,
    arguments.decode_job_cursor,
    arguments.decode_delivery_cursor,
    arguments.decode_user_cursor,
    arguments.decode_payment_cursor,
    arguments.decode_timeline_cursor,
)
_PLACES: Final = (
    ["users.test", "jti_1"],
    ["2026-01-01T12:00:00Z", "evt_1", "charge.succeeded"],
    ["2026-01-01T12:00:00Z", 7],
    ["0001-01-01T00:00:00+23:59", "subscription:sub_1"],
    ["crm", 7],
    ["ann@example.org", "ada"],
    [None, "ch_1"],
    ["2026-01-01T12:00:00Z", "event", "evt_1", "charge.succeeded"],
    ["2026-01-01T12:00:00Z", "change", "7", ""],
)


def _cursor(data: bytes) -> object:
    return _each_cursor(data.decode("latin-1"))


def _place(data: bytes) -> object:
    return _each_cursor(base64.urlsafe_b64encode(data).decode().rstrip("="))


def _each_cursor(text: str) -> object:
    kinds = list[int]()
    problem: InvalidValue | None = None
    for number, read in enumerate(_CURSORS):
        try:
            read(text)
        except InvalidValue as error:
            problem = error
            continue
        kinds.append(number)
    if problem is not None and not kinds:
        raise problem
    return tuple(kinds)


def _redacted(data: bytes) -> object:
    text = data.decode(errors="replace")
    once = redacted(text)
    if redacted(once) != once:
        raise AssertionError("redacting again changes it")
    return once != text


def _card_data(data: bytes) -> object:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = data.decode(errors="replace")
    return find_card_data(value) is None


_CARD: Final = "4242 4242 4242 4242"
_WRITTEN: Final = (
    *(b"2026-11-27T08:30:00Z", b"2026-11-27", b"0001-01-01T00:00:00+23:59", b"1.5"),
    *(b"24h", b"true", b"100", b"9223372036854775807", b"sub_1", b"subscription:sub_1"),
    *("Ann@Bücher.example".encode(), b"a@b", "\u017f@xn--bcher-kva.example".encode()),
    *("x@" + "é." * 60 + "de").encode().split(b"\n"),
    *(b"cus_1", b"charge.succeeded", b"price_1", b"because it is so", b"eur"),
)

VALUES: Final = (
    Reader("values", _value, _WRITTEN, (), 20_000, weight=2),
    Reader(
        "refused values",
        _refused_value,
        [f"{CANARY}@a b".encode(), CANARY.encode(), b"x@" + CANARY.encode()],
        (InvalidValue,),
    ),
    Reader(
        "cursor",
        _cursor,
        [
            base64.urlsafe_b64encode(json.dumps(it).encode()).rstrip(b"=")
            for it in _PLACES
        ],
        (InvalidValue,),
        33_000,
    ),
    Reader(
        "place of a cursor",
        _place,
        [
            *(json.dumps(it).encode() for it in _PLACES),
            json.dumps([CANARY, CANARY, CANARY, CANARY, CANARY]).encode(),
        ],
        (InvalidValue,),
        33_000,
        weight=2,
    ),
    Reader(
        "logged text",
        _redacted,
        [
            f"card {_CARD} at https://{CANARY}:x@host/ v1={'0' * 64}".encode(),
            f"Bearer {CANARY}; %B{_CARD}^DOE/J^3012; 'k': '{CANARY}'".encode(),
            b"://4242 4242@4242 4242@",
        ],
        bytes_max=100_000,
        weight=0.5,
    ),
    Reader(
        "card data",
        _card_data,
        [
            json.dumps({"a": [_CARD, {"cvc": "1"}], "b": 4242424242424242}).encode(),
            json.dumps({"a": "4242", "b": "4242", "c": "4242", "d": "4242"}).encode(),
            base64.b64encode(_CARD.encode()),
        ],
        bytes_max=520_000,
        weight=0.5,
    ),
)
