"""The limits: a bare Litestar that only verifies, or only reads one row by its key.

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

from payments_adapters.stripe import StripeSignatures

SIGNATURES = StripeSignatures((os.environ["BENCH_SECRET"],), lambda: datetime.now(UTC))


@post("/webhook", status_code=200)
async def webhook(request: Request[Any, Any, State]) -> dict[str, str]:
    SIGNATURES.verify(await request.body(), request.headers["stripe-signature"])
    return {"outcome": "applied"}


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
    uvicorn.run(
        Litestar(
            [webhook, read],
            lifespan=[lifespan],
            logging_config=None,
            openapi_config=None,
        ),
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
    )
