"""Keys at a URL, over real connections: who is called, and what is accepted."""

import json
import secrets
import socket
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from typing_extensions import override

from payments_adapters.jwt import key_url
from payments_adapters.jwt.key_url import FetchError, KeyUrl
from payments_core.caller import ADMIN_SCOPE
from payments_service.container import build_container
from payments_service.http.app import create_app
from payments_service.refreshing import Refreshing
from payments_service.settings import Settings
from support import databases, service
from support.command_line import Inside
from support.jwks_server import KeyServer, serving_keys
from support.plain_http import TLS
from support.service import AUDIENCE, ISSUER, World
from support.tls import server_and_client

pytestmark = pytest.mark.anyio

# The shortest file whose name would not be taken for a token.
TOKEN: Final = f"{secrets.token_hex(8)}.{secrets.token_hex(8)}.{secrets.token_hex(8)}"


@pytest.fixture(autouse=True)
def _no_way_but_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the environment's proxy to nothing."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:1")


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with serving_keys() as found:
        yield found


async def refusal(url: KeyUrl) -> str:
    with pytest.raises(FetchError) as refused:
        await url.fetch()
    return str(refused.value)


async def test_the_document_is_what_is_there(server: KeyServer) -> None:
    """
    Unchanged, without a token unless one is configured, and with both media types of a
    key set.
    """
    server.document = b"whatever"

    assert await KeyUrl(server.url).fetch() == b"whatever"
    assert server.authorizations == [None]
    assert server.accepts == ["application/jwk-set+json, application/json"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_is_followed(server: KeyServer, status: int) -> None:
    """
    The server at the address does not choose another one.
    """
    with serving_keys() as other:
        server.status, server.headers = status, {"Location": other.url}
        assert await refusal(KeyUrl(server.url)) == (
            f"it answered {status}, and redirects are not followed"
        )
        assert other.accepts == []


@pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 500, 503])
async def test_only_200_is_an_answer(server: KeyServer, status: int) -> None:
    """
    Error pages are text, not keys.
    """
    server.status = status
    assert await refusal(KeyUrl(server.url)) == f"it answered {status}"


async def test_64_kib_are_read_and_not_a_byte_more(server: KeyServer) -> None:
    """
    However much the server sends.
    """
    server.document = b"x" * 65_536
    assert len(await KeyUrl(server.url).fetch()) == 65_536
    server.document = b"x" * 10_000_000
    assert "more than 65536 bytes" in await refusal(KeyUrl(server.url))


async def test_what_is_packed_is_not_unpacked(server: KeyServer) -> None:
    """
    A small body could decompress to a large one.
    """
    server.document, server.headers = b"x", {"Content-Encoding": "gzip"}
    assert await KeyUrl(server.url).fetch() == b"x"


@pytest.mark.parametrize("what", ["silent", "slow", "nobody"])
async def test_there_is_one_deadline(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """
    From the connection to the last byte: neither silence nor a slow byte stream extends
    it.
    """
    monkeypatch.setattr(key_url, "FETCH_S", 0.2)
    if what == "silent":
        server.go.clear()
        assert "no answer within" in await refusal(KeyUrl(server.url))
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if what == "nobody":
            listener.close()
            assert "no answer: " in await refusal(KeyUrl(f"http://127.0.0.1:{port}/"))
            return
        over = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
                while not over.wait(0.01):
                    connection.sendall(b"x")

        def dripping() -> None:
            try:
                drip()
            except OSError:
                return

        thread = threading.Thread(target=dripping, daemon=True)
        thread.start()
        assert "no answer within" in await refusal(KeyUrl(f"http://127.0.0.1:{port}/"))
        over.set()
        thread.join()


async def test_a_cluster_is_asked_with_its_own_ca_and_the_pods_token(
    tmp_path: Path,
) -> None:
    """
    Both are read each time: the kubelet replaces them.
    """
    tls, _ = server_and_client("localhost", tmp_path)
    token = tmp_path / "token"
    with serving_keys(tls) as server:
        url = KeyUrl(server.url, tmp_path / "cert.pem", token)
        for text in ("first.a.b", "second.a.b"):
            token.write_text(f"{text}\n")
            await url.fetch()

        assert server.authorizations == ["Bearer first.a.b", "Bearer second.a.b"]
        assert "certificate" in (await refusal(KeyUrl(server.url))).lower()
        assert len(server.accepts) == 2


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_a_certificate_of_another_name_is_none(tmp_path: Path, name: str) -> None:
    """
    Also where the CA is trusted.
    """
    tls, _ = server_and_client("keys.example", tmp_path)
    with serving_keys(tls) as server:
        url = server.url.replace("localhost", name)
        assert (
            "certificate" in (await refusal(KeyUrl(url, tmp_path / "cert.pem"))).lower()
        )


@pytest.mark.parametrize(
    "text",
    [None, "", "a b", f"{TOKEN}\nX-Evil: 1", "é"],
    ids=["none", "empty", "two", "lines", "not ASCII"],
)
async def test_a_token_that_is_none_is_not_sent_and_not_shown(
    server: KeyServer, tmp_path: Path, text: str | None
) -> None:
    """
    No file, an empty one, several lines.
    """
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)

    said = await refusal(KeyUrl(server.url, token_file=file))

    assert "its token file" in said
    assert TOKEN not in said
    assert server.accepts == []


async def test_a_ca_that_is_none_is_told(server: KeyServer, tmp_path: Path) -> None:
    """
    No request is sent without a trusted CA.
    """
    for path in (tmp_path / "none", tmp_path):
        said = await refusal(KeyUrl(server.url, ca_file=path))
        assert "its CA file cannot be read" in said
    assert server.accepts == []


