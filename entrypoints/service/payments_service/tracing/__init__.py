"""Traces with OpenTelemetry: the extra `[otel]`, imported if PAYMENTS_TRACES is `on`.

Rule 1: a span has only our own words: names of classes, methods and routes, numbers,
        kinds. It has nothing that a caller, a user or the gateway wrote, and no
        exception's message.
Rule 2: requests, batches of webhooks, jobs and deliveries begin traces; their calls
        become spans only if the trace is sampled.
Rule 3: a collector delays nothing. Spans that it does not accept are dropped, and that
        is logged once.
"""

from payments_service.tracing.spans import TracingSpans, tracing_spans

__all__ = ["TracingSpans", "tracing_spans"]
