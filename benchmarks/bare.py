"""The limits: bare Litestar or plain ASGI that only verifies; one SELECT by a key.

Run as `python -m benchmarks.bare PORT`, with BENCH_SECRET and BENCH_DATABASE_URL.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import uvicorn
from litestar import Litestar, Request, get, post
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from payments_adapters.stripe import StripeSignatures

SIGNATURES = StripeSignatures((os.environ["BENCH_SECRET"],), lambda: datetime.now(UTC))


@post("/webhook", status_code=200)
async def webhook(request: Request[Any, Any, State]) -> dict[str, str]:
    SIGNATURES.verify(await request.body(), request.headers["stripe-signature"])
    return {"outcome": "applied"}


def with_bare_asgi(app: ASGIApp) -> ASGIApp:
    """Return an application with `/asgi` added below any framework."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"] != "/asgi":
            await app(scope, receive, send)
            return
        signature, body = "", b""
        for name, value in scope["headers"]:
            if name == b"stripe-signature":
                signature = value.decode()
        is_whole = False
        while not is_whole:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            is_whole = not message["more_body"]
        SIGNATURES.verify(body, signature)
        answer = b'{"outcome":"applied"}'
        length = (b"content-length", b"%d" % len(answer))
        headers = [(b"content-type", b"application/json"), length]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer, "more_body": False})

    return routed


@get("/read/{user:str}")
async def read(state: State, user: str) -> dict[str, str]:
    row = await state.pool.fetchrow(
        "select user_id, email, payment_status from payment_accounts"
        " where user_id = $1",
        user,
    )
    return dict(row)


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    async with asyncpg.create_pool(
        os.environ["BENCH_DATABASE_URL"], min_size=8, max_size=8
    ) as app.state.pool:
        yield


if __name__ == "__main__":
    litestar = Litestar(
        [webhook, read], lifespan=[lifespan], logging_config=None, openapi_config=None
    )
    uvicorn.run(
        with_bare_asgi(litestar),
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
    )
