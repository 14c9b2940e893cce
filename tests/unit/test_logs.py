"""Logs: one JSON object a line, without any secret."""

import asyncio
import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from payments_service import logs

CANARY = "canary" + "7" * 16
SECRETS = {
    "Stripe key": f"sk_test_{CANARY}",
    "live key": f"sk_live_{CANARY}",
    "restricted key": f"rk_live_{CANARY}",
    "webhook secret": f"whsec_{CANARY}+/=",
    "token": f"eyJ{CANARY}.{CANARY}.{CANARY}-_",
    "half a token": f"eyJ{CANARY}",
    "bearer": f"Authorization: bearer  {CANARY}",
    "basic": f"Basic {CANARY}==",
    "DSN": f"postgresql://payments:{CANARY}@db/payments",
    "DSN with an @ in its password": f"postgresql://payments:x@{CANARY}@db/payments",
    "DSN without a user": f"redis://:{CANARY}@cache",
    "signature": "t=1,v1=" + CANARY.encode().hex(),
    "JWK": json.dumps({"kty": "oct", "k": CANARY}),
    "compact JWK": json.dumps({"k": CANARY}, separators=(",", ":")),
    "JWK's repr": repr({"k": CANARY}),
    "client secret": f"seti_1Abc_secret_{CANARY}",
    "payment's client secret": f"pi_3Abc_secret_{CANARY}",
}
HIDDEN = (CANARY, CANARY.encode().hex())


