"""Stripe's deliveries: by many senders, each event until it is acknowledged."""

import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import anyio
import attrs
import httpx
from anyio.lowlevel import checkpoint

from support.plain_http import TLS
from support.service import ServiceProcess

SENDERS: Final = 24
TIMEOUT_S: Final = 30.0
DEADLINE_S: Final = 45.0

Event = dict[str, Any]


def client() -> httpx.AsyncClient:
    """Return a client with a connection for every request in flight."""
    return httpx.AsyncClient(
        timeout=TIMEOUT_S, limits=httpx.Limits(max_connections=None), verify=TLS
    )


async def post(
    http: httpx.AsyncClient, service: ServiceProcess, event: Event, **extensions: Any
) -> httpx.Response:
    """Deliver once, signed now."""
    body = json.dumps(event).encode()
    return await http.post(
        f"{service.url}/webhooks/stripe",
        content=body,
        headers=service.world.signed(body),
        extensions=extensions,
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once the condition holds; evaluating it takes the time.

    Raises:
        TimeoutError: the condition does not hold within `DEADLINE_S`.
    """
    with anyio.fail_after(DEADLINE_S):
        while not await condition():
            # Cancelled here, in case the condition itself never awaits.
            await checkpoint()


def _queue(events: Iterable[Event]) -> deque[Event]:
    return deque(events)


def _ignore(_: Event, __: httpx.Response) -> None:
    """Ignore the answer."""


@attrs.define
class Stripe:
    """Senders of the events in `waiting`; an event without a 2xx is queued again, last.

    `acknowledged` has an id for each 2xx; `unanswered` counts the deliveries that ended
    without any answer. `on_answer` is called for every answer at once.
    """

    waiting: deque[Event] = attrs.field(converter=_queue)
    on_answer: Callable[[Event, httpx.Response], None] = _ignore
    senders: int = SENDERS
    acknowledged: list[str] = attrs.field(factory=list)
    answers: list[httpx.Response] = attrs.field(factory=list)
    unanswered: int = 0
    paused: bool = False

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status_code for answer in self.answers)

    async def deliver(self, *services: ServiceProcess) -> None:
        """Send from all senders at once until nothing waits, or until paused.

        Raises:
            TimeoutError: sending takes longer than `DEADLINE_S`.
        """
        self.paused = False
        with anyio.fail_after(DEADLINE_S):
            async with client() as http, anyio.create_task_group() as senders:
                for number in range(self.senders):
                    service = services[number % len(services)]
                    senders.start_soon(self._send, http, service)

    async def _send(self, http: httpx.AsyncClient, service: ServiceProcess) -> None:
        while self.waiting and not self.paused:
            event = self.waiting.popleft()
            try:
                answer = await post(http, service, event)
            except httpx.TransportError:
                self.unanswered += 1
                self.waiting.append(event)
            else:
                self._hear(event, answer)

    def _hear(self, event: Event, answer: httpx.Response) -> None:
        self.answers.append(answer)
        if answer.is_success:
            self.acknowledged.append(event["id"])
        else:
            self.waiting.append(event)
        self.on_answer(event, answer)