@attrs.frozen
class Issuer:
    """An issuer with static keys, and a URL with some of them."""

    name: str
    server: KeyServer
    keys: dict[str, ec.EllipticCurvePrivateKey] = attrs.field(factory=dict)

    def publish(self, *kids: str) -> None:
        shown: list[dict[str, Any]] = []
        for kid in kids:
            key = self.keys.setdefault(kid, ec.generate_private_key(ec.SECP256R1()))
            shown.append(
                {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid}
            )
        self.server.document = json.dumps({"keys": shown}).encode()

    def token(self, kid: str = "k1", **claims: object) -> str:
        now = int(datetime.now(UTC).timestamp())
        key = self.keys.setdefault(kid, ec.generate_private_key(ec.SECP256R1()))
        made = {
            "iss": self.name,
            "aud": [AUDIENCE],
            "sub": "admin",
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + 600,
            "scope": ADMIN_SCOPE,
        }
        headers = {"kid": kid, "typ": None}
        return jwt.encode({**made, **claims}, key, "ES256", headers=headers)

    def of_service(self, name: str) -> str:
        claims: dict[str, Any] = {
            "sub": f"system:serviceaccount:shop:{name}",
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": name}},
        }
        return self.token(**claims)


@attrs.frozen
class UrlWorld(World):
    """A deployment whose keys are at URLs: those of users, and of a cluster."""

    users_url: str = ""
    cluster_url: str = ""
    token_file: str = ""

    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        env = super().env(port, ops_port)
        del env["PAYMENTS_JWT_KEYS"]
        return {
            **env,
            "PAYMENTS_JWT_KEYS_URL": self.users_url,
            "PAYMENTS_KUBERNETES_ISSUER": CLUSTER,
            "PAYMENTS_KUBERNETES_KEYS_URL": self.cluster_url,
            "PAYMENTS_KUBERNETES_TOKEN_FILE": self.token_file,
            "PAYMENTS_KUBERNETES_SCOPES": "shop/crm=payments:feed",
        }


CLUSTER: Final = "https://kubernetes.default.svc.cluster.local"
NOWHERE: Final = "http://127.0.0.1:1/keys"


async def test_without_keys_nobodys_token_is_called_bad() -> None:
    """
    The process is not ready, and answers 503 to callers; a text that is no token is
    401.
    """
    under = UrlWorld(
        "postgresql://n@127.0.0.1:1/n",
        users_url=NOWHERE,
        cluster_url=NOWHERE,
        token_file="/none",
    )
    container = build_container(Settings.from_env(under.env(0, 0)))
    app = httpx.ASGITransport(create_app(container))  # type: ignore[arg-type]  # Litestar types it otherwise
    issuer = Issuer(ISSUER, KeyServer(NOWHERE))

    async with httpx.AsyncClient(transport=app, base_url="http://service") as client:
        answers = [
            await client.get(
                f"{service.PREFIX}/users", headers={"Authorization": f"Bearer {it}"}
            )
            for it in (issuer.token(), issuer.token("k2"), "a.b.c")
        ]

    assert [it.status_code for it in answers] == [503, 503, 401]
    assert answers[0].json()["code"] == "keys_unavailable"
    assert answers[0].headers["retry-after"] == "1"
    assert container[Refreshing].trouble == (
        "no keys yet of PAYMENTS_JWT_KEYS_URL, PAYMENTS_KUBERNETES_KEYS_URL"
    )


def test_t48_t30_a_service_follows_the_keys_of_its_issuers(
    postgres: str,
    template: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inside: Inside,
) -> None:
    """
    A key that was just published is accepted at once; an unpublished key is 401, and
    the issuer is called once for all of them. A cluster's service may do what the
    settings say, and has no user.
    """
    # The test itself calls the service.
    monkeypatch.setenv("NO_PROXY", "*")
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with (
        serving_keys() as users_keys,
        serving_keys() as clusters_keys,
        databases.copy_of(postgres, template) as dsn,
    ):
        users, cluster = Issuer(ISSUER, users_keys), Issuer(CLUSTER, clusters_keys)
        users.publish("k1")
        cluster.publish("k1")
        under = UrlWorld(
            dsn,
            users_url=users_keys.url,
            cluster_url=clusters_keys.url,
            token_file=str(token),
        )
        with service.running(under) as [running]:

            def status(text: str, path: str = "/users", method: str = "GET") -> int:
                body = {"email": "a@b.example"} if method == "PUT" else None
                return running.call(method, path, text, body).status_code

            first = users.token()
            assert status(first) == 200
            users.publish("k1", "k2")
            asked = len(users_keys.accepts)
            assert [status(users.token("k2")), status(first)] == [200, 200]
            assert {status(users.token("k3")) for _ in range(20)} == {401}
            assert len(users_keys.accepts) == asked + 1

            crm = cluster.of_service("crm")
            assert status(crm, "/feed") == 200
            assert status(crm) == 403
            own = "/users/system:serviceaccount:shop:crm"
            assert status(crm, f"{own}/payment-status") == 404
            assert status(crm, own, "PUT") == 403
            assert status(cluster.of_service("other"), "/feed") == 401
            assert status(users.of_service("crm"), "/feed") == 200
            assert status(Issuer(CLUSTER, users_keys, users.keys).token()) == 401
            assert {*clusters_keys.authorizations} == {f"Bearer {TOKEN}"}
            # A command fetches the keys itself, and revokes the token everywhere.
            dead = inside("token", "invalidate", first, "--json", env=under.env(0, 0))
            assert (dead.code, dead.json) == (0, {"invalidated": True})
            assert status(first) == 401
            shown = httpx.get(f"{running.ops_url}/metrics", verify=TLS).text
            assert (
                'payments_keys_failures_total{setting="PAYMENTS_JWT_KEYS_URL"} 0.0'
                in (shown)
            )
