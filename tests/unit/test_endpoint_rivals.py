"""Two runs set up one endpoint at once: nothing is deleted by an outdated reading."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from payments_adapters.stripe.admin import StripeAdmin
from payments_adapters.stripe.endpoint import EVENT_TYPES, MARKS, Endpoint
from payments_sandbox.engine import Engine
from payments_service.cli.exit_codes import CommandError
from payments_service.cli.secret_file import SecretFile
from payments_service.cli.stripe_endpoints import EndpointRun
from payments_service.endpoint_roles import WEBHOOK_PATH, Role
from support.deployment import BEGINNING
from support.inprocess import InProcess
from support.sandbox import Api

pytestmark = pytest.mark.anyio
URL: Final = f"https://pay.example.com{WEBHOOK_PATH}"
ENDPOINTS: Final = "webhook_endpoints"


@attrs.frozen
class Runs:
    """A run of ours at a sandbox, and what another run does there."""

    run: EndpointRun
    api: Api
    engine: Engine

    def make(self, role: Role) -> str:
        """Make an endpoint as another run does; return its id."""
        made = self.api.post(
            ENDPOINTS,
            url=URL,
            enabled_events=sorted(EVENT_TYPES),
            metadata={MARKS[0]: role.value},
        )
        return str(made["id"])

    async def seen(self, id_: str) -> Endpoint:
        [found] = [it for it in (await self.run.look()).endpoints if it.id == id_]
        return found

    @property
    def left(self) -> list[str]:
        return [it["id"] for it in self.api.get(ENDPOINTS)["data"]]


@pytest.fixture
async def runs() -> AsyncIterator[Runs]:
    engine = Engine(start=lambda: int(BEGINNING.timestamp()))
    admin = StripeAdmin(engine.api.api_key, base="http://sandbox.test", livemode=False)
    async with admin.opened(InProcess(engine)):
        run = EndpointRun(
            admin=admin,
            url=URL,
            is_thin=False,
            dry_run=False,
            secrets=(),
            say=lambda _: None,
        )
        yield Runs(run, Api(engine), engine)


@pytest.mark.parametrize(
    "meanwhile",
    [{"metadata": {MARKS[0]: Role.IN_USE.value}}, {"disabled": True}],
    ids=["it is in use", "it was disabled"],
)
async def test_what_plays_another_part_by_now_is_not_deleted(
    runs: Runs, meanwhile: dict[str, Any]
) -> None:
    """
    Another run continued with it since it was read: its secret may be in a file.
    """
    id_ = runs.make(Role.MADE)
    seen = await runs.seen(id_)
    runs.api.post(f"{ENDPOINTS}/{id_}", **meanwhile)

    with pytest.raises(CommandError, match="another run is in progress"):
        await runs.run.delete(seen, "an interrupted run created it")
    assert (runs.left, runs.run.did) == ([id_], [])

    await runs.run.delete(await runs.seen(id_), "it is as it was seen")
    assert runs.left == []


@pytest.mark.parametrize("role", [Role.MADE, Role.WAITING, Role.IN_USE])
async def test_a_later_endpoint_is_ahead_once_its_secret_was_written_down(
    runs: Runs, tmp_path: Path, role: Role
) -> None:
    """
    Of two that were only made the first one stays; an endpoint that another run has
    finished is not made useless.
    """
    made = list[str]()

    def meet(request: Any, response: Any) -> None:
        """Let another run make an endpoint as soon as ours exists."""
        if request.method == "POST" and request.path.endswith(ENDPOINTS) and not made:
            made.append(json.loads(response.body)["id"])
            made.append(runs.make(role))

    runs.engine.watch = meet
    file = SecretFile(tmp_path / "secret")
    if role is Role.MADE:
        await runs.run.set_up(file)
        assert runs.run.endpoint_id == made[0]
        assert set(runs.left) == {*made}
        return

    with pytest.raises(CommandError, match="at the same time"):
        await runs.run.set_up(file)
    assert runs.left == made[1:]
    assert not file.path.exists()
