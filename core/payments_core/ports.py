"""The ports: what the core needs from adapters.

A docstring here is a promise; `tests/contracts` holds every adapter to it. Any of
the stores may raise `StoreUnavailable`: it did not answer, the change may or may not
have happened, and running the same again is safe.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from payments_core.access_pass import AccessPass, PublishedKey
from payments_core.account import PaymentAccount
from payments_core.account_facts import AccountFacts
from payments_core.account_log import LogGapPage, LoggedVerdict
from payments_core.account_version import AccountVersion
from payments_core.backlog import Backlog
from payments_core.by_hand import ActionByHand, AuditCursor, AuditPage
from payments_core.card import Card
from payments_core.changes import Changes, Claimed, Lookup, SaveResult, Snapshot
from payments_core.checkpoints import LoopCheckpoint
from payments_core.deliveries import (
    ALL_DELIVERIES,
    Backlogs,
    Delivery,
    DeliveryKey,
    DeliveryPage,
    DeliveryQuery,
    Replayed,
    SendResult,
)
from payments_core.erasure import Erasure
from payments_core.event_list import EventQuery, ListedEvents
from payments_core.events import EventKey, EventState, GatewayEvent, ObjectChanged
from payments_core.feed import FeedChange, FeedPage
from payments_core.gateway import (
    Answer,
    FetchedCustomer,
    FetchedPayment,
    FetchedSubscription,
    FrozenRequest,
    GatewayRequest,
    InvoicePayment,
    Preview,
    Price,
    SetUp,
    UpdateSubscription,
)
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import Intent, IntentId
from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind
from payments_core.job_list import JobPage, JobPlace
from payments_core.kept_events import EventCursor, EventPage, KeptEvent
from payments_core.linking import Unlinked
from payments_core.now import Now
from payments_core.object_lists import CreatedBetween, ObjectList, ObjectPage
from payments_core.payment import PaymentId, PaymentRecord
from payments_core.payment_list import PaymentPage, PaymentPlace
from payments_core.retention import PurgeKind
from payments_core.revocations import RevocationAnswer, RevocationQuery
from payments_core.subscription import SubscriptionReport
from payments_core.timeline import TimelineItem, TimelinePlace
from payments_core.token_list import RevocationPage
from payments_core.tokens import Token, TokenRevocation, UserTokenRevocation
from payments_core.user_list import EVERYBODY, UserFilter, UserPage, UserPlace


class Clock(Protocol):
    """The time by which is decided and recorded: entitlement, periods, ages, retention.

    Beside a sandbox it is the sandbox's, else the real one.
    """

    def __call__(self) -> datetime:
        """Return the present moment, in UTC."""


class SystemClock(Protocol):
    """The real time: signatures, tokens, leases and due times, back-off, limits."""

    def __call__(self) -> datetime:
        """Return the present moment, in UTC."""


class EventReader(Protocol):
    """Any signed bytes are an event: one that cannot be read says so in its report."""

    def read(self, body: bytes, signature: str) -> GatewayEvent:
        """Verify, then translate. Nothing is parsed before the signature holds.

        Raises:
            BadSignature: it was not signed with our secret, or too long ago.
        """

    def reread(self, body: bytes) -> GatewayEvent:
        """Translate a body that was verified when it came."""


class PassSigner(Protocol):
    """Signs access passes with keys that are published."""

    @property
    def published(self) -> Sequence[PublishedKey]:
        """Return all keys that a pass may be signed with; none: no pass is issued."""

    def sign(self, access_pass: AccessPass) -> str:
        """Return the pass as a JWT.

        Raises:
            PassesNotOffered: there are no keys.
        """


class NewId(Protocol):
    def __call__(self) -> str:
        """Return a new id: a UUID, as text."""


class Ledger(Protocol):
    """Accounts and all that belongs to them, events, intents, and jobs asked for."""

    async def load(self, lookup: Lookup) -> Snapshot:
        """Return what is known, at one moment, in one round trip, without a lock."""

    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        """Save each group whole or not at all, independently of the others.

        Nothing waits for a lock for longer than a moment. Each thing that is saved
        has a version one greater than before.

        Raises:
            StoreUnavailable: each group may be saved or not; load again.
            SaveTimedOut: the same, and it took too long.
        """


class WorkQueue(Protocol):
    """Jobs and intents that are due. A claim is a lease: see `payments_core.lease`."""

    async def claim(self, *, now: datetime, limit: int) -> Sequence[Claimed]:
        """Claim work that is due, of many accounts before much of one.

        Of the open intents of a user one is claimed at a time: it may need the others.
        What another process is claiming at this moment is left out.
        """

    async def release(self, claimed: Job, after: Job) -> None:
        """Give a job back as it is then, if the claim still holds.

        One that was asked for meanwhile does not become a failing one: it is due at
        once, with its quick attempts.
        """

    async def request_overdue(self, *, now: Now, limit: int) -> int:
        """Request syncs of subscriptions that are overdue.

        That is when `Subscription.next_sync_at` has passed and no job for them is open.
        Return how many.
        """

    async def request_ended(self, *, now: Now, limit: int) -> int:
        """Request jobs for users of whom some access ends by now.

        In one moment, so that none is lost: what is requested is a job until it is
        done, and known as an end no more. Return how many.
        """

    async def linkable(self, *, limit: int) -> Sequence[UserId]:
        """Return users for whom something unlinked is there, although it is theirs."""


class PaymentGateway(Protocol):
    """The payment gateway's API.

    Every method may raise `GatewayNotAttempted` (nothing was done) and
    `GatewayOutcomeUnknown` (nobody knows whether it was done), and
    `GatewayObjectMissing` where it reads an object that does not exist. An answer
    about another object or of the other mode, or one that cannot be read, counts as no
    answer.
    """

    def freeze(self, request: GatewayRequest) -> FrozenRequest:
        """Render a request; the same request is rendered the same every time."""

    async def send(
        self, request: GatewayRequest, frozen: FrozenRequest, *, idempotency_key: str
    ) -> Answer:
        """Send what was frozen of this request.

        Raises:
            GatewayRefused: a definite no.
        """

    async def find(self, request: GatewayRequest) -> Answer | None:
        """Return what an earlier sending of this request made or reached.

        It searches by the request's intent, or reads the object itself; None if nothing
        came of it.
        """

    async def customer_of(self, user_id: UserId, email: str) -> CustomerId | None:
        """Return the customer that was made for a user with this e-mail, if any."""

    async def customer(self, customer_id: CustomerId) -> FetchedCustomer:
        """Return a customer, also one that was deleted."""

    async def subscription(self, gateway_id: str) -> FetchedSubscription:
        """Return a subscription as it is now."""

    async def subscriptions_of(
        self, customer_id: CustomerId
    ) -> Sequence[SubscriptionReport]:
        """Return all subscriptions of a customer, ended ones too."""

    async def card_of(self, customer_id: CustomerId) -> Card | None:
        """Return the card that pays by default; None if none does."""

    async def card(self, customer_id: CustomerId, card_id: str) -> Card | None:
        """Return one of a customer's cards; None if it is not theirs, or no card."""

    async def open_invoices(self, subscription: str) -> Sequence[str]:
        """Return the invoices of a subscription that are owed, the oldest first.

        Not its drafts: nothing is owed before they are final.
        """

    async def invoice_payment(self, invoice_id: str) -> InvoicePayment:
        """Return how far the payment of an invoice is."""

    async def set_up(self, set_up_id: str) -> SetUp:
        """Return how far a card set-up is."""

    async def newest_set_up(
        self, customer_id: CustomerId, *, since: datetime
    ) -> str | None:
        """Return a customer's newest card set-up that was begun since; None: none."""

    async def payment(self, payment_id: PaymentId) -> FetchedPayment:
        """Return what the gateway says of a payment now, and of its invoice."""

    async def jobs_of(self, changed: ObjectChanged) -> Sequence[JobKey]:
        """Return what has to be synced because of a change of an object.

        Nothing, if it is about nothing of ours.
        """

    async def events(self, query: EventQuery) -> ListedEvents:
        """Return a page of the gateway's list of events, read as webhooks are.

        Raises:
            GatewayObjectMissing: the event that the query names is not listed.
        """

    async def price(self, price_id: str) -> Price:
        """Return a price."""

    async def price_of(self, product_id: str) -> Price:
        """Return the default price of a product."""

    async def preview(
        self, customer_id: CustomerId, change: UpdateSubscription
    ) -> Preview:
        """Return what a change would cost, if made with its `proration_date`.

        Raises:
            GatewayRefused: the change cannot be made.
        """


