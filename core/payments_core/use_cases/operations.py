"""What each kind of intent does at the gateway, step by step.

Rule 1: an operation asks `run.call` for every change, and may read what it likes: it
        is run again from the start after a crash, and must come by the same steps.
Rule 2: the bank has the first word. A new card pays what is owed before it takes the
        old one's place; a subscription whose first payment is declined is ended again.
Rule 3: what a bank wants to be confirmed (3-D Secure) is a success that says so: the
        payer goes on in the browser, and events tell what came of it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from payments_core.errors import (
    Abandoned,
    AlreadySubscribed,
    GatewayBusy,
    GatewayObjectMissing,
    GatewayRefused,
    GatewaySilent,
    OperationInProgress,
)
from payments_core.evidence import Evidence
from payments_core.gateway import (
    AttachCard,
    ChangeSubscription,
    Collection,
    CollectionState,
    CreateCustomer,
    EndSubscription,
    MakeDefault,
    PayInvoice,
    PinCard,
    PlanEnd,
    SetUpCard,
    StartSubscription,
)
from payments_core.identity import CustomerId
from payments_core.intent import (
    Intent,
    IntentKind,
    IntentOutcome,
    IntentState,
    Refusal,
)
from payments_core.ports import Clock, OpenUnitOfWork, PaymentGateway
from payments_core.subscription import (
    PaidTerm,
    SubscriptionId,
    SubscriptionReport,
    SubscriptionStatus,
    subscription_id,
)
from payments_core.use_cases.begin_intent import Asking, BeginIntent
from payments_core.use_cases.run_intent import (
    Ending,
    GivenUp,
    Lost,
    NotYet,
    Run,
    evidence_of,
    refusal_of,
    refused,
)

_ABANDONED: Final = IntentOutcome(
    refusal=Refusal(code=Abandoned.code, reason=str(Abandoned()))
)
_OWES: Final = frozenset({SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID})
_ASKS: Final = CollectionState.REQUIRES_ACTION
_NO_MORE: Final = frozenset({CollectionState.PAID, CollectionState.CLOSED})


@attrs.frozen
class RunIntent:
    """Go on with an intent that is leased to us, as far as it goes."""

    open_unit_of_work: OpenUnitOfWork
    gateway: PaymentGateway
    clock: Clock
    begin: BeginIntent

    async def __call__(self, intent: Intent) -> Intent:
        """Return the intent as it is then: ended, or open and put off.

        Raises:
            StoreUnavailable: it is open, and will be taken up again.
        """
        run = Run(intent, self.gateway, self.open_unit_of_work, self.clock)
        try:
            return await self._run(run)
        except Lost:
            async with self.open_unit_of_work() as work:
                current = await work.intent(intent.id)
            return current or run.intent

    async def _run(self, run: Run) -> Intent:
        try:
            ending = await _OPERATIONS[run.intent.kind](self, run)
        except GatewayRefused as error:
            ending = _declined(run, refusal_of(error))
        except GatewayObjectMissing as error:
            # Removed there behind our back: no repetition brings it again.
            refusal = Refusal(code=GatewayObjectMissing.code, reason=str(error))
            ending = _declined(run, refusal)
        except GivenUp:
            ending = Ending(
                state=IntentState.ABANDONED,
                outcome=_ABANDONED,
                looks=_touched(run),
            )
        except NotYet as wait:
            return await run.put_off(wait.until)
        except (GatewayBusy, GatewaySilent):
            if run.intent.state is IntentState.NEW and run.intent.may_be_abandoned(
                run.now
            ):
                ending = Ending(state=IntentState.ABANDONED, outcome=_ABANDONED)
            else:
                return await run.put_off()
        return await run.end(ending)

    async def customer_of(self, run: Run) -> CustomerId:
        """Return the user's customer at the gateway; make it, by an intent of its own.

        Raises:
            GatewayRefused, GivenUp: there will be none.
            NotYet: it is not known yet.
        """
        account = await run.account()
        if account.customer_id is not None:
            return account.customer_id
        asking = Asking(user_id=account.user_id, kind=IntentKind.CREATE_CUSTOMER)
        try:
            begun = await self.begin(asking)
        except OperationInProgress as error:
            raise NotYet from error
        made = await self(begun.intent)
        if made.outcome and made.outcome.customer_id:
            return CustomerId(made.outcome.customer_id)
        if made.state is IntentState.ABANDONED:
            raise GivenUp
        if made.outcome and made.outcome.refusal:
            raise refused(made.outcome.refusal)
        raise NotYet(made.due_at)


def _declined(run: Run, refusal: Refusal) -> Ending:
    outcome = IntentOutcome(refusal=refusal)
    return Ending(state=IntentState.DECLINED, outcome=outcome, looks=_touched(run))


def _touched(run: Run) -> Sequence[str]:
    """Return the subscriptions that an intent met before it failed."""
    answers = [call.answer for call in run.intent.calls if call.answer]
    made = [it.subscription.gateway_id for it in answers if it.subscription]
    return [*made, *run.touched]


async def _create_customer(_: RunIntent, run: Run) -> Ending:
    account = await run.account()
    if account.customer_id is not None:
        # Bound by hand meanwhile.
        return Ending(outcome=IntentOutcome(customer_id=account.customer_id))
    if run.intent.call("create") is None:
        # The gateway may remember what a database that was restored does not.
        known = await run.gateway.customer_of(account.user_id, account.email.text)
        if known is not None:
            return Ending(outcome=IntentOutcome(customer_id=known), customer_id=known)
    answer, _call = await run.call(
        "create",
        CreateCustomer(
            user_id=account.user_id,
            email=account.email.text,
            intent_id=run.intent.id,
        ),
    )
    return Ending(
        outcome=IntentOutcome(customer_id=answer.id), customer_id=CustomerId(answer.id)
    )


async def _set_up_card(machine: RunIntent, run: Run) -> Ending:
    request = SetUpCard(
        customer_id=await machine.customer_of(run),
        user_id=run.intent.user_id,
        intent_id=run.intent.id,
    )
    answer, _ = await run.call("set-up", request)
    return Ending(outcome=IntentOutcome(client_secret=answer.client_secret))


async def _update_card(machine: RunIntent, run: Run) -> Ending:
    customer = await machine.customer_of(run)
    attached, _ = await run.call(
        "attach", AttachCard(customer_id=customer, payment_method=_wanted_card(run))
    )
    if attached.card is None:
        raise GatewaySilent("an attached card that is none")
    card = attached.card
    subscriptions = await run.gateway.subscriptions_of(customer)
    owed = [s for s in subscriptions if s.status in _OWES and s.latest_invoice_id]
    asked = await _pay(run, owed, card.id)
    await run.call("default", MakeDefault(customer_id=customer, payment_method=card.id))
    for subscription in subscriptions:
        if not subscription.terminal and subscription.pinned_card not in {
            None,
            card.id,
        }:
            id_ = subscription.gateway_id
            await run.call(
                f"pin-{id_}", PinCard(subscription=id_, payment_method=card.id)
            )
    return Ending(
        outcome=IntentOutcome(
            card=card,
            requires_action=asked is not None,
            client_secret=asked.client_secret if asked else None,
        ),
        card=card,
        looks=[subscription.gateway_id for subscription in owed],
    )


def _wanted_card(run: Run) -> str:
    payment_method = run.intent.wanted.payment_method
    if payment_method is None:
        raise GatewayRefused("missing", "no card is named", field="payment_method")
    return payment_method


async def _pay(
    run: Run, owed: Sequence[SubscriptionReport], card_id: str
) -> Collection | None:
    """Pay what is past due; return what the bank wants to be confirmed, if anything.

    Raises:
        GatewayRefused: the bank declined.
    """
    asked = None
    for subscription in owed:
        invoice = subscription.latest_invoice_id or ""
        collection = await run.gateway.collection(invoice)
        if collection.state in _NO_MORE:
            continue
        try:
            await run.call(
                f"pay-{invoice}", PayInvoice(invoice_id=invoice, payment_method=card_id)
            )
        except GatewayRefused as error:
            collection = await run.gateway.collection(invoice)
            if not error.declined or collection.state is not _ASKS:
                raise
            asked = collection
    return asked


async def _start_subscription(machine: RunIntent, run: Run) -> Ending:
    wanted = run.intent.wanted
    customer = await machine.customer_of(run)
    if run.intent.call("start") is None:
        await _require_none(run, customer)
    pinned = None
    if wanted.payment_method is not None:
        attached, _ = await run.call(
            "attach",
            AttachCard(customer_id=customer, payment_method=wanted.payment_method),
        )
        pinned = attached.card
    has_card = pinned is not None or await run.gateway.card_of(customer) is not None
    request = StartSubscription(
        customer_id=customer,
        price=wanted.price or "",
        quantity=wanted.quantity or 1,
        payment_method=pinned.id if pinned else None,
        trial_days=wanted.trial_days,
        has_card=has_card,
        user_id=run.intent.user_id,
        intent_id=run.intent.id,
    )
    answer, call = await run.call("start", request)
    evidence = evidence_of(answer, call)
    terms = [answer.term] if answer.term else []
    collection = await _first_payment(run, evidence.report)
    declined = collection and collection.state is CollectionState.DECLINED
    # Once it is being undone the invoice is void, and declines no more.
    if run.intent.call("undo") or (has_card and declined):
        return await _undone(run, evidence, collection)
    return _settled(evidence, terms, collection)


async def _require_none(run: Run, customer: CustomerId) -> None:
    """Refuse to sell twice what the gateway says is sold already.

    Somebody sold it elsewhere, or our database was restored from a backup.

    Raises:
        GatewayRefused: the customer has a living subscription of the product.
    """
    for report in await run.gateway.subscriptions_of(customer):
        ours = report.intent_id == run.intent.id
        if report.product == run.intent.subject and not (report.terminal or ours):
            run.touched.append(report.gateway_id)
            raise GatewayRefused(
                AlreadySubscribed.code, subscription_id(report.gateway_id)
            )


async def _first_payment(run: Run, report: SubscriptionReport) -> Collection | None:
    """Return how the payment is that a subscription waits for; None if for none."""
    waits = report.status is SubscriptionStatus.INCOMPLETE or report.pending
    if not waits or report.latest_invoice_id is None:
        return None
    return await run.gateway.collection(report.latest_invoice_id)


async def _undone(run: Run, began: Evidence, declined: Collection | None) -> Ending:
    """End what was declined: it must not stand in the way of the next attempt."""
    id_ = began.report.gateway_id
    answer, call = await run.call("undo", EndSubscription(subscription=id_))
    return Ending(
        state=IntentState.DECLINED,
        outcome=IntentOutcome(
            refusal=Refusal(
                code="card_declined",
                reason="the bank declined the first payment",
                field="payment_method",
                decline_code=declined.decline_code if declined else None,
            )
        ),
        evidence=[began, evidence_of(answer, call)],
    )


def _settled(
    evidence: Evidence, terms: Sequence[PaidTerm], collection: Collection | None
) -> Ending:
    unpaid = collection is not None and collection.state not in _NO_MORE
    return Ending(
        outcome=IntentOutcome(
            subscription=evidence.report,
            requires_action=unpaid,
            client_secret=collection.client_secret if collection and unpaid else None,
        ),
        evidence=[evidence],
        terms=terms,
    )


async def _change_subscription(_: RunIntent, run: Run) -> Ending:
    wanted = run.intent.wanted
    account = await run.account()
    known = account.subscription(SubscriptionId(run.intent.subject)).report
    evidence, terms = None, list[PaidTerm]()
    # What may be refused goes first: then nothing is done.
    if wanted.price is not None or wanted.quantity is not None:
        answer, call = await run.call(
            "change",
            ChangeSubscription(
                subscription=known.gateway_id,
                item_id=known.item_id,
                price=wanted.price,
                quantity=wanted.quantity,
                proration_date=wanted.proration_date,
            ),
        )
        evidence = evidence_of(answer, call)
        terms += [answer.term] if answer.term else []
    if wanted.cancel_at_period_end is not None:
        answer, call = await run.call(
            "plan-end",
            PlanEnd(
                subscription=known.gateway_id,
                cancel_at_period_end=wanted.cancel_at_period_end,
            ),
        )
        evidence = evidence_of(answer, call)
    if evidence is None:
        raise GatewayRefused("nothing", "nothing is to be changed")
    collection = await _first_payment(run, evidence.report)
    return _settled(evidence, terms, collection)


async def _end_subscription(_: RunIntent, run: Run) -> Ending:
    account = await run.account()
    known = account.subscription(SubscriptionId(run.intent.subject)).report
    if run.intent.wanted.cancel_at_period_end:
        answer, call = await run.call(
            "plan-end",
            PlanEnd(subscription=known.gateway_id, cancel_at_period_end=True),
        )
    else:
        answer, call = await run.call(
            "end", EndSubscription(subscription=known.gateway_id)
        )
    return _settled(evidence_of(answer, call), (), None)


_Operation = Callable[[RunIntent, Run], Awaitable[Ending]]
_OPERATIONS: Final[Mapping[IntentKind, _Operation]] = MappingProxyType(
    {
        IntentKind.CREATE_CUSTOMER: _create_customer,
        IntentKind.SET_UP_CARD: _set_up_card,
        IntentKind.UPDATE_CARD: _update_card,
        IntentKind.START_SUBSCRIPTION: _start_subscription,
        IntentKind.CHANGE_SUBSCRIPTION: _change_subscription,
        IntentKind.END_SUBSCRIPTION: _end_subscription,
    }
)
