"""The service as in production: `payments serve` in a process of its own."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import httpx

from payments_adapters.jwt import KeySet, generate_jwks, issue
from payments_adapters.stripe import sign
from payments_core import Email, user_id
from payments_core.caller import ADMIN_SCOPE
from payments_service.cli.exit_codes import Exit
from support import bound
from support.openapi_calls import assert_documented
from support.plain_http import TLS

PREFIX = "/payments-gateway/api"
ISSUER = "users.test"
AUDIENCE = "payments-gateway"
START_S_MAX = 30.0
PORTS_TRIED = 3
# The log level of a service: more or less than the default, if set for the test run.
_LOGGING = {
    name: os.environ[name] for name in ["PAYMENTS_LOG_LEVEL"] if name in os.environ
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def new_secret() -> str:
    return f"whsec_{secrets.token_hex(24)}"


@attrs.frozen
class World:
    """The shared parts of every process of one deployment."""

    database_url: str
    secrets: tuple[str, ...] = attrs.field(factory=lambda: (new_secret(),))
    jwks: str = attrs.field(factory=lambda: generate_jwks("test"))

    def env(self, port: int, ops_port: int) -> dict[str, str]:
        return {
            "PAYMENTS_ENV": "development",
            "PAYMENTS_DATABASE_URL": self.database_url,
            "PAYMENTS_STRIPE_WEBHOOK_SECRETS": ",".join(self.secrets),
            "PAYMENTS_JWT_ISSUER": ISSUER,
            "PAYMENTS_JWT_AUDIENCE": AUDIENCE,
            "PAYMENTS_JWT_KEYS": self.jwks,
            "PAYMENTS_PORT": str(port),
            "PAYMENTS_OPS_PORT": str(ops_port),
        }

    def token(  # noqa: PLR0913  # a token's claims by name
        self,
        user: str,
        *,
        email: str | None = None,
        scopes: Iterable[str] = (),
        audience: str = AUDIENCE,
        at: datetime | None = None,
        lifetime: timedelta = timedelta(hours=1),
    ) -> str:
        return issue(
            KeySet.from_jwks(self.jwks),
            issuer=ISSUER,
            audience=audience,
            user_id=user_id(user),
            email=Email.of(email) if email else None,
            scopes=scopes,
            at=at or datetime.now(UTC),
            lifetime=lifetime,
            jti=uuid.uuid4().hex,
        )

    def admin(self) -> str:
        return self.token("admin", scopes=[ADMIN_SCOPE])

    def signed(self, body: bytes, *, at: datetime | None = None) -> dict[str, str]:
        """Return the headers of a delivery as Stripe would send them."""
        signature = sign(body, secret=self.secrets[0], at=at or datetime.now(UTC))
        return {"Content-Type": "application/json", "Stripe-Signature": signature}


@attrs.frozen
class ServiceProcess:
    world: World
    port: int
    ops_port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    def post_event(
        self, event: Any, route: str = "stripe", **headers: str
    ) -> httpx.Response:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        answer = httpx.post(
            f"{self.url}/webhooks/{route}",
            content=body,
            headers={**self.world.signed(body), **headers},
            timeout=30,
            verify=TLS,
        )
        assert_documented(answer)
        return answer

    def register(self, user: str, email: str, customer: str | None = None) -> None:
        """Register a user; with a customer that is not fetched from any gateway."""
        if customer is not None:
            bound.register(self.world.database_url, (user, email, customer))
            return
        body = {"email": email}
        self.call("PUT", f"/users/{user}", self.world.admin(), body).raise_for_status()

    def call(
        self, method: str, path: str, token: str | None = None, body: Any = None
    ) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = httpx.request(
            method,
            self.url + path,
            json=body,
            headers=headers,
            timeout=30,
            verify=TLS,
        )
        assert_documented(answer)
        return answer

    def status(self, user: str) -> dict[str, Any]:
        answer = self.call("GET", f"/users/{user}/payment-status", self.world.admin())
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def start(
    world: World,
    port: int = 0,
    *,
    ops_port: int = 0,
    release: Path | None = None,
    within_s: float = START_S_MAX,
) -> ServiceProcess:
    """Start a process and return once it reports that it is ready.

    A port that is 0 is a free one. `release` is a checkout of another release, whose
    code it runs.
    """
    code = 0
    # A port that was free may be another process's by the time that ours binds it.
    for _ in range(1 if port else PORTS_TRIED):
        ports = port or free_port(), ops_port or free_port()
        service = _launched(world, ports, release)
        if is_up(service, within_s):
            return service
        service.process.kill()
        code = service.process.wait()
        if code != Exit.CONFIGURATION:
            break
    raise RuntimeError(f"the service did not start: {code}")


def _launched(
    world: World, ports: tuple[int, int], release: Path | None
) -> ServiceProcess:
    port, ops_port = ports
    process = subprocess.Popen(
        [sys.executable, "-m", "payments_service", "serve"],
        env={**world.env(port, ops_port), **_LOGGING, **code_of(release)},
    )
    return ServiceProcess(world, port, ops_port, process)


def is_up(service: ServiceProcess, within_s: float = START_S_MAX) -> bool:
    """Return once it reports that it is ready; False if it never does."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and service.process.poll() is None:
        if _ready(service):
            return True
    return False


def code_of(release: Path | None) -> dict[str, str]:
    """Return the environment in which a checkout of another release is run."""
    if release is None:
        return {}
    # The paths of 0.1.0.
    folders = (release / name for name in ("core", "adapters", "entrypoints"))
    return {"PYTHONPATH": os.pathsep.join(map(str, folders))}


def _ready(service: ServiceProcess) -> bool:
    try:
        url = f"{service.ops_url}/readyz"
        httpx.get(url, timeout=5, verify=TLS).raise_for_status()
    except httpx.HTTPError:
        # Blocks shortly instead of a sleep: the process ends, or the time is over.
        try:
            service.process.wait(0.05)
        except subprocess.TimeoutExpired:
            return False
        return False
    return True


@contextmanager
def running(world: World, count: int = 1) -> Iterator[list[ServiceProcess]]:
    """Lend processes of one deployment; they end as they do in production."""
    with ExitStack() as stack:
        services = []
        for _ in range(count):
            service = start(world)
            stack.callback(_end, service)
            services.append(service)
        yield services


def _end(service: ServiceProcess) -> None:
    service.process.send_signal(signal.SIGTERM)
    try:
        service.process.wait(30)
    except subprocess.TimeoutExpired:
        service.kill()
        raise