class GatewayLists(Protocol):
    async def page(
        self,
        list_: ObjectList,
        created: CreatedBetween,
        *,
        customer: CustomerId | None = None,
        after: str | None = None,
    ) -> ObjectPage:
        """Return a page of a list of the gateway's, with one call.

        One more is made for an invoice that has more lines than a list shows.

        Of one customer, if one is named: subscriptions, invoices and payments have one.
        What was made while it is read may be missing, and nothing comes twice. What
        cannot be read is `ListedUnreadable`; what is of the other mode is left out.

        Raises:
            GatewayNotAttempted: it was not asked.
            GatewayUnavailable: its answer cannot be used.
            GatewayObjectMissing: what the page begins after is gone.
        """


class PaymentDirectory(Protocol):
    async def find(self, id_: PaymentId) -> PaymentRecord | None:
        """Return a payment as last committed, unlocked."""

    async def page(
        self,
        user_id: UserId,
        *,
        limit: int = 100,
        after: PaymentPlace | None = None,
    ) -> PaymentPage:
        """Return a user's payments, in the order of `PaymentPlace`."""


class AuditLog(Protocol):
    async def page(  # noqa: PLR0913  # each a filter, by name
        self,
        *,
        subject: str | None = None,
        user_id: UserId | None = None,
        action: ActionByHand | None = None,
        since: datetime | None = None,
        limit: int = 100,
        after: AuditCursor | None = None,
    ) -> AuditPage:
        """Return what was done by hand, the latest first."""


