"""Run an intent: each call is committed before it is sent, and its answer after.

An operation is a plain function that makes its calls one after the other. What was
answered before is not sent again: a run that died is run again from the start, and
goes on where it was.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.card import Card
from payments_core.errors import (
    AccountNotFound,
    ChangedElsewhere,
    CustomerTaken,
    GatewayRefused,
    GatewaySilent,
)
from payments_core.evidence import Evidence
from payments_core.gateway import Answer, GatewayRequest
from payments_core.identity import CustomerId
from payments_core.intent import (
    LEASE,
    SILENCE,
    Call,
    Intent,
    IntentOutcome,
    IntentState,
    Refusal,
)
from payments_core.ports import (
    Clock,
    LinkKeys,
    OpenUnitOfWork,
    PaymentGateway,
    UnitOfWork,
)
from payments_core.subscription import PaidTerm
from payments_core.use_cases.books import Books, Disagreement, subscription_job
from payments_core.use_cases.posting import adopt_unlinked, draw_ticket, save

RETRIES_MAX: Final = 5


class NotYet(Exception):  # noqa: N818  # a verdict, never shown to anybody
    """It cannot go on before a moment; None: before the usual back-off."""

    def __init__(self, until: datetime | None = None) -> None:
        super().__init__()
        self.until = until


class GivenUp(Exception):  # noqa: N818  # see NotYet
    """It took too long: nobody waits for it any more."""


class Lost(Exception):  # noqa: N818  # see NotYet
    """Somebody else has taken the intent up meanwhile."""


@attrs.frozen(kw_only=True)
class Ending:
    """What an operation came to, and what follows from it for the account."""

    state: IntentState = IntentState.SUCCEEDED
    outcome: IntentOutcome
    customer_id: CustomerId | None = None
    # The customer was there before, and may have things that we do not know.
    adopts: bool = False
    card: Card | None = None
    evidence: Sequence[Evidence] = ()
    terms: Sequence[PaidTerm] = ()
    # Subscriptions that something happened to: they are looked up.
    looks: Sequence[str] = ()


def refusal_of(error: GatewayRefused) -> Refusal:
    return Refusal(
        code="card_declined" if error.declined else error.refusal_code,
        reason=error.reason,
        field=error.field,
        decline_code=error.decline_code,
    )


def refused(refusal: Refusal) -> GatewayRefused:
    return GatewayRefused(
        refusal.code,
        refusal.reason,
        field=refusal.field,
        decline_code=refusal.decline_code,
        declined=refusal.code == "card_declined",
    )


def evidence_of(answer: Answer, call: Call) -> Evidence:
    """Return what an answer about a subscription proves."""
    if answer.subscription is None:
        raise GatewaySilent("an answer without its subscription")
    return Evidence(
        report=answer.subscription, at=answer.at, ticket=call.ticket, looked_up=True
    )


@attrs.define
class Run:
    """One attempt at an intent that is leased to us."""

    intent: Intent
    gateway: PaymentGateway
    _open_unit_of_work: OpenUnitOfWork
    _clock: Clock
    _customer_of: Callable[["Run"], Awaitable[CustomerId]]
    # Subscriptions that were seen to be otherwise than we knew.
    touched: list[str] = attrs.field(init=False, factory=list)

    @property
    def now(self) -> datetime:
        return self._clock()

    async def customer_id(self) -> CustomerId:
        """Return the user's customer at the gateway, who is made if there is none.

        Raises:
            GatewayRefused, GivenUp: there will be none.
            NotYet: it is not known yet.
        """
        return await self._customer_of(self)

    async def account(self) -> PaymentAccount:
        async with self._open_unit_of_work() as work:
            found = await work.accounts(LinkKeys(frozenset({self.intent.user_id})))
        if not found:
            raise AccountNotFound
        return found[0]

    async def call(self, step: str, request: GatewayRequest) -> tuple[Answer, Call]:
        """Return the answer to a request, now or from before, and its call.

        Raises:
            GatewayRefused: a definite no.
            GatewaySilent, GatewayBusy: it is not known, or was not done.
            NotYet: it has to be waited with.
            GivenUp: it took too long.
            Lost: somebody else runs the intent.
        """
        call, sent_before = self.intent.call(step), True
        if call is None:
            call, sent_before = await self._begin(step, request), False
        elif call.answer is not None:
            return call.answer, call
        elif call.refusal is not None:
            raise refused(call.refusal)
        else:
            call = await self._revive(call, request)
            if call.answer is not None:
                return call.answer, call
        return await self._send(call, request, sent_before=sent_before)

    async def _begin(self, step: str, request: GatewayRequest) -> Call:
        now = self.now
        return await self._keep(
            Call(
                step=step,
                frozen=self.gateway.freeze(request),
                ticket=await draw_ticket(self._open_unit_of_work),
                first_sent_at=now,
                last_sent_at=now,
            )
        )

    async def _revive(self, call: Call, request: GatewayRequest) -> Call:
        """Prepare an unanswered call to be sent once more, or find its effect."""
        now = self.now
        if call.may_be_sent_again(now):
            return await self._keep(call.sent(now))
        found = await self.gateway.find(request)
        if found is not None:
            return await self._keep(call.answered(found))
        if request.makes and not call.is_silent(now):
            raise NotYet(call.last_sent_at + SILENCE)
        if self.intent.may_be_abandoned(now):
            raise GivenUp
        frozen = self.gateway.freeze(request)
        ticket = await draw_ticket(self._open_unit_of_work)
        return await self._keep(call.regenerated(frozen, ticket, now))

    async def _send(
        self, call: Call, request: GatewayRequest, *, sent_before: bool
    ) -> tuple[Answer, Call]:
        key = self.intent.key_of(call)
        try:
            answer = await self.gateway.send(request, call.frozen, idempotency_key=key)
        except GatewayRefused as error:
            # A no to a repetition says nothing about the first time.
            found = await self.gateway.find(request) if sent_before else None
            if found is None:
                await self._keep(call.refused(refusal_of(error)))
                raise
            answer = found
        except GatewaySilent as error:
            await self._keep(call.silent(poisoned=error.poisoned))
            raise
        return answer, await self._keep(call.answered(answer))

    async def _keep(self, call: Call) -> Call:
        now = self.now
        intent = attrs.evolve(self.intent.with_call(call), due_at=now + LEASE)
        await self._save(intent)
        return call

    async def _save(self, intent: Intent) -> None:
        try:
            async with self._open_unit_of_work() as work:
                await work.save_intent(intent, at=self.now)
                await work.commit()
        except ChangedElsewhere as error:
            raise Lost from error
        self.intent = attrs.evolve(intent, version=intent.version + 1)

    async def put_off(self, until: datetime | None = None) -> Intent:
        """Give the intent back, to be taken up later."""
        await self._save(self.intent.put_off(self.now, until))
        return self.intent

    async def end(self, ending: Ending) -> Intent:
        """Commit the outcome, and all that follows from it, at once."""
        for _ in range(RETRIES_MAX):
            try:
                return await self._end(ending)
            except ChangedElsewhere:
                continue
        return await self._end(ending)

    async def _end(self, ending: Ending) -> Intent:
        async with self._open_unit_of_work() as work:
            books = await self._books(work, ending)
            current = await work.intent(self.intent.id)
            if current is None or current.version != self.intent.version:
                raise Lost
            await save(work, books, self._clock)
            ended = self.intent.ended(ending.state, ending.outcome)
            await work.save_intent(ended, at=self.now)
            await work.commit()
        self.intent = attrs.evolve(ended, version=ended.version + 1)
        return self.intent

    async def _books(self, work: UnitOfWork, ending: Ending) -> Books:
        """Enter what follows from the ending into the books."""
        user = self.intent.user_id
        customers = frozenset({ending.customer_id} if ending.customer_id else ())
        keys = LinkKeys(frozenset({user}), customers)
        books = Books()
        if customers:
            await work.hold(keys, exclusive=True)
        ids = [evidence.report.gateway_id for evidence in ending.evidence]
        books.know(
            await work.accounts(keys), subscriptions=await work.subscriptions(ids)
        )
        if customers:
            await self._bind(work, books, keys, ending)
        if ending.card is not None:
            (ticket,) = await work.tickets(1)
            account = books.account(user).with_card(ending.card, ticket=ticket)
            books.open(account)
        for evidence in ending.evidence:
            try:
                books.post_subscription(evidence)
            except Disagreement:
                # Bound to another user meanwhile: whoever looks settles whose it is.
                key = subscription_job(evidence.report.gateway_id)
                books.look(key, "its customer is another user's")
        for term in ending.terms:
            books.post_term(term)
        for gateway_id in ending.looks:
            books.look(subscription_job(gateway_id), "something was asked of it")
        return books

    @staticmethod
    async def _bind(
        work: UnitOfWork, books: Books, keys: LinkKeys, ending: Ending
    ) -> None:
        (user,) = keys.user_ids
        if ending.customer_id is None or books.holder_of(ending.customer_id):
            return
        try:
            books.bind(user, ending.customer_id, is_new=not ending.adopts)
        except CustomerTaken:
            # Bound by hand meanwhile: that one counts, and ours has nothing.
            return
        await adopt_unlinked(work, books, keys)
