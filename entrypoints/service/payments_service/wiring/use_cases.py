"""The use cases whose arguments do not follow from their annotations alone."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from payments_core.jobs import (
    GivePositions,
    LogAccounts,
    Reconcile,
    RunSweep,
    SyncUser,
)
from payments_core.policy import Policy
from payments_core.ports import (
    Clock,
    IntentDirectory,
    LeaseClock,
    Ledger,
    NewId,
    PassSigner,
    PaymentGateway,
    RevocationLog,
    SystemClock,
    TokenStore,
    TokenVerifier,
)
from payments_core.use_cases import (
    AuthenticateCaller,
    AwaitRevocation,
    CallOffIntent,
    ChangeSubscription,
    CheckAnswer,
    CheckChange,
    CloseEvent,
    ConfirmOpen,
    EndSubscription,
    EraseAccount,
    ExecuteOperation,
    ExplainUser,
    FindPrice,
    FindUnappliedEvents,
    FollowRevocations,
    GetAuthorizedAccount,
    GetPaymentStatus,
    InvalidateAllTokens,
    InvalidateToken,
    InvalidateUserTokens,
    IssueAccessPass,
    LimitDeclines,
    LinkEvent,
    LinkPayment,
    LinkSubscription,
    ListDeliveries,
    ListInvalidatedTokens,
    ListJobs,
    ListPayments,
    ListUsers,
    PreviewChange,
    ReadAccess,
    ReadAuditLog,
    ReadCatalogue,
    ReadDelivery,
    ReadFeed,
    ReadIntent,
    ReadJob,
    ReadPassKeys,
    ReadPaymentLink,
    ReadSubscriptions,
    ReadTimeline,
    RecordFacts,
    RecoverEvents,
    RegisterCustomer,
    RegisterUser,
    ReplayDeliveries,
    ReplayEvents,
    RetryJobs,
    SetUpCard,
    StartSubscription,
    UpdateCard,
)
from payments_service.ingest_queue import IngestQueue
from payments_service.limit_reports import LimitReports
from payments_service.settings import Settings
from payments_service.spans import Spans
from payments_service.webhook_reports import WebhookReports
from payments_service.wiring.edges import uuid4_text
from payments_service.wiring.failure_log import (
    log_bug,
    log_failure,
    log_unheard,
)

# Made from their annotations alone.
USE_CASES: Final = (
    AuthenticateCaller,
    CallOffIntent,
    ChangeSubscription,
    CheckAnswer,
    CheckChange,
    CloseEvent,
    ConfirmOpen,
    EndSubscription,
    EraseAccount,
    ExplainUser,
    FindPrice,
    FindUnappliedEvents,
    GetAuthorizedAccount,
    GetPaymentStatus,
    GivePositions,
    InvalidateAllTokens,
    InvalidateUserTokens,
    LinkEvent,
    LinkPayment,
    LinkSubscription,
    ListDeliveries,
    ListInvalidatedTokens,
    ListJobs,
    ListPayments,
    ListUsers,
    LogAccounts,
    PreviewChange,
    ReadAccess,
    ReadAuditLog,
    ReadCatalogue,
    ReadDelivery,
    ReadFeed,
    ReadIntent,
    ReadJob,
    ReadPassKeys,
    ReadPaymentLink,
    ReadSubscriptions,
    ReadTimeline,
    RecoverEvents,
    RegisterCustomer,
    RegisterUser,
    ReplayDeliveries,
    ReplayEvents,
    RetryJobs,
    RunSweep,
    SetUpCard,
    StartSubscription,
    UpdateCard,
)


@attrs.frozen
class UseCases:
    """Makes use cases; `resolve` returns the object for a port or a class."""

    _settings: Settings
    _spans: Spans
    _resolve: Callable[[Any], Any]

    @property
    def providers(self) -> Mapping[type, Callable[[], object]]:
        return {
            RecordFacts: self.record_facts,
            ExecuteOperation: self.execute_operation,
            IngestQueue: self.ingest_queue,
            LimitDeclines: self.limit_declines,
            FollowRevocations: self.follow_revocations,
            AwaitRevocation: self.await_revocation,
            InvalidateToken: self.invalidate_token,
            IssueAccessPass: self.issue_access_pass,
            SyncUser: self.sync_user,
        }

    def record_facts(self) -> RecordFacts:
        return RecordFacts(
            self._resolve(Ledger),
            self._resolve(Clock),
            self._resolve(SystemClock),
            self._resolve(Policy),
            on_not_applied=self._resolve(WebhookReports).keep,
            on_bug=log_bug,
        )

    def execute_operation(self) -> ExecuteOperation:
        return ExecuteOperation(
            self._resolve(Ledger),
            self._resolve(RecordFacts),
            self._resolve(PaymentGateway),
            self._resolve(Clock),
            self._resolve(SystemClock),
            self._resolve(NewId),
            on_declined=self._resolve(LimitReports).decline,
        )

    def ingest_queue(self) -> IngestQueue:
        return self._spans.ingest_queue(
            self._resolve(RecordFacts),
            lambda record: IngestQueue(record, log_failure),
        )

    def limit_declines(self) -> LimitDeclines:
        return LimitDeclines(
            self._resolve(IntentDirectory),
            self._resolve(Clock),
            self._settings.declines_per_hour,
            self._resolve(LimitReports).refuse_declined,
        )

    def follow_revocations(self) -> FollowRevocations:
        return FollowRevocations(
            self._resolve(RevocationLog),
            self._resolve(TokenStore),
            self._resolve(LeaseClock),
            self._resolve(SystemClock),
            uuid4_text(),
            # For any issuer: a revocation must be known as long as a token is valid.
            max(self._settings.jwt_max_age, self._settings.kubernetes_max_age),
            log_unheard,
        )

    def await_revocation(self) -> AwaitRevocation:
        return AwaitRevocation(
            self._resolve(RevocationLog),
            self._resolve(LeaseClock),
            self._resolve(FollowRevocations).poll_now,
        )

    def invalidate_token(self) -> InvalidateToken:
        return InvalidateToken(
            self._resolve(TokenVerifier),
            self._resolve(TokenStore),
            self._resolve(SystemClock),
            self._resolve(AwaitRevocation),
            max(self._settings.jwt_max_age, self._settings.kubernetes_max_age),
        )

    def issue_access_pass(self) -> IssueAccessPass:
        return IssueAccessPass(
            self._resolve(ReadAccess),
            self._resolve(PassSigner),
            self._resolve(SystemClock),
            self._settings.access_pass_lifetime,
        )

    def sync_user(self) -> SyncUser:
        # The user waits: fetches have the priority of their operations.
        gateway = self._resolve(PaymentGateway)
        return SyncUser(
            self._resolve(GetAuthorizedAccount),
            attrs.evolve(self._resolve(Reconcile), gateway=gateway),
            self._resolve(ExecuteOperation),
            self._resolve(GetPaymentStatus),
        )