class AccountDirectory(Protocol):
    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        """Return an account as last committed, unlocked; by e-mail its key counts."""

    async def version_of(self, user: UserId | Email) -> AccountVersion | None:
        """Return what `find` would find, and no more of it than its version."""

    async def owner_of_customer(self, customer_id: CustomerId) -> UserId | None:
        """Return the user to whom a customer is bound."""


class AccountHistory(Protocol):
    async def facts(
        self, account: PaymentAccount, *, whole: bool = True
    ) -> AccountFacts:
        """Return what is kept about an account, the newest of each kind.

        Not `whole`: without what is unlinked, and what only names it and is kept apart.

        At most `FACTS_MAX` of each. The payments that the account's own state names
        are always there.
        """

    async def verdict_at(self, user_id: UserId, at: datetime) -> LoggedVerdict | None:
        """Return the last change of verdict that was logged at a moment or before."""


class UserList(Protocol):
    async def page(
        self,
        wanted: UserFilter = EVERYBODY,
        *,
        limit: int = 100,
        after: UserPlace | None = None,
    ) -> UserPage:
        """Return accounts as last committed, in the order of `UserPlace`.

        However few of all are wanted, a page reads no more than a thousand more than
        `limit`, or twice that for a text: it may hold fewer, or none, and not be the
        last.
        """


class Timelines(Protocol):
    async def newest(
        self, user_id: UserId, *, limit: int, before: TimelinePlace | None = None
    ) -> Sequence[TimelineItem]:
        """Return the newest things that are kept of a user, as of one moment.

        In the order of `TimelinePlace`, what comes after `before`. Subscriptions are
        not among them: the account has them.
        """


class LogGaps(Protocol):
    async def page(self, after: UserId | None, limit: int) -> LogGapPage:
        """Look at so many accounts after a user, in the byte order of their ids.

        Those are found of whom the log says nothing, or another status or date in its
        last row than the account has. Those who were erased are passed over.
        """


