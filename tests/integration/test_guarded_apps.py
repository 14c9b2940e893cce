"""The applications of the README, whose route requires a feature.

They run as they are pasted, beside a service that answers as ours does. The FastAPI
application runs in `make prove`: it needs an environment of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from litestar.testing import TestClient
from typing_extensions import override

from support.profiles import only_in_prove

ROOT: Final = Path(__file__).parents[2]
BLOCKS: Final = re.findall(
    r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
)
# Calls the FastAPI application, in its environment.
CALLS: Final = """
import json
from fastapi.testclient import TestClient

with TestClient(app) as client:
    statuses = [
        client.get("/report", headers={"x-user": user}).status_code
        for user in ("ada", "eve", "new", "nobody")
    ]
print(json.dumps(statuses))
"""
UNTIL: Final = "2999-01-01T00:00:00Z"
GRANT: Final = {
    "product": "pro",
    "price": "price_1",
    "until": UNTIL,
    "because": {"kind": "paid_period", "id": "in_1"},
}


def changed(position: int, user: str, **more: Any) -> dict[str, Any]:
    return {
        "position": position,
        "user_id": user,
        "version": 1,
        "at": "2026-11-28T12:00:00Z",
        "payment_status": "paid",
        "payment_expire_date": None,
        "entitled_until": None,
        "grants": [],
        "cause": "registered",
        **more,
    }


class Handler(BaseHTTPRequestHandler):
    """Ada has the feature, Eve does not, and the copy does not know the new user."""

    def do_GET(self) -> None:
        assert self.headers["authorization"] == "Bearer t"
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        match parts.path:
            case "/catalogue":
                product = {"product": "pro", "features": ["reports"]}
                self._say({"version": "v1", "products": [product], "prepaid": None})
            case "/feed" if query.get("latest") == ["true"]:
                ada = changed(1, "ada", grants=[GRANT], entitled_until=UNTIL)
                self._say(self._page([ada, changed(2, "eve")]))
            case "/feed":
                self.server.ended.wait(30)  # type: ignore[attr-defined]  # set below
                self._say(self._page([]))
            case "/users/new/access":
                self._say({"feature": "reports", "granted": True, "user_id": "new"})
            case _:
                told = {"code": "account_not_found", "detail": "no such user"}
                self._say(told, 404, "application/problem+json")

    @staticmethod
    def _page(changes: list[Any]) -> dict[str, Any]:
        return {
            "changes": changes,
            "next": "2",
            "has_more": False,
            "catalogue": "v1",
        }

    def _say(
        self, body: object, status: int = 200, kind: str = "application/json"
    ) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    @override
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Lend the settings of an application that calls the service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.ended = threading.Event()  # type: ignore[attr-defined]  # for `Handler`
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield {"PAYMENTS_API": url, "PAYMENTS_TOKEN": "t"}
        server.ended.set()  # type: ignore[attr-defined]  # see above
        server.shutdown()
        thread.join()


@contextmanager
def pasted(block: str) -> Iterator[Any]:
    """Lend the objects that a block of the README defines."""
    module = ModuleType("pasted")
    # Litestar resolves a handler's types in its module.
    sys.modules["pasted"] = module
    try:
        exec(block, vars(module))  # noqa: S102  # the README's own
        yield module
    finally:
        del sys.modules["pasted"]


def test_the_application_of_litestar(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Users with the feature get the report, including one whom only the service knows;
    others do not.
    """
    [block] = [it for it in BLOCKS if "import Litestar" in it]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pasted(block) as made, TestClient(made.app) as client:
        statuses = [
            client.get("/report", headers={"x-user": user}).status_code
            for user in ("ada", "eve", "new", "nobody")
        ]

    assert statuses == [200, 403, 200, 403]


@only_in_prove
def test_the_application_of_fastapi(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    The same answers.
    """
    [block] = [it for it in BLOCKS if "import Depends, FastAPI" in it]
    script = tmp_path / "guarded.py"
    script.write_text(block + CALLS)
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    group = ("--isolated", "--frozen", "--only-group", "client-fastapi")

    done = subprocess.run(
        [uv, "run", "--project", ROOT, *group, "python", script],
        cwd=tmp_path,
        env={
            **os.environ,
            **environment,
            "UV_SYSTEM_CERTS": "1",
            "UV_PYTHON": sys.executable,
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [200, 403, 200, 403]
