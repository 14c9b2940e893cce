"""Authorization: each operation of the OpenAPI document, called by every caller."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import attrs
import httpx
import pytest

from payments_core.caller import ADMIN_SCOPE, FEED_SCOPE, READ_SCOPE
from support import databases
from support.events import SUCCEEDED, event
from support.openapi_calls import Operation, operations
from support.openapi_document import KEPT
from support.plain_http import TLS
from support.service_with_sandbox import Payer, ServiceWithSandbox, refusal

ALL: Final = [*operations()]
NEED_TOKENS: Final = [it for it in ALL if not it.is_open]
# A caller with a scope that a route may require.
SCOPES: Final = {"admin": ADMIN_SCOPE, "service": FEED_SCOPE}
# Names of things that do not exist.
NOBODY: Final = {
    "user": "nobody",
    "subscription": "sub-none",
    "intent": "none",
    "payment": "ch_none",
}


@attrs.frozen
class Theirs:
    """A user and what they own, by the names that paths use."""

    payer: Payer
    ids: Mapping[str, str]

    @property
    def email(self) -> str:
        return f"{self.payer.id}@example.com"


def _theirs(stack: ServiceWithSandbox) -> Theirs:
    payer = stack.user()
    subscription = payer.subscribed()["id"]
    intents = payer.stored("id from intents", by="created_at")
    charge = payer.charges[-1]["id"]
    ids = {
        "user": payer.id,
        "subscription": subscription,
        "intent": str(intents[-1][0]),
        "payment": charge,
    }
    return Theirs(payer, ids)


@pytest.fixture(scope="module")
def ada(stack: ServiceWithSandbox) -> Theirs:
    return _theirs(stack)


@pytest.fixture(scope="module")
def bob(stack: ServiceWithSandbox) -> Theirs:
    return _theirs(stack)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(verify=TLS, timeout=30, trust_env=False) as client:
        yield client


def call(  # noqa: PLR0913  # what makes up a request
    client: httpx.Client,
    stack: ServiceWithSandbox,
    operation: Operation,
    ids: Mapping[str, str],
    token: str | None,
    *,
    body: Any = None,
) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = client.request(
        operation.method,
        stack.service.url + operation.at(ids),
        json=body,
        headers=headers,
    )
    # The document lists this answer.
    assert str(answer.status_code) in operation.told["responses"], answer.text
    return answer


def body_of(operation: Operation, stack: ServiceWithSandbox, whose: Theirs) -> Any:
    """Return a body that an authorized caller could send."""
    known = {
        "email": whose.email,
        "user_id": whose.payer.id,
        "product": stack.product,
    }
    return operation.bodies(known)[0]


def refused(operation: Operation, caller: str) -> tuple[int, str | None] | None:
    """Return the documented refusal of a caller; None: they are not refused.

    The code is that for another user's thing, if it depends on the path.
    """
    reads = operation.method == "GET" and operation.parameters[:1] == ["user"]
    may = {"admin", "user", *(["reader"] if reads else [])}
    if operation.is_open or (caller in may and not operation.scopes):
        return None
    if caller == "no token":
        return 401, "token_required"
    if operation.scopes:
        has_one = SCOPES.get(caller) in operation.scopes
        return None if has_one else (403, "scope_required")
    if operation.parameters:
        return 404, None
    if operation.method == "GET":
        # It is the same for everybody, and names no user.
        return None
    # Its body names a thing of any user.
    return 403, "scope_required"


def tokens(stack: ServiceWithSandbox, ada: Theirs, bob: Theirs) -> dict[str, Any]:
    world = stack.world
    return {
        "no token": None,
        "user": ada.payer.token,
        "other user": bob.payer.token,
        "reader": world.token("desk", scopes=[READ_SCOPE]),
        "service": world.token("app", scopes=[FEED_SCOPE]),
        "admin": world.admin(),
    }


def test_t42_every_operation_refuses_who_may_not_call_it(
    stack: ServiceWithSandbox, ada: Theirs, bob: Theirs, client: httpx.Client
) -> None:
    """
    By an anonymous caller, the user, another user, a reader, a service and an
    administrator, about Ada by her id and by her e-mail: 401, 403 or 404 as the
    document says; nothing is changed.
    """
    by_email = {**ada.ids, "user": quote(ada.email, safe="")}
    before = databases.digest(stack.world.database_url)
    called = 0

    for operation in ALL:
        for caller, token in tokens(stack, ada, bob).items():
            expected = refused(operation, caller)
            if expected is None:
                continue
            body = body_of(operation, stack, ada)
            # An id is the whole of that path.
            is_named = "user" in operation.parameters and operation.id != "put_user"
            for ids in [ada.ids, by_email] if is_named else [ada.ids]:
                answer = call(client, stack, operation, ids, token, body=body)
                status, code = expected
                where = (operation.id, caller, answer.text)
                assert answer.status_code == status, where
                assert code in {None, refusal(answer)[1]}, where
                called += 1

    assert called > 4 * len(NEED_TOKENS)
    assert databases.digest(stack.world.database_url) == before


_TABLES: Final = """
    select table_name from information_schema.columns
    where table_schema = 'public' and column_name = 'user_id' order by 1"""


def rows_of(stack: ServiceWithSandbox, whose: Theirs) -> dict[str, list[str]]:
    """Return all rows of a user, as they are, by table."""
    url, user = stack.world.database_url, whose.payer.id
    found = dict[str, list[str]]()
    for (table,) in databases.run(databases.fetch(url, _TABLES)):
        query = f"select t::text from {table} t where user_id = $1 order by 1"  # noqa: S608  # our own names
        rows = databases.run(databases.fetch(url, query, user))
        found[table] = [str(row[0]) for row in rows]
    return found


def test_p34_nothing_of_a_user_changes_by_what_another_calls(
    stack: ServiceWithSandbox, ada: Theirs, client: httpx.Client
) -> None:
    """
    Another user calls every operation, about themselves, about Ada, and about both at
    once: their rows change, and none of hers does.
    """
    # Their token is revoked at the end.
    bob = _theirs(stack)
    before, bobs = rows_of(stack, ada), rows_of(stack, bob)
    half = {**bob.ids, "user": ada.ids["user"]}
    # Otherwise the rest would be refused.
    last = sorted(NEED_TOKENS, key=lambda it: "invalidate" in it.id)
    for operation in last:
        for ids in (bob.ids, ada.ids, half):
            body = body_of(operation, stack, bob)
            call(client, stack, operation, ids, bob.payer.token, body=body)

    assert sum(map(len, before.values())) > 5
    assert rows_of(stack, bob) != bobs
    assert rows_of(stack, ada) == before


def test_what_is_anothers_is_as_if_it_were_not(
    stack: ServiceWithSandbox, ada: Theirs, bob: Theirs, client: httpx.Client
) -> None:
    """
    In a path of Ada's, an id of Bob's or of nothing is 404 with the same text, for her
    and for an administrator; nothing is changed.
    """
    before = databases.digest(stack.world.database_url)
    called = 0

    for operation in NEED_TOKENS:
        inner = [it for it in operation.parameters if it != "user"]
        body = body_of(operation, stack, ada)
        for name in inner:
            told = set[str]()
            for value in (bob.ids[name], NOBODY[name]):
                ids = {**ada.ids, name: value}
                if name in {"intent", "payment"} and value == bob.ids[name]:
                    # An administrator may use it: the path has no user.
                    callers = [] if operation.needs_admin else [ada.payer.token]
                else:
                    callers = [stack.world.admin()]
                    callers += [] if operation.needs_admin else [ada.payer.token]
                for token in callers:
                    answer = call(client, stack, operation, ids, token, body=body)
                    assert answer.status_code == 404, (operation.id, answer.text)
                    told.add(answer.json()["detail"])
                    called += 1
            assert len(told) == 1, operation.id

    assert called > 20
    assert databases.digest(stack.world.database_url) == before


def test_every_operation_that_reads_is_answered_to_who_may_call_it(
    stack: ServiceWithSandbox, ada: Theirs, bob: Theirs, client: httpx.Client
) -> None:
    """
    To the user, a reader, a service and an administrator, as far as the document
    allows.
    """
    read = set[str]()

    for operation in [it for it in ALL if it.method == "GET"]:
        for caller, token in tokens(stack, ada, bob).items():
            if refused(operation, caller) is None:
                answer = call(client, stack, operation, ada.ids, token)
                assert answer.status_code == 200, (operation.id, caller, answer.text)
                read.add(caller)

    assert read == {"no token", "user", "other user", "reader", "service", "admin"}


# After the reads: it ends what they read.
LAST: Final = ("end_subscription", "invalidate_token", "invalidate_user_tokens")


def test_every_body_that_the_document_shows_is_taken(
    stack: ServiceWithSandbox, client: httpx.Client
) -> None:
    """
    Sent by authorized callers, about new users; operations that end or revoke come
    last.
    """
    cyd = _theirs(stack)
    free = stack.user()
    free.give_card()
    stray = event(SUCCEEDED, "stray", at=datetime.now(UTC), customer=None)
    assert stack.service.post_event(stray).status_code == 200
    order = sorted(NEED_TOKENS, key=lambda it: it.id in LAST)
    known = {
        "email": cyd.email,
        "user_id": cyd.payer.id,
        "product": stack.product,
    }
    taken = dict[str, int]()

    for operation in order:
        ids = {**cyd.ids, "payment": stray["data"]["object"]["id"]}
        if operation.id == "start_subscription":
            ids["user"] = free.id
        token = stack.world.admin()
        for body in operation.bodies(known):
            answer = call(client, stack, operation, ids, token, body=body)
            taken[operation.id] = answer.status_code

    # What was begun has ended.
    assert taken.pop("call_off_intent") == 409
    assert {id_: it for id_, it in taken.items() if it not in {200, 201}} == {}
    assert set(taken) | {"call_off_intent"} == {it.id for it in NEED_TOKENS}


def test_the_document_is_served_to_anybody_and_kept_by_caches(
    stack: ServiceWithSandbox, client: httpx.Client
) -> None:
    """
    It is the document in docs; a caller with its tag gets no second copy.
    """
    url = f"{stack.service.url}/openapi.json"

    first = client.get(url)
    again = client.get(url, headers={"If-None-Match": first.headers["etag"]})

    assert first.status_code == 200
    assert first.headers["content-type"] == "application/json"
    assert first.headers["cache-control"] == "public, max-age=300"
    assert first.json() == json.loads(KEPT.read_text())
    assert (again.status_code, again.content) == (304, b"")