class FeedSequencer(Protocol):
    async def give(self, limit: int) -> int:
        """Give positions to about so many changes that have none, the oldest first.

        Return to how many. 0: there are none, or another process gives them at this
        moment. A change that is not committed is not waited for; it gets its position
        once it is. Of a user, all that came before a change has a smaller one.
        """


class FeedReader(Protocol):
    async def page(self, after: int, limit: int, *, latest: bool = False) -> FeedPage:
        """Return changes whose positions are greater, in their order.

        `latest`: of each user the last one only. Those of users who were erased are
        left out. However few of all are wanted, a page reads no more than a thousand
        more than `limit`: it may hold fewer, or none, and not be the last.
        """

    async def last(self) -> int:
        """Return the position that was given last; 0: none was."""


class IntentDirectory(Protocol):
    async def find(self, id_: IntentId) -> Intent | None:
        """Return an intent as last committed, unlocked."""

    async def declines_of(
        self, user_id: UserId, *, after: datetime, limit: int
    ) -> Sequence[datetime]:
        """Return when a user's last operations began during which the bank declined.

        Whatever they came to; after that moment, the newest first, at most so many.
        """


class JobDirectory(Protocol):
    async def find(self, key: JobKey) -> Job | None:
        """Return a job as last committed, unlocked."""

    async def page(
        self,
        *,
        failing: bool = False,
        kind: JobKind | None = None,
        since: datetime | None = None,
        after: JobPlace | None = None,
        limit: int = 100,
    ) -> JobPage:
        """Return jobs that are open, the first due first; or of them those that fail.

        That is `Job.is_failing`. `since` is when they are due at the earliest.
        """

    async def count_failing(self, *, limit: int) -> int:
        """Return how many jobs are failing, at most `limit`."""


class EventLog(Protocol):
    async def page(  # noqa: PLR0913  # each a filter, by name
        self,
        *,
        state: EventState | None = None,
        type_: str | None = None,
        since: datetime | None = None,
        unlinked: bool = False,
        limit: int = 100,
        after: EventCursor | None = None,
    ) -> EventPage:
        """Return events without their bodies, the latest received first.

        `since` is when they were received at the earliest.
        However few of the log are wanted, a page reads no more than a thousand more
        than `limit`: it may hold fewer, or none, and not be the last.
        """

    async def find(self, event_id: str) -> Sequence[KeptEvent]:
        """Return the events of this id, with their bodies."""

    async def with_bodies(self, keys: Sequence[EventKey]) -> frozenset[EventKey]:
        """Return those of the events whose bodies are kept still."""

    async def count(self, state: EventState, *, limit: int) -> int:
        """Return how many events are pending, or quarantined; at most `limit`."""

    async def known(self, event_ids: frozenset[str]) -> frozenset[str]:
        """Return those of the ids under which an event is kept, of whatever type."""

    async def open_about(self, object_id: str) -> Sequence[KeptEvent]:
        """Return events about an object that are pending or quarantined, some of them.

        Without their bodies, the latest received first.
        """

    async def has_closed(self, object_id: str) -> bool:
        """Say whether an event about an object was closed by hand."""

    async def received_between(self, start: datetime, end: datetime) -> bool:
        """Say whether any event was received from one moment on and before another."""


class KeptObjects(Protocol):
    async def made_between(
        self, list_: ObjectList, created: CreatedBetween, *, limit: int
    ) -> Sequence[str]:
        """Return the gateway's ids of what is kept that was made then, some of it.

        The list is one of `payments_core.sweep.KEPT`.
        """

    async def note_listed(
        self, sweep: datetime, customers: Sequence[CustomerId]
    ) -> None:
        """Note that a sweep, named by its own moment, found these in a list."""

    async def unlisted(self, sweep: datetime, *, limit: int) -> Sequence[CustomerId]:
        """Return customers of users that a sweep has not noted, some of them."""

    async def forget_listed(self, sweep: datetime) -> None:
        """Forget what a sweep noted, and what is a week older: it was given up."""


