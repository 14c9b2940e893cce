"""Where spans of a trace would go: around what is wired, and around requests.

`Spans` puts none anywhere, and is what a process has unless PAYMENTS_TRACES says `on`.
The one that makes them is `payments_service.tracing`, which alone knows OpenTelemetry.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from litestar.types import ASGIApp

from payments_core.jobs import RunWork
from payments_core.use_cases import RecordFacts
from payments_service.ingest_queue import IngestQueue

_T = TypeVar("_T")


class Spans:
    """Leaves everything as it is."""

    def port(self, port: Any, it: _T) -> _T:  # noqa: ARG002  # of those that override it
        """Return an adapter, with a span around each call of it."""
        return it

    def call(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:  # noqa: ARG002  # of those that override it
        """Return what a use case of that name does, with a span around each call."""
        return call

    def work(self, it: RunWork) -> RunWork:
        """Return what works off jobs and intents, each in a trace of its own."""
        return it

    def ingest_queue(
        self, record: RecordFacts, made: Callable[[RecordFacts], IngestQueue]
    ) -> IngestQueue:
        """Return the queue that is made with what records its batches."""
        return made(record)

    def requests(self, app: ASGIApp) -> ASGIApp:
        """Return an application, with a span around each request.

        It says what route it found by "route" in the scope's state.
        """
        return app

    def close(self) -> None:
        """Send what is left, and end; it takes two seconds at most."""


NO_SPANS: Final = Spans()
