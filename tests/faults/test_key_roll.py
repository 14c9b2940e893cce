"""Keys and secrets are rolled under load: no valid request is refused."""

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import pytest
from typing_extensions import override

from payments_adapters.jwt import KeySet, generate_jwks, issue
from payments_adapters.stripe import sign
from payments_core import user_id
from payments_core.caller import ADMIN_SCOPE
from support import databases, service
from support.events import SUCCEEDED, event
from support.plain_http import TLS
from support.profiles import only_in_prove
from support.service import AUDIENCE, ISSUER, ServiceProcess, World, new_secret

THREADS: Final = 3
# Files are read again every 5 s; a slow machine may need a while.
WAIT_S_MAX: Final = 60.0


@attrs.frozen
class FileWorld(World):
    """A deployment whose keys and secrets are files."""

    folder: Path = Path()

    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        env = super().env(port, ops_port)
        for name in ("PAYMENTS_JWT_KEYS", "PAYMENTS_STRIPE_WEBHOOK_SECRETS"):
            del env[name]
            env[f"{name}_FILE"] = str(self.folder / name)
        return env

    def write(self, name: str, text: str) -> None:
        """Replace a file atomically."""
        (self.folder / "next").write_text(text)
        (self.folder / "next").rename(self.folder / name)


def a_token(jwks: str) -> str:
    return issue(
        KeySet.from_jwks(jwks),
        issuer=ISSUER,
        audience=AUDIENCE,
        user_id=user_id("admin"),
        email=None,
        scopes=[ADMIN_SCOPE],
        at=datetime.now(UTC),
        lifetime=timedelta(hours=1),
        jti=uuid.uuid4().hex,
    )


def together(*texts: str) -> str:
    return json.dumps({"keys": [key for it in texts for key in json.loads(it)["keys"]]})


@attrs.define
class Load:
    """Callers and a Stripe that do not stop; the keys that they use can be changed."""

    running: ServiceProcess
    jwks: str
    secret: str
    answers: Counter[tuple[str, int]] = attrs.field(factory=Counter)
    over: threading.Event = attrs.field(factory=threading.Event)

    def call(self, client: httpx.Client, jwks: str) -> int:
        headers = {"Authorization": f"Bearer {a_token(jwks)}"}
        return client.get(f"{self.running.url}/users", headers=headers).status_code

    def deliver(self, client: httpx.Client, secret: str) -> int:
        body = json.dumps(event(SUCCEEDED, uuid.uuid4().hex)).encode()
        signed = sign(body, secret=secret, at=datetime.now(UTC))
        headers = {"Content-Type": "application/json", "Stripe-Signature": signed}
        url = f"{self.running.url}/webhooks/stripe"
        return client.post(url, content=body, headers=headers).status_code

    def go_on(self) -> None:
        with httpx.Client(verify=TLS, timeout=30) as client:
            while not self.over.is_set():
                self.answers["call", self.call(client, self.jwks)] += 1
                self.answers["webhook", self.deliver(client, self.secret)] += 1

    def until(self, do: Callable[..., int], using: str, status: int) -> None:
        """Return once a probe, which is not part of the load, has this status."""
        end = time.monotonic() + WAIT_S_MAX
        with httpx.Client(verify=TLS, timeout=30) as client:
            while do(client, using) != status:
                assert time.monotonic() < end, f"never {status}"


@contextmanager
def under_load(running: ServiceProcess, jwks: str, secret: str) -> Iterator[Load]:
    load = Load(running, jwks, secret)
    threads = [threading.Thread(target=load.go_on) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.over.set()
        for thread in threads:
            thread.join()


@only_in_prove
@pytest.mark.parametrize("what", ["keys", "secrets"])
def test_t10_t48_f45_nothing_good_is_refused_while_it_is_rolled(
    postgres: str, template: str, tmp_path: Path, what: str
) -> None:
    """
    Old, both, then the new one is used, then the old one is removed: no caller is
    answered 401 and no delivery 400 meanwhile, and the retired one is refused from then
    on.
    """
    old: Any = {"keys": generate_jwks("old"), "secrets": new_secret()}
    new: Any = {"keys": generate_jwks("new"), "secrets": new_secret()}
    name, joined, refused = {
        "keys": ("PAYMENTS_JWT_KEYS", together(old["keys"], new["keys"]), 401),
        "secrets": (
            "PAYMENTS_STRIPE_WEBHOOK_SECRETS",
            f"{old['secrets']}\n{new['secrets']}",
            400,
        ),
    }[what]
    with databases.copy_of(postgres, template) as dsn:
        world = FileWorld(dsn, folder=tmp_path)
        world.write("PAYMENTS_JWT_KEYS", old["keys"])
        world.write("PAYMENTS_STRIPE_WEBHOOK_SECRETS", old["secrets"])
        with (
            service.running(world) as [running],
            under_load(running, old["keys"], old["secrets"]) as load,
        ):
            probe = load.call if what == "keys" else load.deliver
            world.write(name, joined)
            load.until(probe, new[what], 200)
            if what == "keys":
                load.jwks = new["keys"]
            else:
                load.secret = new["secrets"]
            # Requests in flight were signed with the old one.
            before = load.answers.total()
            end = time.monotonic() + WAIT_S_MAX
            while load.answers.total() < before + 4 * THREADS:
                assert time.monotonic() < end, "the load has stopped"
                load.over.wait(0.01)
            world.write(name, new[what])
            load.until(probe, old[what], refused)
            load.until(probe, new[what], 200)

        assert {*load.answers} == {("call", 200), ("webhook", 200)}
        assert min(load.answers.values()) > 100