class Checkpoints(Protocol):
    """How far each loop is: one row each, by its name."""

    async def find(self, name: str) -> LoopCheckpoint | None:
        """Return a loop's row as last committed; None if it never was claimed."""

    async def claim(
        self, name: str, *, now: datetime, lease: timedelta
    ) -> LoopCheckpoint | None:
        """Claim a loop for so long, if it is due and nobody has it; else None.

        One that is new is due.
        """

    async def save(self, claimed: LoopCheckpoint) -> bool:
        """Save how far a loop is, and its lease, if the claim still holds.

        Say whether it does: the fence is still the latest one.
        """


class DeliveryQueue(Protocol):
    """Deliveries of changes to delivery endpoints: see `payments_core.deliveries`."""

    async def begin(self, endpoint: str, *, from_start: bool) -> None:
        """Begin an endpoint's cursor, unless it has one.

        At the beginning of the feed, or after all that was saved so far, also what
        has no position yet.
        """

    async def take_over(self, endpoint: str, *, now: datetime, limit: int) -> int:
        """Make deliveries of the next changes, and move the cursor behind them.

        Return by how many changes it moved: at most `limit`, and at most as many as
        there is room for. What another process is doing at this moment is left to it.
        """

    async def claim(
        self, endpoint: str, *, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        """Claim deliveries that are due: of each user the earliest one that is open.

        None of a user of whom another one is claimed.
        """

    async def finish(self, claimed: Delivery) -> bool:
        """Delete a delivery that is done, if the claim still holds; say whether."""

    async def release(self, claimed: Delivery, after: Delivery) -> bool:
        """Give a delivery back as it is then, if the claim still holds; say whether."""

    async def replay(self, keys: Sequence[DeliveryKey], *, now: datetime) -> Replayed:
        """Make deliveries due at once, with all their attempts; return which.

        Those that are kept, and anew those of changes that the endpoint's cursor has
        passed. One that is claimed is left to who has it. Those of an endpoint are made
        due in their order, as many as there is room for: one that is open takes none.
        """


class DeliveryDirectory(Protocol):
    async def find(self, key: DeliveryKey) -> Delivery | None:
        """Return a delivery that is open or dead."""

    async def page(
        self,
        wanted: DeliveryQuery = ALL_DELIVERIES,
        *,
        limit: int = 100,
        after: DeliveryKey | None = None,
    ) -> DeliveryPage:
        """Return deliveries that are open or dead, in the order of their keys."""

    async def replayable(
        self, keys: Sequence[DeliveryKey], *, now: datetime
    ) -> Sequence[DeliveryKey]:
        """Return which of them `DeliveryQueue.replay` would make due."""

    async def passed(
        self,
        endpoint: str,
        since: datetime,
        until: datetime,
        *,
        limit: int,
        after: int = 0,
    ) -> tuple[Sequence[int], int | None]:
        """Return the positions of changes of a time that an endpoint's cursor passed.

        From `since` on and before `until`, of `limit` changes that come after a
        position; and the last position that was looked at, None if that was the end.
        """

    async def backlogs(self) -> Backlogs:
        """Return how each endpoint stands that has a cursor."""


class BacklogReader(Protocol):
    async def read(
        self, *, due_by: datetime, endpoints: Sequence[str], limit: int
    ) -> Backlog:
        """Return what waits, of jobs what is due by then, and for which endpoints.

        Of each no more than `limit` are counted, and of all open intents together.
        """


class ChangeSender(Protocol):
    async def send(self, key: DeliveryKey, body: bytes) -> SendResult:
        """Send a body to the delivery endpoint that the key names, signed, once.

        It may have arrived although the result says otherwise.
        """


class ChangeBody(Protocol):
    def __call__(self, change: FeedChange) -> bytes:
        """Return what an endpoint is sent of a change."""


class PurgeStore(Protocol):
    """What may be deleted: see `payments_core.retention`, which says until when."""

    async def purge(self, kind: PurgeKind, before: datetime, *, limit: int) -> int:
        """Delete some of what is older: so many rows, or the bodies of one day.

        Return how many. 0: nothing is left, or what is left is in use at this moment,
        which is not waited for. A body goes with its day unless its event is not
        settled; a job that is made anew afterwards has a greater fence.
        """

    async def count(self, kind: PurgeKind, before: datetime, *, limit: int) -> int:
        """Return how much would be deleted, at most `limit`."""


class Erasures(Protocol):
    """Erasing users: see `payments_core.erasure`.

    Without the key of the tombstones each may raise `ErasureKeyUnusable`.
    """

    async def is_erased(self, user: UserId | Email) -> bool:
        """Say whether there is a tombstone of a user id, or of an e-mail."""

    async def is_any(self) -> bool:
        """Say whether anybody was ever erased; it needs no key."""

    async def unfinished(self, user: UserId | Email) -> UserId | None:
        """Return the pseudonym of an erasure of theirs that is not finished."""

    async def left(self, before: datetime) -> Sequence[UserId]:
        """Return the pseudonyms of those that began before and are not finished."""

    async def open_without_owner(self, user_id: UserId) -> Unlinked:
        """Return what has no owner, would be the pseudonym's, and is open.

        Also what a person unlinked. Open is what `payments_core.erasure` says it is.
        """

    async def begin(self, account: PaymentAccount, erasure: Erasure) -> bool:
        """Set tombstones, and make all but the events a pseudonym's, in one moment.

        Say whether it was done: the account is still as given, no intent is open, and
        nothing that is the pseudonym's then.
        """

    async def finish(self, pseudonym: UserId) -> int:
        """Take from each event that mentions the user all but that it came.

        One that came `SETTLED` after it was begun is not theirs by an e-mail alone.
        Return how many there were. What is cut off is done again from the beginning.
        """


class TokenVerifier(Protocol):
    def verify(self, text: str) -> Token:
        """Check a bearer token's signature and claims, without waiting for anything.

        Raises:
            InvalidToken: anything is wrong with it.
            KeysUnavailable: there are no keys of its issuer now.
        """

    async def refresh_keys(self, issuer: str) -> bool:
        """Read an issuer's keys anew, if that may be done now; say whether it was.

        Tokens choose neither what is read nor how often. It takes 5 s at most, and
        fails without an error.

        Raises:
            KeysUnavailable: too many wait for them already; whether there is a newer
                key is not known.
        """


class LeaseClock(Protocol):
    """Seconds of a clock that never goes back, and that counts the time asleep."""

    def __call__(self) -> float:
        """Return the seconds since some moment."""


class TokenStore(Protocol):
    """Revoked tokens. What revokes returns a position: see `RevocationLog`.

    Of what was revoked before, it returns that of then, or a later one.
    """

    async def is_revoked(self, token: Token) -> bool:
        """Say whether the token, or all tokens that it is one of, were revoked.

        True for every process as soon as the revocation returned.
        """

    async def invalidate(self, revocation: TokenRevocation) -> int:
        """Revoke one token; again, it only makes `expires_at` later, if it is."""

    async def revoke_issued_before(self, revocation: UserTokenRevocation) -> int:
        """Revoke a user's tokens up to a moment; an earlier moment changes nothing."""

    async def revoke_all_issued_before(self, at: datetime) -> int:
        """Revoke everybody's tokens issued up to a moment; as above."""

    async def revoked_until(self, user: UserId | None) -> datetime | None:
        """Return the moment that holds for a user, or (None) for everybody."""

    async def page(
        self, *, after: tuple[str, str] | None = None, limit: int = 100
    ) -> RevocationPage:
        """Return revocations in the order of (issuer, jti)."""


class RevocationLog(Protocol):
    """Revocations in the order of their commits, and who heard of them.

    Positions grow; each one is committed before the next is given.
    """

    async def poll(self, query: RevocationQuery) -> RevocationAnswer:
        """Commit what a process has heard, and return a page of what came since.

        What is committed before the call is at `head` or before it. What the process
        had not heard is known to who asks `is_heard` before the answer comes.
        With a mark that was told by a table that is gone, nothing was heard.

        Raises:
            StoreUnavailable: nothing may be relied on; also where nothing can be
                committed, as on a replica.
        """

    async def is_heard(self, position: int) -> bool:
        """Say whether all processes that poll have heard of a position."""

    async def leave(self, process_id: str) -> None:
        """Forget a process that relies on nothing any more."""
