"""Traces with OpenTelemetry: the extra `[otel]`, imported if PAYMENTS_TRACES is `on`.

Rule 1: a span is made of words of ours: names of classes, methods and routes, numbers,
        kinds. Nothing that a caller, a user or the gateway wrote is in one, nor the
        message of any exception.
Rule 2: requests, batches of webhooks, jobs and deliveries begin traces; what they call
        becomes a span of theirs only where their trace is sampled.
Rule 3: a collector delays nothing. What it does not take is dropped, and that is logged
        once.
"""

from payments_service.tracing.spans import TracingSpans, tracing_spans

__all__ = ["TracingSpans", "tracing_spans"]