@attrs.frozen
class Log:
    stream: io.StringIO

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        """Return what was logged; each line is one object."""
        return [json.loads(line) for line in self.text.split("\n")[:-1]]

    def only(self) -> dict[str, Any]:
        (line,) = self.lines()
        return line

    def shows_no_secret(self) -> bool:
        return not any(hidden in self.text for hidden in HIDDEN)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """Lend the output of a process's log; this process's own logging is unchanged."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    structlogs = structlog.get_config()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    # The handlers before are pytest's: `configure` would close them.
    root.handlers.clear()
    logs.configure("debug")
    yield Log(stream)
    root.handlers[:], root.level, logging.raiseExceptions = before
    logging.captureWarnings(capture=False)
    structlog.configure(**structlogs)


def by_structlog(value: object) -> None:
    structlog.get_logger().info("said", value=value)


def in_the_words(value: object) -> None:
    structlog.get_logger().info(f"said {value}")


def by_a_library(value: object) -> None:
    logging.getLogger("library").info("said %s", value)


def in_a_context(value: object) -> None:
    with structlog.contextvars.bound_contextvars(value=value):
        structlog.get_logger().info("said")


def nested(value: object) -> None:
    structlog.get_logger().info("said", values={"deep": [value]})


WAYS = [by_structlog, in_the_words, by_a_library, in_a_context, nested]


@pytest.mark.parametrize("say", WAYS)
@pytest.mark.parametrize("kind", SECRETS)
def test_t61_what_looks_like_a_secret_is_blotted_out(
    log: Log, kind: str, say: Callable[[object], None]
) -> None:
    """
    Whichever module logs it, and wherever it is in a value.
    """
    say(f"before {SECRETS[kind]} after")

    assert log.shows_no_secret()
    assert "[redacted]" in log.text
    assert "before" in log.text


@pytest.mark.parametrize("kind", SECRETS)
def test_t61_half_a_secret_does_not_pass(kind: str) -> None:
    """
    Texts are cut to a length; a secret is found before it is cut in two.
    """
    for missing in range(1, 40):
        shown = logs.redacted("x" * (logs.TEXT_LENGTH_MAX - missing) + SECRETS[kind])

        assert len(shown) <= logs.TEXT_LENGTH_MAX
        assert not any(hidden[:4] in shown for hidden in HIDDEN)


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "stripe_signature",
        "cookie",
        "password",
        "webhook_secret",
        "token",
        "access_token",
        "api_key",
        "jwt_keys",
        "jwks",
        "database_url",
        "body",
    ],
)
@pytest.mark.parametrize("value", [CANARY, CANARY.encode(), [CANARY]])
def test_t61_a_value_whose_name_is_a_secrets_is_blotted_out(
    log: Log, name: str, value: object
) -> None:
    """
    Not every secret can be recognised by its form.
    """
    structlog.get_logger().info("said", **{name: value})

    assert log.only()[name] == "[redacted]"


@pytest.mark.parametrize("say", WAYS)
@pytest.mark.parametrize(
    "value",
    [
        "4242424242424242",
        "4242-4242-4242-4242",
        "%B4242424242424242^DOE/JANE^29121014242?",
        4242424242424242,
        b"4242 4242 4242 4242",
    ],
)
def test_t58_a_card_number_never_comes_out_of_the_logs(
    log: Log, value: object, say: Callable[[object], None]
) -> None:
    """
    Whichever module logs it, as a text or as a number; nor does a gateway's word for it
    (T60).
    """
    say(value)

    # The time of a line may have any digits.
    said = json.dumps([line | {"timestamp": None} for line in log.lines()])
    assert "4242" not in said
    assert "[card]" in said


@pytest.mark.parametrize("name", ["cvc", "card_cvc", "cardNumber", "pan", "cid"])
@pytest.mark.parametrize("value", ["123", 123])
def test_t59_a_value_for_a_cards_field_is_blotted_out(
    log: Log, name: str, value: object
) -> None:
    """
    Three digits alone mean nothing; the name of their field does.
    """
    structlog.get_logger().info("said", **{name: value})

    assert log.only()[name] == "[redacted]"


def test_harmless_values_pass(log: Log) -> None:
    """
    Ids, reasons, numbers: what logs are for.
    """
    facts = {
        "event_id": "evt_1",
        "status": 200,
        "ms": 1.5,
        "retried": True,
        "nothing": None,
        "path": "/tokens/invalidate",
    }
    structlog.get_logger().info("request", **facts)

    said = log.only()
    assert {name: said[name] for name in facts} == facts
    assert (said["event"], said["level"]) == ("request", "info")
    assert said["timestamp"].endswith("Z")


def fail() -> None:
    raise ValueError(f"invalid input for query argument $1: {CANARY}")


def by_exc_info() -> None:
    try:
        fail()
    except ValueError as error:
        structlog.get_logger().error("bug", exc_info=error)


def by_exception() -> None:
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("bug")


def chained() -> None:
    try:
        try:
            fail()
        except ValueError as error:
            raise KeyError(CANARY) from error
    except KeyError:
        structlog.get_logger().exception("bug")


def of_a_library() -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("library").exception("bug")


@pytest.mark.parametrize("say", [by_exc_info, by_exception, chained, of_a_library])
def test_t61_an_exception_shows_its_kind_and_place_only(
    log: Log, say: Callable[[], None]
) -> None:
    """
    Drivers quote the values of a query in their messages.
    """
    say()

    assert log.shows_no_secret()
    said = log.only()
    assert said["error"] in {"ValueError", "KeyError"}
    assert "test_logs.py:" in said["places"]


def as_a_value() -> None:
    structlog.get_logger().error("bug", error=ValueError(CANARY))


def as_an_argument() -> None:
    logging.getLogger("library").error("failed: %s", ValueError(CANARY))


def after_a_message() -> None:
    # The way uvicorn logs a failed lifespan: a whole traceback in the message.
    logging.getLogger("uvicorn.error").error("Traceback:\n  ValueError: %s", CANARY)


def by_a_lost_task() -> None:
    async def lose() -> None:
        task = asyncio.create_task(asyncio.to_thread(fail))
        await asyncio.wait([task])
        del task

    asyncio.run(lose())


def as_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("careful", stacklevel=1)


def unformattable() -> None:
    logging.getLogger("library").error("%d", CANARY)


@pytest.mark.parametrize(
    "say",
    [
        as_a_value,
        as_an_argument,
        after_a_message,
        by_a_lost_task,
        as_a_warning,
        unformattable,
    ],
)
def test_t61_no_way_to_log_shows_an_exceptions_message(
    log: Log, say: Callable[[], None]
) -> None:
    """
    As a value, an argument, a traceback in a message, or by asyncio: only its kind.
    """
    say()

    assert log.shows_no_secret()
    assert all(line["event"] for line in log.lines())


@pytest.mark.parametrize("say", WAYS)
@pytest.mark.parametrize(
    "text",
    [
        "\n",
        "\r\n",
        '"}\n{"event": "forged"',
        "\x1b[31mred\x1b[0m",
        "\0\a\b\x7f",
        "\u2028",
        "\u2029",
        "\x85",
        "\u202e",
    ],
)
def test_t62_a_line_cannot_be_forged(
    log: Log, text: str, say: Callable[[object], None]
) -> None:
    """
    Line breaks, terminal codes and quotes stay inside their one JSON object.
    """
    say(f"before{text}after")

    assert log.only()["level"] == "info"
    assert log.text[:-1].isascii()
    assert log.text[:-1].isprintable()


@given(text=st.text() | st.binary() | st.floats() | st.lists(st.text()))
@example(text=float("nan"))
@example(text="\ud800")
def test_t62_any_value_is_one_json_object(text: object) -> None:
    """
    As strict as RFC 8259: no NaN, no Infinity.
    """

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    shown = logs._redact(None, "info", {"event": "said", "value": text})
    line = structlog.processors.JSONRenderer()(None, "info", shown)

    json.loads(line, parse_constant=refuse)
    assert str(line).isprintable()


@given(st.text())
def test_p17_blotting_out_twice_is_blotting_out_once(text: str) -> None:
    """
    A redacted text has nothing left to redact.
    """
    once = logs.redacted(text)

    assert logs.redacted(once) == once


@pytest.mark.parametrize("chatty", ["httpx", "httpcore", "uvicorn.access", "alembic"])
def test_t61_libraries_that_log_addresses_are_quiet(log: Log, chatty: str) -> None:
    """
    httpx logs whole URLs at `info`, even if our level is debug.
    """
    logging.getLogger(chatty).info("GET /users/alice@example.com")

    assert log.lines() == []


def test_the_level_decides(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is below it is not logged; configuring again replaces the level.
    """
    monkeypatch.setattr(sys, "stderr", log.stream)
    logs.configure("warning")

    structlog.get_logger("of its own").info("quiet")
    structlog.get_logger("of its own").warning("loud")

    assert log.only()["event"] == "loud"
