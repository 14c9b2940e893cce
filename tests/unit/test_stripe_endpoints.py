"""Endpoints in Stripe's answers that no sandbox gives."""

import json
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from typing_extensions import override

from payments_adapters.stripe.admin import StripeAdmin
from payments_adapters.stripe.api_reader import PAGES_MAX
from payments_adapters.stripe.endpoint import (
    EVENT_TYPES,
    Endpoint,
    EndpointDraft,
    EndpointMarks,
)
from payments_adapters.stripe.transport import Transport
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayOutcomeUnknown,
    GatewayRefused,
)
from payments_service.cli.secret_file import SecretFile
from payments_service.cli.stripe_endpoints import EndpointRun
from payments_service.endpoint_roles import WEBHOOK_PATH

pytestmark = pytest.mark.anyio

URL: Final = f"https://pay.example.com{WEBHOOK_PATH}"
SNAPSHOTS: Final[dict[str, Any]] = {
    "id": "we_1",
    "object": "webhook_endpoint",
    "url": URL,
    "created": 1_700_000_000,
    "status": "enabled",
    "enabled_events": ["*"],
    "livemode": False,
}
THIN: Final[dict[str, Any]] = {
    "id": "ed_1",
    "object": "v2.core.event_destination",
    "created": "2026-01-01T00:00:00.000Z",
    "status": "enabled",
    "enabled_events": ["v1.charge.succeeded"],
    "event_payload": "thin",
    "webhook_endpoint": {"url": URL},
    "livemode": False,
}
MAY_NOT: Final = {"error": {"type": "invalid_request_error", "message": "no"}}
# By status: the key lacks the permission, or the account has none.
REFUSED: Final = {403: GatewayMisconfigured, 400: GatewayRefused}


@attrs.define
class Told:
    """Stripe's answers: to v1, and page by page to v2."""

    snapshots: Sequence[Any] = ()
    thin: Sequence[Any] = ()
    has_more: bool = False
    thin_status: int = 200
    endless: bool = False
    asked: list[str] = attrs.field(factory=list)

    def answer(self, method: str, url: str) -> tuple[int, Any]:
        self.asked.append(f"{method} {url}")
        if "/v1/" in url:
            of_v1 = {"object": "list", "data": self.snapshots}
            return 200, {**of_v1, "has_more": self.has_more}
        if self.thin_status != 200:
            return self.thin_status, MAY_NOT
        if method.upper() == "POST":
            return 200, self.thin[0]
        next_page = (
            "https://elsewhere.example.com/?page=token" if self.endless else None
        )
        return 200, {"data": self.thin, "next_page_url": next_page}


class Telling(Transport):
    """Gives the answers of a test, and makes no requests."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self.told = told

    @override
    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        status, body = self.told.answer(method, url)
        date = {"Date": formatdate(1_800_000_000, usegmt=True)}
        return json.dumps(body).encode(), status, date


def admin() -> StripeAdmin:
    return StripeAdmin(
        "sk_test_" + "k" * 24, base="https://api.stripe.com", livemode=False
    )


async def found(told: Told, *, needs_thin: bool = False) -> Any:
    it = admin()
    async with it.opened(Telling(told)):
        return await it.endpoints(needs_thin=needs_thin)


async def test_what_is_optional_may_be_missing() -> None:
    """A version, a description, marks: a person made the endpoint long ago."""
    of_none = {"description": None, "metadata": None}
    told = Told([SNAPSHOTS, {**SNAPSHOTS, **of_none}], [THIN, {**THIN, **of_none}])
    every: Sequence[Endpoint] = (await found(told)).it
    assert [it.is_thin for it in every] == [False, False, True, True]
    assert {it.description for it in every} == {""}
    assert {it.marks for it in every} == {EndpointMarks()}
    assert {it.api_version for it in every} == {None}


async def test_what_is_no_address_of_thin_events_is_left_out() -> None:
    """Snapshots of v2, and destinations that are not a web address."""
    others = [
        {**THIN, "event_payload": "snapshot"},
        {**THIN, "webhook_endpoint": None},
        {**THIN, "webhook_endpoint": {"url": None}},
    ]
    assert [it.id for it in (await found(Told((), [*others, THIN]))).it] == ["ed_1"]


@pytest.mark.parametrize("status", REFUSED)
async def test_an_account_without_thin_events_still_has_its_endpoints(
    status: int,
) -> None:
    """If thin events are needed, it is refused."""
    told = Told([SNAPSHOTS], thin_status=status)
    some = await found(told)
    assert [it.id for it in some.it] == ["we_1"]
    assert isinstance(some.thin_refused, REFUSED[status])
    assert (await found(Told([SNAPSHOTS]))).thin_refused is None
    with pytest.raises(REFUSED[status]):
        await found(told, needs_thin=True)


async def test_a_list_that_does_not_end_is_given_up() -> None:
    """An address other than Stripe's is not requested for more of it."""
    with pytest.raises(GatewayOutcomeUnknown, match="more endpoints"):
        await found(Told([SNAPSHOTS], has_more=True))
    told = Told(thin=[THIN], endless=True)
    with pytest.raises(GatewayOutcomeUnknown, match="without an end"):
        await found(told)
    assert len(told.asked) == 1 + PAGES_MAX
    assert all("api.stripe.com" in it for it in told.asked)
    assert "page=token" in told.asked[-1]


async def test_a_destination_that_came_without_its_secret_is_not_taken_for_made() -> (
    None
):
    """Whatever part of it is missing."""
    draft = EndpointDraft(
        url=URL, is_thin=True, types=EVENT_TYPES, description="", marks=EndpointMarks()
    )
    it = admin()
    for address in (None, {"url": URL}):
        told = Told(thin=[{**THIN, "webhook_endpoint": address}])
        async with it.opened(Telling(told)):
            with pytest.raises(GatewayOutcomeUnknown, match="without its secret"):
                await it.create_endpoint(draft)


@pytest.mark.parametrize("status", [200, 403])
async def test_that_thin_events_could_not_be_seen_is_said(
    tmp_path: Path, status: int
) -> None:
    """Each event might come twice; the missing permission is named."""
    said = list[str]()
    it = admin()
    run = EndpointRun(
        admin=it, url=URL, is_thin=False, dry_run=True, secrets=(), say=said.append
    )
    async with it.opened(Telling(Told(thin_status=status))):
        await run.set_up(SecretFile(tmp_path / "secret"))
    assert len(said) == (status == 403)
    assert all('"Webhook endpoints, event destinations": read' in it for it in said)
