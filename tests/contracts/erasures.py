"""What every store of erasures promises: it is atomic, and nothing returns."""

from collections import Counter
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CH_1,
    CH_2,
    CUS_1,
    CUS_2,
    NOON,
    SUB_1,
    a_job,
    a_job_key,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_account,
    an_event,
    an_intent,
    email_of,
)
from contracts.ledger_former_keys import ADAS_FORMER, HOUR, changed_hands
from contracts.ledger_jobs import asked, claimed
from contracts.stores import SAVED, Stores, beside, first_page, users
from payments_core.account import PaymentAccount
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand
from payments_core.changes import Changes, SaveResult
from payments_core.erasure import SETTLED, Erasure, is_pseudonym, pseudonym
from payments_core.events import EventState, Outcome
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import IntentState
from payments_core.linking import NOTHING_UNLINKED, LinkKeys
from payments_core.payment import DisputeState, PaymentRecord, PaymentState
from payments_core.subscription import SubscriptionStatus

GONE: Final = pseudonym("1")
AT: Final = NOON + timedelta(days=1)
KEYS: Final = LinkKeys(
    frozenset({ADA}), frozenset({CUS_1}), frozenset({email_of(ADA).key})
)
# The key as an adapter reads it: with the domain in ASCII.
JUERGEN: Final = Email("j\u00fcrgen@ex\u00e4mple.org", "j\u00fcrgen@xn--exmple-cua.org")
SPELLED: Final = (
    '"j\u00fcrgen@ex\u00e4mple.org"',
    '"J\u00dcRGEN@EX\u00c4MPLE.ORG"',
    '"ju\u0308rgen@xn--exmple-cua.org"',
    r'"j\u00fcrgen@ex\u00E4mple.org"',
    r'"J\u00DCRGEN@XN--EXMPLE-CUA.ORG"',
    r'"ju\u0308rgen@exa\u0308mple.org"',
)
# Of an open thing: its owner, its customer, the user that it names, and whether it is
# ADA's.
HELD: Final[dict[str, tuple[UserId | None, CustomerId, UserId | None, bool]]] = {
    "owned": (ADA, CUS_1, ADA, True),
    "of their customer": (None, CUS_1, None, True),
    "that names them": (None, CustomerId("cus_9"), ADA, True),
    "of another's customer": (None, CUS_2, ADA, False),
    "owned by another": (BOB, CUS_1, ADA, False),
}
NAMES: Final = {"user ada", f"customer {CUS_1}", f"email {email_of(ADA).key}"}


def an_erasure(name: UserId = GONE) -> Erasure:
    decided = ByHand(by="operator", reason="asked for it")
    return Erasure(user_id=ADA, pseudonym=name, decided=decided, at=AT)


def done_by_hand(
    action: ActionByHand, subject: str, type_: str | None = None, *, user: Any = None
) -> ChangeByHand:
    return ChangeByHand(
        action=action,
        subject=subject,
        event_type=type_,
        user_id=user,
        decided=ByHand(by="operator", reason="somebody asked for it"),
    )


def paid(id_: str = CH_1, user: str | None = ADA) -> PaymentRecord:
    payment = a_payment(id_, user=ADA, customer=CUS_1, email=email_of(ADA))
    return a_record(payment, owner=user)


async def kept(stores: Stores) -> PaymentAccount:
    """Save a user with something of each kind; return the account."""
    account = an_account(ADA, customer=CUS_1)
    report = a_report(SUB_1, SubscriptionStatus.CANCELED, ended_at=NOON, user=ADA)
    over = a_subscription(report, owner=ADA)
    await stores.keep(
        account,
        payments=[paid()],
        subscriptions=[over],
        intents=[an_intent(state=IntentState.SUCCEEDED)],
        events=[
            (attrs.evolve(an_event("evt_1"), object_id=CH_1), APPLIED),
            (an_event("evt_2", body=b'{"customer": "cus_1"}'), APPLIED),
            (an_event("evt_3", body=b'{"customer": "cus_2"}'), APPLIED),
            (
                an_event("evt_4", body=b'{"customer": "cus_1"}'),
                Outcome(EventState.PENDING, "cus_1", a_job_key()),
            ),
        ],
        jobs=[a_job()],
    )
    return await stores.account(ADA)


