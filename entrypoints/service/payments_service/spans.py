"""Where spans of a trace go: around wired objects, and around requests.

`Spans` adds none, and is the default unless PAYMENTS_TRACES is `on`. The subclass that
adds them is in `payments_service.tracing`, which alone imports OpenTelemetry.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from litestar.types import ASGIApp

from payments_core.jobs import RunWork
from payments_core.use_cases import RecordFacts
from payments_service.ingest_queue import IngestQueue

_T = TypeVar("_T")


class Spans:
    """Adds no spans."""

    def port(self, port: Any, it: _T) -> _T:  # noqa: ARG002  # for overrides
        """Return an adapter, with a span around each call of it."""
        return it

    def call(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:  # noqa: ARG002  # for overrides
        """Return the call of the use case with that name, with a span around it."""
        return call

    def work(self, it: RunWork) -> RunWork:
        """Return the use case that runs jobs and intents, each in its own trace."""
        return it

    def ingest_queue(
        self, record: RecordFacts, made: Callable[[RecordFacts], IngestQueue]
    ) -> IngestQueue:
        """Return the queue, made with the use case that records its batches."""
        return made(record)

    def requests(self, app: ASGIApp) -> ASGIApp:
        """Return an application, with a span around each request.

        It sets "route" in the scope's state to the matched route.
        """
        return app

    def close(self) -> None:
        """Send the remaining spans, and close, within two seconds."""


NO_SPANS: Final = Spans()
