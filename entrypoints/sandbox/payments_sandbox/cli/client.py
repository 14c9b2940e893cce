"""Calls a running sandbox, as a client of Stripe and as its owner."""

from collections.abc import Callable
from typing import Any, Final

import attrs
import httpx

from payments_sandbox.cli.errors import CommandError, Exit
from payments_sandbox.forms import encoded

# A year with thousands of subscriptions takes long.
TIMEOUT_S: Final = 600.0
# No request was made; or the server does not speak JSON.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, ValueError)


@attrs.frozen
class SandboxClient:
    """Calls a running sandbox: Stripe's API, and the actions of its owner."""

    url: str
    key: str = attrs.field(repr=False)

    def post(self, path: str, **params: Any) -> Any:
        """Call Stripe's API.

        Raises:
            CommandError: the sandbox refuses, or does not answer.
        """
        body = encoded(params)
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._call("POST", f"/v1/{path}", content=body, headers=kind)

    def get(self, path: str, **params: Any) -> Any:
        return self._call("GET", f"/v1/{path}?{encoded(params)}")

    def delete(self, path: str) -> Any:
        return self._call("DELETE", f"/v1/{path}")

    def ask(self, path: str, **query: Any) -> Any:
        """Read what only the owner of a sandbox may see."""
        return self._call("GET", f"/_sandbox/{path}?{encoded(query)}")

    def do(self, path: str, **body: Any) -> Any:
        """Do what only the owner of a sandbox may do."""
        return self._call("POST", f"/_sandbox/{path}", json=body)

    def _call(self, method: str, path: str, **more: Any) -> Any:
        headers = {**more.pop("headers", {}), "Authorization": f"Bearer {self.key}"}
        try:
            # A proxy from the environment cannot reach this machine's own addresses.
            response = httpx.request(
                method,
                self.url + path,
                headers=headers,
                timeout=TIMEOUT_S,
                trust_env=False,
                **more,
            )
            answer = response.json()
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise CommandError(Exit.USAGE, "--url: not an http:// address") from error
        except (httpx.HTTPError, ValueError) as error:
            text = f"no sandbox answers at {self.url}"
            if method != "GET" and not isinstance(error, _NOT_SENT):
                text += (
                    " now: part of this may have happened, and "
                    "the command `state` shows the result"
                )
            else:
                text += ": the command `serve` starts one"
            raise CommandError(Exit.UNREACHABLE, text) from error
        if response.is_success:
            return answer
        code = Exit.NOT_FOUND if response.status_code == httpx.codes.NOT_FOUND else None
        raise CommandError(code or Exit.REFUSED, _reason(answer))


def _reason(answer: Any) -> str:
    error = answer.get("error", {}) if isinstance(answer, dict) else {}
    fields = "".join(
        f"\n{it.get('key')}: {it.get('message')}" for it in error.get("fields", ())
    )
    return f"{error.get('message', 'the sandbox refuses')}{fields}"


@attrs.frozen
class Target:
    """The sandbox that a command is for.

    `known` returns the address and the key that the options do not give, or raises an
    error that says how to give them.
    """

    url: str | None
    key: str | None
    known: Callable[[], tuple[str, str]]

    def client(self) -> SandboxClient:
        url, key = self.url, self.key
        if not (url and key):
            known_url, known_key = self.known()
            url, key = url or known_url, key or known_key
        return SandboxClient(url.rstrip("/"), key)