class ErasuresContract:
    async def test_nobody_was_erased_at_first(self, stores: Stores) -> None:
        """
        And no erasure is in progress.
        """
        for user in (ADA, email_of(ADA)):
            assert not await stores.erasures.is_erased(user)
            assert await stores.erasures.unfinished(user) is None
        assert await stores.erasures.finish(GONE) == 0
        assert not await stores.erasures.is_any()
        assert not (await stores.load(keys=KEYS)).erased

    async def test_all_becomes_a_pseudonyms_in_one_moment(self, stores: Stores) -> None:
        """
        The money stays, and no name does.
        """
        account = await kept(stores)
        assert await stores.erasures.begin(account, an_erasure())

        assert await stores.accounts.find(ADA) is None
        assert await stores.accounts.find(email_of(ADA)) is None
        left = await stores.account(GONE)
        assert is_pseudonym(left.user_id)
        assert (left.customer_id, left.card) == (None, None)
        assert left.verdict == account.verdict
        record = await stores.payment(CH_1)
        assert record.user_id == GONE
        before = paid().payment
        nobody: Any = {"customer_id": None, "metadata_user_id": None, "email": None}
        assert record.payment == attrs.evolve(before, **nobody)
        (ended,) = left.subscriptions
        assert str(ended.report.customer_id) == GONE
        assert (ended.report.metadata_user_id, ended.report.pinned_card) == (None, None)
        assert await stores.intents.find(an_intent().id) is None
        assert not await stores.jobs()
        assert {it.user_id for it in await stores.account_log()} == {GONE}

    async def test_names_of_who_was_erased_are_known_as_such(
        self, stores: Stores
    ) -> None:
        """
        A load that asks for them returns them with the time of the erasure; other names
        are not returned.
        """
        assert await stores.erasures.begin(await kept(stores), an_erasure())

        found = await stores.load(keys=KEYS | users(BOB))
        assert found.erased == dict.fromkeys(NAMES, AT)
        of_event = await stores.load(customers=frozenset({CUS_1, CUS_2}))
        assert of_event.erased == {f"customer {CUS_1}": AT}
        with_history = await stores.load(keys=KEYS, histories=frozenset({ADA}))
        assert with_history.erased.keys() == NAMES
        for user, is_erased in ((ADA, True), (email_of(ADA), True), (BOB, False)):
            assert await stores.erasures.is_erased(user) is is_erased

    async def test_of_events_nothing_stays_but_that_they_came(
        self, stores: Stores
    ) -> None:
        """
        Both events about the user and events that mention the user; those that waited
        are settled.
        """
        assert await stores.erasures.begin(await kept(stores), an_erasure())
        assert await stores.erasures.unfinished(ADA) == GONE
        assert await stores.erasures.unfinished(email_of(ADA)) == GONE
        assert await stores.erasures.unfinished(BOB) is None
        assert list(await stores.erasures.left(AT)) == []
        assert list(await stores.erasures.left(AT + timedelta(seconds=1))) == [GONE]

        assert await stores.erasures.finish(GONE) == 3

        events = {it.key.id: it for it in await first_page(stores.events)}
        for id_ in ("evt_1", "evt_2", "evt_4"):
            (found,) = await stores.events.find(id_)
            assert (found.object_id, found.body) == (None, None)
        assert events["evt_2"].outcome == APPLIED
        assert events["evt_4"].outcome == Outcome(EventState.IGNORED, "erased")
        (other,) = await stores.events.find("evt_3")
        assert other.body == b'{"customer": "cus_2"}'
        assert await stores.erasures.unfinished(ADA) is None
        assert not await stores.erasures.left(AT + timedelta(seconds=1))
        assert await stores.erasures.finish(GONE) == 0
        assert await stores.erasures.is_any()

    async def test_an_e_mail_is_theirs_until_it_is_begun(self, stores: Stores) -> None:
        """
        What arrives with the e-mail after the settling time is another user's; what
        arrives with the customer is not.
        """
        assert await stores.erasures.begin(await kept(stores), an_erasure())
        mailed = f'{{"receipt_email": "{email_of(ADA).text}"}}'.encode()
        named = b'{"customer": "cus_1"}'
        settled = (AT + SETTLED - NOON).total_seconds()
        for id_, body, after in (
            ("evt_5", mailed, 0),
            ("evt_6", mailed, 1),
            ("evt_7", named, 1),
        ):
            event = (an_event(id_, body=body), APPLIED)
            await stores.keep(events=[event], seconds=settled + after)

        assert await stores.erasures.finish(GONE) == 5

        (others,) = await stores.events.find("evt_6")
        assert others.body == mailed

    @pytest.mark.parametrize("spelled", SPELLED)
    async def test_an_e_mail_is_theirs_however_it_is_spelled(
        self, stores: Stores, spelled: str
    ) -> None:
        """
        Beyond ASCII too: as bytes, as an escape, composed or decomposed, in capitals.
        """
        body = f'{{"receipt_email": {spelled}}}'.encode()
        await stores.keep(
            attrs.evolve(an_account(ADA), email=JUERGEN),
            events=[(an_event("evt_1", body=body), APPLIED)],
        )
        assert await stores.erasures.begin(await stores.account(ADA), an_erasure())

        assert await stores.erasures.finish(GONE) == 1

    async def test_what_was_decided_before_is_decided_anew(
        self, stores: Stores
    ) -> None:
        """
        Both what was decided about the account and what was to stay unlinked under one
        of its keys.
        """
        account = await kept(stores)
        keys = await stores.load(link_keys=KEYS)
        unlinked = Changes(
            key="unlinked",
            payments=(paid(CH_2, None),),
            link_versions={name: keys.link_versions.get(name, 0) for name in NAMES},
        )
        assert await stores.save(unlinked) == [SAVED]
        keys = await stores.load(link_keys=KEYS)
        late = attrs.evolve(
            unlinked,
            payments=(paid("ch_3", None),),
            link_versions=dict(keys.link_versions),
        )
        assert await stores.erasures.begin(account, an_erasure())

        of_account = beside(account, payments=(paid("ch_4"),))
        words = await stores.save(of_account, late)

        assert words == [SaveResult.CHANGED] * 2
        assert not (await stores.load(payments=frozenset({"ch_3", "ch_4"}))).payments
        bare = await stores.payment(CH_2)
        assert (bare.user_id, bare.payment.customer_id) == (GONE, None)

    async def test_nothing_is_done_where_something_has_changed(
        self, stores: Stores
    ) -> None:
        """
        The account is another by then, or an operation has begun.
        """
        account = await kept(stores)
        older = attrs.evolve(account, version=account.version - 1)
        assert not await stores.erasures.begin(older, an_erasure())
        await stores.save(beside(account, intents=(an_intent("int_2"),)))
        assert not await stores.erasures.begin(account, an_erasure())

        assert await stores.account(ADA) == account
        assert not await stores.erasures.is_erased(ADA)
        assert not (await stores.load(keys=KEYS)).erased

    async def test_what_was_done_by_hand_of_theirs_has_no_reason_any_more(
        self, stores: Stores
    ) -> None:
        """
        The reason may identify the user: of a customer, a payment, a subscription, an
        event, or its job. That it was done stays, and on what, unless that names the
        user.
        """
        account, type_ = await kept(stores), "charge.succeeded"
        theirs = [
            done_by_hand(ActionByHand.LINK_PAYMENT, CH_1, user=ADA),
            done_by_hand(ActionByHand.UNLINK_PAYMENT, CH_1),
            done_by_hand(ActionByHand.UNLINK_SUBSCRIPTION, SUB_1),
            done_by_hand(ActionByHand.RETRY_JOB, f"payment:{CH_1}"),
            done_by_hand(ActionByHand.RETRY_JOB, f"subscription:{SUB_1}"),
            done_by_hand(ActionByHand.CLOSE_EVENT, "evt_1", type_),
            done_by_hand(ActionByHand.REPLAY_EVENT, "evt_2", type_),
            done_by_hand(ActionByHand.RECOVER_EVENT, "evt_4", type_),
            done_by_hand(ActionByHand.RETRY_JOB, f"event:evt_2:{type_}"),
        ]
        of_names = [
            done_by_hand(ActionByHand.BIND_CUSTOMER, CUS_1),
            done_by_hand(ActionByHand.RETRY_JOB, f"customer:{CUS_1}"),
        ]
        others = [
            done_by_hand(ActionByHand.LINK_PAYMENT, CH_2, user=BOB),
            done_by_hand(ActionByHand.RETRY_JOB, f"customer:{CUS_2}"),
            done_by_hand(ActionByHand.CLOSE_EVENT, "evt_3", type_),
            done_by_hand(ActionByHand.CLOSE_EVENT, "evt_2", "another.type"),
            done_by_hand(ActionByHand.RETRY_JOB, "event:evt_2:another.type"),
        ]
        changes = (*theirs, *of_names, *others)
        assert await stores.save(Changes(key="by hand", by_hand=changes)) == [SAVED]

        assert await stores.erasures.begin(account, an_erasure())
        await stores.erasures.finish(GONE)

        page = await stores.audit.page()
        (erased, *found) = (it.change for it in page.changes)
        assert erased.action is ActionByHand.ERASE_ACCOUNT
        by_subject = Counter((it.subject, it.decided.reason) for it in found)
        assert by_subject == Counter(
            [
                *((it.subject, "erased") for it in theirs),
                *((GONE, "erased") for _ in of_names),
                *((it.subject, it.decided.reason) for it in others),
            ]
        )

    @pytest.mark.parametrize("how", HELD)
    @pytest.mark.parametrize("what", ["subscription", "payment", "dispute"])
    async def test_nothing_is_done_while_something_of_theirs_is_open(
        self, stores: Stores, what: str, how: str
    ) -> None:
        """
        Of everything that would become the pseudonym's, with or without an owner.
        """
        owner, customer, named, is_theirs = HELD[how]
        names: Any = {"customer": customer, "user": named}
        one: Any = {
            "subscription": a_subscription(a_report(**names), owner=owner),
            "payment": a_record(
                a_payment(state=PaymentState.PENDING, **names), owner=owner
            ),
            "dispute": a_record(
                a_payment(dispute=DisputeState.OPEN, **names), owner=owner
            ),
        }[what]
        kind = "subscriptions" if what == "subscription" else "payments"
        more: Any = {kind: [attrs.evolve(one, linked_by_hand=True)]}
        ada, bob = an_account(ADA, customer=CUS_1), an_account(BOB, customer=CUS_2)
        await stores.keep(ada, bob, **more)
        account = await stores.account(ADA)

        found = await stores.erasures.open_without_owner(ADA)
        done = await stores.erasures.begin(account, an_erasure())

        is_found = is_theirs and owner is None
        assert len(getattr(found, kind)) == is_found
        assert done is not is_theirs
        assert await stores.erasures.is_erased(ADA) is not is_theirs
        if is_theirs:
            assert await stores.account(ADA) == account
            assert not await stores.erasures.left(AT + HOUR)

    async def test_who_is_not_here_has_nothing_that_is_open(
        self, stores: Stores
    ) -> None:
        assert await stores.erasures.open_without_owner(ADA) == NOTHING_UNLINKED

    async def test_p33_a_late_workers_job_is_none_of_what_comes_later(
        self, stores: Stores
    ) -> None:
        """
        A later job under the same key has a greater fence.
        """
        account = await kept(stores)
        before = await claimed(stores)
        assert await stores.erasures.begin(account, an_erasure())
        await asked(stores, a_job())
        after = await claimed(stores, hours=1)
        assert after.lease.fence > before.lease.fence

    async def test_of_an_e_mail_that_another_has_nothing_is_taken(
        self, stores: Stores
    ) -> None:
        """
        It is the erased user's until the user gives it up; what mentions it stays.
        """
        await changed_hands(stores)
        key = email_of(ADA).key
        theirs = attrs.evolve(
            an_event("evt_1", body=f'{{"receipt_email": "{key}"}}'.encode()),
            object_id=CH_2,
        )
        waits = Outcome(EventState.PENDING, "why", a_job_key())
        aside = Outcome(EventState.QUARANTINED, "why")
        payment = a_payment(CH_2, email=email_of(ADA))
        await stores.keep(
            payments=[a_record(payment)],
            events=[(theirs, aside), (attrs.evolve(theirs, id="evt_2"), waits)],
            jobs=[a_job()],
        )
        record, jobs = await stores.payment(CH_2), await stores.jobs()
        account = await stores.account(ADA)
        assert await stores.erasures.begin(account, an_erasure())
        bob = await stores.accounts.find(email_of(ADA))
        assert bob is not None
        assert await stores.erasures.unfinished(email_of(ADA)) is None

        assert await stores.erasures.finish(GONE) == 0

        events = {it.key.id: it for it in await first_page(stores.events)}
        assert events["evt_1"].outcome == aside
        assert events["evt_2"].outcome == waits
        for id_ in events:
            (found,) = await stores.events.find(id_)
            assert (found.object_id, found.body) == (CH_2, theirs.body)
        assert await stores.jobs() == jobs
        assert await stores.payment(CH_2) == record
        names = KEYS | LinkKeys(email_keys=frozenset({account.email.key}))
        loaded = await stores.load(keys=names)
        assert loaded.erased[f"email {key}"] == ADAS_FORMER.until
        assert loaded.erased[f"email {account.email.key}"] == AT
        assert [it.user_id for it in loaded.former_keys] == []

    async def test_an_e_mail_that_another_had_is_erased_as_of_now(
        self, stores: Stores
    ) -> None:
        """
        Its present holder is erased; what the holder before had under it stays known.
        """
        await changed_hands(stores)
        await stores.keep(
            events=[(an_event(body=f'["{email_of(ADA).key}"]'.encode()), APPLIED)]
        )
        bob = attrs.evolve(an_erasure(), user_id=UserId(BOB))
        assert await stores.erasures.begin(await stores.account(BOB), bob)
        assert await stores.erasures.finish(GONE) == 0
        loaded = await stores.load(keys=KEYS)
        assert loaded.erased == {f"email {email_of(ADA).key}": AT}
        assert ADAS_FORMER in loaded.former_keys

        # The holder before is erased later, and a third user has it: the later time
        # stays.
        await stores.keep(attrs.evolve(an_account("back"), email=email_of(ADA)))
        again = attrs.evolve(an_erasure(pseudonym("2")), at=AT + HOUR)
        assert await stores.erasures.begin(await stores.account(ADA), again)
        found = (await stores.load(keys=KEYS)).erased
        assert found[f"email {email_of(ADA).key}"] == AT

    async def test_a_former_e_mail_of_nobody_else_is_theirs(
        self, stores: Stores
    ) -> None:
        await changed_hands(stores, bobs=False)
        await stores.keep(
            events=[(an_event(body=f'["{email_of(ADA).key}"]'.encode()), APPLIED)]
        )
        assert await stores.erasures.begin(await stores.account(ADA), an_erasure())
        assert (await stores.load(keys=KEYS)).erased[f"email {email_of(ADA).key}"] == AT
        assert await stores.erasures.finish(GONE) == 1

    async def test_the_customer_of_what_was_linked_by_hand_is_not_theirs(
        self, stores: Stores
    ) -> None:
        """
        The linked payment becomes the pseudonym's; everything else of the customer
        stays.
        """
        by_hand: Any = {"linked_by_hand": True}
        bought = a_payment(CH_2, customer=CUS_2)
        report = a_report(
            SUB_1,
            SubscriptionStatus.CANCELED,
            ended_at=NOON,
            customer=CustomerId("cus_3"),
        )
        await stores.keep(
            an_account(ADA, customer=CUS_1),
            payments=[paid(), attrs.evolve(a_record(bought, owner=ADA), **by_hand)],
            subscriptions=[attrs.evolve(a_subscription(report, owner=ADA), **by_hand)],
            events=[
                (an_event("evt_1", body=b'{"charge": "ch_2"}'), APPLIED),
                (an_event("evt_2", body=b'{"customer": "cus_2"}'), APPLIED),
                (an_event("evt_3", body=b'{"customer": "cus_3"}'), APPLIED),
            ],
        )
        assert await stores.erasures.begin(await stores.account(ADA), an_erasure())
        record = await stores.payment(CH_2)
        assert (record.user_id, record.payment.customer_id) == (GONE, None)
        assert (await stores.subscription(SUB_1)).user_id == GONE
        customers: Any = frozenset({CUS_1, CUS_2, "cus_3"})
        loaded = await stores.load(customers=customers)
        assert loaded.erased.keys() == {f"customer {CUS_1}"}
        assert await stores.erasures.finish(GONE) == 1
        for id_, is_kept in (("evt_1", False), ("evt_2", True), ("evt_3", True)):
            (found,) = await stores.events.find(id_)
            assert bool(found.body) is is_kept

    @pytest.mark.parametrize("by_hand", [True, False])
    async def test_what_has_no_owner_becomes_a_pseudonyms_too(
        self, stores: Stores, *, by_hand: bool
    ) -> None:
        """
        By their customer, else by their id, else by their e-mail, so that nobody can
        link it to another user. Also what a person unlinked. A customer of another user
        takes precedence over all that.
        """
        linked: Any = {"linked_by_hand": by_hand}
        bob = email_of(BOB)
        theirs = [
            a_payment("ch_3", user=BOB, customer=CUS_1, email=bob),
            a_payment("ch_4", user=ADA, email=bob),
            a_payment("ch_5", email=email_of(ADA)),
        ]
        others = [
            a_payment("ch_6", user=ADA, customer=CUS_2, email=email_of(ADA)),
            a_payment("ch_7", user=BOB, email=email_of(ADA)),
            a_payment("ch_8", email=bob),
        ]
        ended: Any = {"status": SubscriptionStatus.CANCELED, "ended_at": NOON}
        sold = [
            a_report("sub_3", user=BOB, customer=CUS_1, **ended),
            a_report("sub_4", user=ADA, customer=CustomerId("cus_3"), **ended),
            a_report("sub_6", user=ADA, customer=CUS_2, **ended),
        ]
        await stores.keep(an_account(BOB, customer=CUS_2))
        await stores.keep(
            an_account(ADA, customer=CUS_1),
            payments=[
                attrs.evolve(a_record(it), **linked) for it in (*theirs, *others)
            ],
            subscriptions=[attrs.evolve(a_subscription(it), **linked) for it in sold],
        )

        assert await stores.erasures.begin(await stores.account(ADA), an_erasure())

        for payment in theirs:
            record = await stores.payment(payment.id)
            assert (record.user_id, record.linked_by_hand) == (GONE, by_hand)
            assert record.payment.metadata_user_id is None
        for payment in others:
            record = await stores.payment(payment.id)
            assert (record.user_id, record.payment) == (None, payment)
        owners = [(await stores.subscription(it.gateway_id)).user_id for it in sold]
        assert owners == [GONE, GONE, None]

    @pytest.mark.parametrize("finished", [True, False])
    async def test_an_e_mail_may_come_back_and_be_erased_again(
        self, stores: Stores, *, finished: bool
    ) -> None:
        """
        A new user may have it; the later time applies from then on.
        """
        assert await stores.erasures.begin(await kept(stores), an_erasure())
        if finished:
            await stores.erasures.finish(GONE)
        back = attrs.evolve(an_account("back"), email=email_of(ADA))
        await stores.keep(back)
        again = attrs.evolve(an_erasure(pseudonym("2")), at=AT + timedelta(days=9))
        assert await stores.erasures.begin(await stores.account("back"), again)

        found = (await stores.load(keys=KEYS)).erased
        assert found[f"email {email_of(ADA).key}"] == again.at
        assert found["user ada"] == AT

    async def test_a_former_customer_who_bought_nothing_is_theirs(
        self, stores: Stores
    ) -> None:
        """
        The customer was replaced before anything was sold to it; its events name it all
        the same.
        """
        await changed_hands(stores, bobs=False)
        bodies = {"evt_1": b'{"customer": "cus_1"}', "evt_2": b'{"customer": "cus_2"}'}
        await stores.keep(
            events=[(an_event(id_, body=it), APPLIED) for id_, it in bodies.items()]
        )

        assert await stores.erasures.begin(await stores.account(ADA), an_erasure())

        loaded = await stores.load(customers=frozenset({CUS_1, CUS_2}))
        assert loaded.erased == {f"customer {CUS_1}": AT}
        assert await stores.erasures.finish(GONE) == 1
        (theirs,), (other,) = [await stores.events.find(it) for it in bodies]
        assert (theirs.body, other.body) == (None, bodies["evt_2"])

    async def test_a_former_customer_that_is_another_users_is_left_alone(
        self, stores: Stores
    ) -> None:
        """
        What it leads to is the present user's, and so is what arrived.
        """
        await changed_hands(stores, bobs=False)
        await stores.keep(
            an_account(BOB, customer=CUS_1),
            events=[(an_event(body=b'{"customer": "cus_1"}'), APPLIED)],
        )
        bob = await stores.account(BOB)

        assert await stores.erasures.begin(await stores.account(ADA), an_erasure())

        loaded = await stores.load(keys=KEYS, customers=frozenset({CUS_1}))
        assert f"customer {CUS_1}" not in loaded.erased
        assert await stores.erasures.finish(GONE) == 0
        (theirs,) = await stores.events.find(an_event().id)
        assert theirs.body == b'{"customer": "cus_1"}'
        assert await stores.account(BOB) == bob
