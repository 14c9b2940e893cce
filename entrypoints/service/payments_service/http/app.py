"""The application: its routes, their dependencies, and how errors are handled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.types import ASGIApp

from payments_core.jobs import SyncUser
from payments_core.use_cases import (
    AuthenticateCaller,
    CallOffIntent,
    ChangeSubscription,
    CheckAnswer,
    EndSubscription,
    ExecuteOperation,
    ExplainUser,
    FollowRevocations,
    GetPaymentStatus,
    InvalidateToken,
    InvalidateUserTokens,
    IssueAccessPass,
    LinkPayment,
    ListInvalidatedTokens,
    ListPayments,
    ListUsers,
    PreviewChange,
    ReadAccess,
    ReadCatalogue,
    ReadFeed,
    ReadIntent,
    ReadPassKeys,
    ReadPaymentLink,
    ReadSubscriptions,
    ReadTimeline,
    RegisterCustomer,
    RegisterUser,
    SetUpCard,
    StartSubscription,
    UpdateCard,
)
from payments_core.use_cases.read_feed import WAITING_MAX
from payments_service.container import Container, opened
from payments_service.http import (
    access,
    access_pass,
    cards,
    explanation,
    feed,
    lists,
    openapi,
    payments,
    problems,
    subscriptions,
    tokens,
    users,
)
from payments_service.http.account_reads import AccountAnswers, AccountReads
from payments_service.http.authentication import BearerAuthentication
from payments_service.http.operations import idempotency_key
from payments_service.http.request_context import RequestContext
from payments_service.http.requests import HttpRequest
from payments_service.http.webhooks import described as webhooks_described
from payments_service.http.webhooks import webhooks
from payments_service.ingest_queue import IngestQueue
from payments_service.lanes import READING, InFlightLimits, Lane, LaneName
from payments_service.limit_reports import LimitReports
from payments_service.presentation import PREFIX
from payments_service.rate_limits import RateLimiter
from payments_service.refreshing import Refreshing
from payments_service.tallies import RequestTallies
from payments_service.webhook_reports import WebhookReports

_NEEDS: Final = {
    "change": ChangeSubscription,
    "revoke_all": InvalidateUserTokens,
    "end": EndSubscription,
    "explain": ExplainUser,
    "invalidate": InvalidateToken,
    "link": LinkPayment,
    "issue": IssueAccessPass,
    "pass_keys": ReadPassKeys,
    "list_payments": ListPayments,
    "list_users": ListUsers,
    "preview": PreviewChange,
    "read": ReadSubscriptions,
    "read_catalogue": ReadCatalogue,
    "read_feed": ReadFeed,
    "read_intent": ReadIntent,
    "call_off": CallOffIntent,
    "read_link": ReadPaymentLink,
    "read_timeline": ReadTimeline,
    "register": RegisterUser,
    "register_customer": RegisterCustomer,
    "revocations": ListInvalidatedTokens,
    "set_up": SetUpCard,
    "start": StartSubscription,
    "sync": SyncUser,
    "payment_status": GetPaymentStatus,
    "update": UpdateCard,
}
# Routes that need a token. All of them are in the OpenAPI document.
FOR_CALLERS: Final = (
    users.put_user,
    users.get_payment_status,
    access.get_access,
    access.get_catalogue,
    users.sync_user,
    explanation.get_explanation,
    access_pass.issue_access_pass,
    lists.get_users,
    lists.get_payments,
    lists.get_timeline,
    feed.get_feed,
    cards.set_up_card,
    cards.update_card,
    payments.get_payment_link,
    payments.link_payment,
    payments.unlink_payment,
    subscriptions.start_subscription,
    subscriptions.get_subscriptions,
    subscriptions.get_subscription,
    subscriptions.change_subscription,
    subscriptions.preview_change,
    subscriptions.end_subscription,
    subscriptions.get_intent,
    subscriptions.call_off_intent,
    tokens.invalidate_token,
    tokens.invalidate_user_tokens,
    tokens.invalidated_tokens,
)
# Routes without a token, besides webhooks.
FOR_ANYBODY: Final = (access_pass.get_pass_keys, openapi.get_openapi)
# Dependencies that are made from the request.
OF_REQUESTS: Final = {"key": Provide(idempotency_key, sync_to_thread=False)}


def described() -> dict[str, Any]:
    """Return the OpenAPI document of the application."""
    return openapi.document(
        for_callers=FOR_CALLERS,
        for_anybody=[webhooks_described(), *FOR_ANYBODY],
        # They are never called: they only mark names that are not parameters.
        dependencies={
            **{name: _provide(None) for name in (*_NEEDS, "document", "reads")},
            **OF_REQUESTS,
        },
    )


def create_app(container: Container) -> RequestContext:
    """Return the application; its lifespan opens and closes its connections."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with (
            opened(container),
            container[Refreshing].kept(),
            container[FollowRevocations].running(),
        ):
            yield
            await container[SyncUser].drain()
            await container[ExecuteOperation].drain()
            await container[IngestQueue].drain()

    # A function, because Litestar deep-copies middleware objects, adapters included.
    def authenticated(app: ASGIApp) -> ASGIApp:
        return BearerAuthentication(
            app, container[AuthenticateCaller], container[RateLimiter]
        )

    reads = AccountReads(
        container[GetPaymentStatus], container[ReadAccess], container[CheckAnswer]
    )

    def answered(app: ASGIApp) -> ASGIApp:
        return AccountAnswers(app, reads)

    for_callers = Router(
        "/", route_handlers=FOR_CALLERS, middleware=[authenticated, answered]
    )
    app = Litestar(
        [
            Router(
                PREFIX,
                route_handlers=[
                    webhooks(
                        container.reader,
                        container[IngestQueue],
                        container[WebhookReports],
                    ),
                    *FOR_ANYBODY,
                    for_callers,
                ],
            )
        ],
        dependencies={
            **{name: _provide(container[kind]) for name, kind in _NEEDS.items()},
            "document": _provide(openapi.Document(described)),
            "reads": _provide(reads),
            **OF_REQUESTS,
        },
        request_class=HttpRequest,
        exception_handlers=problems.HANDLERS,
        lifespan=[lifespan],
        # `logs` has configured logging.
        logging_config=None,
        # `openapi` completes and serves the document.
        openapi_config=None,
    )
    return RequestContext.of(app, _lanes(container), container[RequestTallies])


def _lanes(container: Container) -> tuple[Lane, ...]:
    """Return the lanes, each with its own limit.

    So callers do not delay webhooks, and requests that wait for Stripe do not delay
    reads.
    """
    limits, on_shed = container[InFlightLimits], container[LimitReports].shed_one
    # A waiting reader of the feed costs only a place; `ReadFeed` limits these.
    feed = limits.reads + WAITING_MAX
    webhooks = f"{PREFIX}/webhooks/"
    return (
        Lane(LaneName.WEBHOOKS, webhooks, limits.webhooks, on_shed=on_shed),
        Lane(LaneName.FEED, f"{PREFIX}/feed", feed, on_shed=on_shed),
        Lane(LaneName.READS, "", limits.reads, READING, on_shed),
        Lane(LaneName.CHANGES, "", limits.changes, on_shed=on_shed),
    )


def _provide(it: object) -> Provide:
    def provided() -> object:
        return it

    # Litestar builds its signature model from this.
    provided.__annotations__["return"] = type(it)
    return Provide(provided, sync_to_thread=False)
