"""Two concurrent runs of `payments stripe setup`, their calls in any order."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from typing_extensions import override

from payments_adapters.stripe.admin import StripeAdmin
from payments_adapters.stripe.endpoint import EVENT_TYPES
from payments_adapters.stripe.transport import Transport
from payments_sandbox import Sandbox
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.secret_file import SecretFile
from payments_service.cli.stripe_endpoints import EndpointRun
from payments_service.endpoint_roles import WEBHOOK_PATH
from support.profiles import PROVES
from support.sandbox import conforming

URL: Final = f"https://pay.example.com{WEBHOOK_PATH}"
# More calls than one run makes.
CALLS: Final = 12
CALLS_MAX: Final = 100
STEPS: Final = range(0, CALLS, 1 if PROVES else 2)
SEEDS: Final = range(400 if PROVES else 2)


class Stepped(Transport):
    """It makes a call when it is its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = asyncio.Queue[None]()
        self.made = asyncio.Queue[None]()

    @override
    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        await self.turns.get()
        try:
            return await super().request_async(method, url, headers, post_data)
        finally:
            self.made.put_nowait(None)


@attrs.define
class Setup:
    """One run, a call at a time."""

    sandbox: Sandbox
    file: Path
    transport: Stepped = attrs.field(factory=Stepped)
    secret_in_file: bool | None = None

    async def run(self) -> None:
        key, base = self.sandbox.api_key, self.sandbox.url
        admin = StripeAdmin(key, base=base, livemode=False)
        run = EndpointRun(
            admin=admin,
            url=URL,
            is_thin=False,
            dry_run=False,
            secrets=(),
            say=lambda _: None,
        )
        async with admin.opened(self.transport):
            await run.set_up(SecretFile(self.file))
        self.secret_in_file = run.secret_in_file


async def in_turns(setups: Sequence[Setup], order: Sequence[int]) -> list[Any]:
    tasks = [asyncio.ensure_future(it.run()) for it in setups]
    for number in order:
        setup, task = setups[number], tasks[number]
        if task.done():
            continue
        setup.transport.turns.put_nowait(None)
        made = asyncio.ensure_future(setup.transport.made.get())
        await asyncio.wait({made, task}, return_when=asyncio.FIRST_COMPLETED)
        made.cancel()
    for setup in setups:
        for _ in range(CALLS_MAX):
            setup.transport.turns.put_nowait(None)
    async with asyncio.timeout(30):
        return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="module")
def account() -> Iterator[Sandbox]:
    with conforming() as sandbox:
        yield sandbox


def orders() -> list[list[int]]:
    """Return the orders of calls; those of one run wholly within the other, too."""
    nested = [[0] * at + [1] * CALLS + [0] * CALLS for at in STEPS]
    mixed = list[list[int]]()
    for seed in SEEDS:
        order = [0] * CALLS + [1] * CALLS
        random.Random(seed).shuffle(order)  # noqa: S311  # no secret
        mixed.append(order)
    return [*nested, *mixed]


@pytest.mark.parametrize("names", [("one", "one"), ("one", "two")], ids=" ".join)
def test_two_at_once_leave_one_endpoint_whose_secret_is_known(
    account: Sandbox, tmp_path: Path, names: tuple[str, str]
) -> None:
    """
    A run that succeeds has its secret; the other reports that another run is in
    progress, or that the secret is not in its file.
    """
    for number, order in enumerate(orders()):
        account.reset()
        folder = tmp_path / str(number)
        folder.mkdir()

        async def run(folder: Path, order: list[int]) -> tuple[list[Setup], list[Any]]:
            setups = [Setup(account, folder / it) for it in names]
            return setups, await in_turns(setups, order)

        setups, ended = asyncio.run(run(folder, order))

        [left] = account.objects("webhook_endpoint")
        [(secret, _)] = account.engine.world.secrets[left["id"]]
        well = [it for it, error in zip(setups, ended, strict=True) if error is None]
        refused = [it for it in ended if it is not None]
        assert all(isinstance(it, CommandError) for it in refused), (order, ended)
        assert {it.code for it in refused} <= {Exit.REFUSED, Exit.CONFIGURATION}
        assert well, order
        assert left["status"] == "enabled"
        assert set(left["enabled_events"]) == EVENT_TYPES
        for it in well:
            has = it.file.exists() and it.file.read_text().strip() == secret
            assert has is it.secret_in_file, order
        assert any(it.secret_in_file for it in well)
        assert {it.read_text().strip() for it in folder.iterdir()} == {secret}
