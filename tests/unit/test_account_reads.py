"""Reads of accounts that are answered before the handler, and those that are not."""

from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec
import pytest

from contracts.examples import ADA, NOON, a_payment, a_token, email_of
from contracts.worlds import World, events_of
from payments_adapters.memory import MemoryAccountDirectory
from payments_core import Email, UserId
from payments_core.caller import Caller
from payments_core.policy import DEFAULT_POLICY
from payments_core.use_cases import (
    CheckAnswer,
    GetAuthorizedAccount,
    GetPaymentStatus,
    ReadAccess,
)
from payments_service.http.account_reads import (
    AccountAnswers,
    AccountReads,
    Shown,
    read_by,
)

pytestmark = pytest.mark.anyio

CALLER: Final = Caller(a_token())


class Out(msgspec.Struct):
    status: str
    query: dict[str, str]


@attrs.define
class Asked:
    """The reads of a world, and which parts of the service a request reached."""

    world: World
    read_count: int = 0
    handled_count: int = 0

    async def read(
        self,
        reads: AccountReads,
        user: UserId | Email,
        caller: Caller,
        query: Mapping[str, str],
    ) -> Shown:
        self.read_count += 1
        view = await reads.payment_status(user, caller=caller)
        out = Out(view.standing.payment_status, dict(query))
        return Shown(out, view.account.user_id, view.version)

    async def handler(self, *_: Any) -> None:
        self.handled_count += 1

    async def get(
        self, *headers: tuple[bytes, bytes], query: bytes = b""
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Return status, headers and body; status 0: the handler was reached."""
        directory = MemoryAccountDirectory(self.world.database)
        reach = GetAuthorizedAccount(directory, self.world.register)
        clock = self.world.clock
        reads = AccountReads(
            GetPaymentStatus(reach, clock, DEFAULT_POLICY),
            ReadAccess(reach, clock, DEFAULT_POLICY),
            CheckAnswer(directory, clock),
        )
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        route: Any = attrs.make_class("Route", ["opt"])(read_by(self.read))
        scope: Any = {
            "headers": headers,
            "query_string": query,
            "route_handler": route,
            "path_template": "/users/{user}",
            "path_params": {"user": ADA},
            "user": CALLER,
        }
        receive: Any = None
        await AccountAnswers(self.handler, reads)(scope, receive, send)
        if not sent:
            return 0, {}, b""
        start, body = sent
        return int(start["status"]), dict(start["headers"]), body["body"]


@pytest.fixture
async def asked() -> Asked:
    world = World()
    await world.register(ADA, email_of(ADA))
    return Asked(world)


async def test_what_a_caller_has_is_not_made_again(asked: Asked) -> None:
    """
    A weak or strong tag of exactly this answer: neither the tag nor the account is
    read. Once the account has changed, the answer is built.
    """
    status, headers, body = await asked.get()
    tag = headers[b"etag"]
    assert (status, body) == (200, b'{"status":"none","query":{}}')
    assert headers[b"content-length"] == str(len(body)).encode()

    for given in (tag, b"W/" + tag):
        status, headers, body = await asked.get((b"if-none-match", given))
        assert (status, headers[b"etag"], body) == (304, tag, b"")
    assert asked.read_count == 1

    await asked.world.deliver(events_of([a_payment("ch_1", at=NOON, user=ADA)]))
    status, headers, body = await asked.get((b"if-none-match", tag))
    assert (status, body) == (200, b'{"status":"paid","query":{}}')
    assert headers[b"etag"] != tag
    assert asked.read_count == 2


@pytest.mark.parametrize("count", [1, 2])
async def test_several_tags_are_looked_through(asked: Asked, count: int) -> None:
    """
    In one header or in two: a caller that has one of them gets 304 after the answer was
    built.
    """
    _, headers, _ = await asked.get()
    tags = [b'"x"', headers[b"etag"]]
    given = [b", ".join(tags)] if count == 1 else tags
    status, _, body = await asked.get(*((b"if-none-match", it) for it in given))

    assert (status, body) == (304, b"")
    assert asked.read_count == 2


@pytest.mark.parametrize(
    "header", [(b"content-length", b"0"), (b"transfer-encoding", b"chunked")]
)
async def test_a_body_is_for_the_handler(
    asked: Asked, header: tuple[bytes, bytes]
) -> None:
    """
    The handler refuses it, also for a caller that has the answer.
    """
    _, headers, _ = await asked.get()
    given = (b"if-none-match", headers[b"etag"])

    assert (await asked.get(header, given))[0] == 0
    assert (asked.read_count, asked.handled_count) == (1, 1)


async def test_a_query_is_read_as_it_was_written(asked: Asked) -> None:
    """
    Decoded, also an empty value; another query gets another answer.
    """
    _, headers, body = await asked.get(query=b"feature=a%20b+c&empty=")
    assert msgspec.json.decode(body, type=Out).query == {
        "feature": "a b c",
        "empty": "",
    }

    other = await asked.get((b"if-none-match", headers[b"etag"]), query=b"feature=a")
    assert other[0] == 200
