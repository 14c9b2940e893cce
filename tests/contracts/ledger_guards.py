"""What a ledger promises of groups: each one is saved whole or not at all."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

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
    SUB_2,
    a_job,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
    an_intent,
    email_of,
    key_of,
)
from contracts.full_values import FULL_ACCOUNT
from contracts.stores import SAVED, Stores, beside, first_page, moved, opened, users
from payments_core.account import PaymentAccount
from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.events import EventState, Outcome
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import IntentId, IntentState
from payments_core.linking import LinkKeys
from payments_core.payment import PaymentId

CHANGED: Final = SaveResult.CHANGED
LOCKED: Final = SaveResult.LOCKED
TAKEN: Final = SaveResult.TAKEN
NEIGHBOURS_COUNT: Final = 63
EVE, NOBODY = UserId("eve"), UserId("nobody")
CUS_9: Final = CustomerId("cus_9")
WAITING: Final = Outcome(EventState.PENDING, "not known yet", a_job().key)

# What exists: each saved twice, so that each has version 2.
ADAS: Final = attrs.evolve(an_account(customer=CUS_1), version=2)
BOBS: Final = attrs.evolve(an_account(BOB), version=2)
LINKS: Final = LinkKeys(customer_ids=frozenset({CUS_2, CUS_9}))

# What did not exist before, and must not exist after.
RIDER: Final = Changes(
    key="a rider",
    payments=(a_record(a_payment("ch_rider")),),
    subscriptions=(a_subscription(a_report("sub_rider")),),
    periods=(a_term("sub_rider"),),
    events=((an_event("evt_rider"), APPLIED),),
    link_versions={f"customer {CUS_9}": 0},
    jobs=(a_job("sub_rider"),),
)


def ridden(**more: Any) -> Changes:
    """Return a group that holds the rider as well, and depends on something."""
    both = {
        name: (*getattr(RIDER, name), *value)
        for name, value in more.items()
        if isinstance(value, tuple)
    }
    links = {**RIDER.link_versions, **more.pop("link_versions", {})}
    return attrs.evolve(RIDER, **{**more, **both}, link_versions=links)


def changing(before: PaymentAccount, after: PaymentAccount | None = None) -> Changes:
    group = moved(before, after or attrs.evolve(before))
    return ridden(before=group.before, after=group.after)


def opening(account: PaymentAccount) -> Changes:
    return ridden(after=opened(account).after)


def of_payment(version: int, id_: str = CH_1, owner: str | None = ADA) -> Changes:
    record = attrs.evolve(a_record(a_payment(id_), owner=owner), version=version)
    return ridden(payments=(record,))


def of_subscription(
    version: int, id_: str = SUB_1, owner: str | None = None
) -> Changes:
    one = a_subscription(a_report(id_), owner=owner)
    return ridden(subscriptions=(attrs.evolve(one, version=version),))


def of_intent(id_: str, version: int, **more: Any) -> Changes:
    intent = attrs.evolve(an_intent(id_), version=version, **more)
    return ridden(intents=(intent,))


def linking(version: int, customer: CustomerId = CUS_2) -> Changes:
    return ridden(link_versions={f"customer {customer}": version})


def settling(id_: str, type_: str = "charge.succeeded") -> Changes:
    return ridden(resolved=((key_of(id_, type_), APPLIED),))


STALE: Final = (0, 1, 3)
ELSE: Final = {"subject": "something else"}
BROKEN: Final[Mapping[str, tuple[Changes, SaveResult]]] = {
    **{
        f"account of version {it}": (
            changing(attrs.evolve(ADAS, version=it)),
            CHANGED,
        )
        for it in STALE
    },
    "unchanged account of version 1": (
        ridden(
            before=(stale := attrs.evolve(ADAS, version=1)), after=stale, cause="event"
        ),
        CHANGED,
    ),
    "account that is not there": (
        changing(attrs.evolve(an_account(NOBODY), version=1)),
        CHANGED,
    ),
    "new account that is there": (opening(an_account()), CHANGED),
    "new account that is there, by another e-mail": (
        opening(an_account().renamed(email_of(NOBODY), at=NOON)),
        CHANGED,
    ),
    "new account with a taken e-mail": (
        opening(an_account(EVE).renamed(Email.of("ADA@EXÄMPLE.org"), at=NOON)),
        TAKEN,
    ),
    "new account with a taken customer": (
        opening(an_account(EVE, customer=CUS_1)),
        TAKEN,
    ),
    "renamed to a taken e-mail": (
        changing(BOBS, BOBS.renamed(Email.of("ada@EXÄMPLE.org"), at=NOON)),
        TAKEN,
    ),
    "bound to a taken customer": (changing(BOBS, BOBS.bound(CUS_1)), TAKEN),
    **{f"payment of version {it}": (of_payment(it), CHANGED) for it in STALE},
    "payment that is not there": (of_payment(2, CH_2), CHANGED),
    "payment of nobody known": (of_payment(0, CH_2, NOBODY), CHANGED),
    **{f"subscription of version {it}": (of_subscription(it), CHANGED) for it in STALE},
    "subscription that is not there": (of_subscription(2, SUB_2), CHANGED),
    "subscription of nobody known": (of_subscription(0, SUB_2, NOBODY), CHANGED),
    "event that is known": (ridden(events=((an_event("evt_1"), APPLIED),)), CHANGED),
    "settled event that is not pending": (settling("evt_1"), CHANGED),
    "settled event that is not there": (settling("evt_9"), CHANGED),
    "settled event of another type": (settling("evt_2", "charge.failed"), CHANGED),
    **{f"link key of version {it}": (linking(it), CHANGED) for it in STALE},
    "link key that is not there": (linking(1, CustomerId("cus_8")), CHANGED),
    **{
        f"intent of version {it}": (of_intent("int_1", it, key="a key"), CHANGED)
        for it in STALE
    },
    "intent that is not there": (of_intent("int_8", 1, **ELSE), CHANGED),
    "intent of nobody known": (of_intent("int_8", 0, user_id=NOBODY), CHANGED),
    "intent with a taken key": (of_intent("int_8", 0, key="a key", **ELSE), CHANGED),
    "intent with the key of one that ended": (
        of_intent("int_8", 0, key="an old key", **ELSE),
        CHANGED,
    ),
    "intent beside an open one": (of_intent("int_8", 0), CHANGED),
    "ended intent, open again beside an open one": (
        of_intent("int_ended", 1, key="an old key"),
        CHANGED,
    ),
}


async def filled(stores: Stores) -> None:
    """Save what `BROKEN` refers to."""
    ended = an_intent("int_ended", IntentState.REFUSED, key="an old key")
    await stores.keep(
        an_account(customer=CUS_1),
        an_account(BOB),
        payments=[a_record(owner=ADA)],
        subscriptions=[a_subscription()],
        intents=[ended, an_intent(key="a key")],
        events=[(an_event("evt_1"), APPLIED), (an_event("evt_2"), WAITING)],
    )
    ada, bob = await stores.account(ADA), await stores.account(BOB)
    name = f"customer {CUS_2}"
    groups = (
        moved(ada, ada),
        moved(bob, bob),
        Changes(
            key="again",
            payments=(await stores.payment(CH_1),),
            subscriptions=(await stores.subscription(SUB_1),),
            intents=(await stores.intent("int_1"),),
            link_versions={name: 0},
        ),
        Changes(key="and again", link_versions={name: 1}),
    )
    for group in groups:
        assert await stores.save(group) == [SAVED]


EVERYTHING: Final = Lookup(
    keys=LinkKeys(
        frozenset({ADA, BOB, EVE, NOBODY}), frozenset({CUS_1, CUS_2}), frozenset()
    ),
    payments=frozenset(map(PaymentId, (CH_1, CH_2, "ch_rider"))),
    subscriptions=frozenset({SUB_1, SUB_2, "sub_rider"}),
    events=frozenset(
        {
            *(key_of(it) for it in ("evt_1", "evt_2", "evt_9", "evt_rider")),
            key_of("evt_2", "charge.failed"),
        }
    ),
    link_keys=LINKS | LinkKeys(customer_ids=frozenset({CustomerId("cus_8")})),
    intents=frozenset(map(IntentId, ("int_1", "int_8", "int_ended"))),
)


def _sorted(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot without its number, in a fixed order."""
    return attrs.evolve(
        snapshot,
        sequence=0,
        accounts=sorted(snapshot.accounts, key=lambda it: it.user_id),
        payments=sorted(snapshot.payments, key=lambda it: it.payment.id),
        subscriptions=sorted(snapshot.subscriptions, key=lambda it: it.gateway_id),
        intents=sorted(snapshot.intents, key=lambda it: it.id),
    )


async def all_of(stores: Stores) -> tuple[object, ...]:
    """Return everything that `BROKEN` could have changed."""
    return (
        _sorted(await stores.ledger.load(EVERYTHING)),
        {
            key: it
            for key, it in (await stores.jobs()).items()
            if "n-" not in key.subject
        },
        await stores.periods(),
        [it for it in await stores.account_log() if not it.user_id.startswith("n-")],
    )


class Neighbours:
    """Sixty-three accounts, each with something to save, again and again."""

    def __init__(self) -> None:
        self.accounts = [an_account(f"n-{it}") for it in range(NEIGHBOURS_COUNT)]
        self.times = 0

    async def open(self, stores: Stores) -> None:
        await stores.keep(*self.accounts)
        self.accounts = [attrs.evolve(it, version=1) for it in self.accounts]

    def around(self, group: Changes, place: int = 31) -> Sequence[Changes]:
        """Return a group of each, with another among them."""
        groups = [self._group(it) for it in self.accounts]
        self.times += 1
        return [*groups[:place], group, *groups[place:]]

    def _group(self, account: PaymentAccount) -> Changes:
        name = f"{account.user_id}-{self.times}"
        payment = a_payment(f"ch-{name}", user=account.user_id)
        return moved(
            account,
            attrs.evolve(account),
            payments=(a_record(payment, owner=account.user_id),),
            events=((an_event(f"evt-{name}", payment), APPLIED),),
            jobs=(a_job(account.user_id),),
        )

    async def went_on(self, stores: Stores, words: Sequence[SaveResult]) -> bool:
        """Check that exactly these results were returned, and that they are true."""
        if list(words).count(SAVED) != NEIGHBOURS_COUNT:
            return False
        self.accounts = [
            attrs.evolve(it, version=it.version + 1) for it in self.accounts
        ]
        found = await stores.load(
            keys=users(*(it.user_id for it in self.accounts)),
            histories=frozenset(it.user_id for it in self.accounts),
        )
        return (
            sorted(found.accounts, key=_id) == sorted(self.accounts, key=_id)
            and len(found.histories) == self.times * NEIGHBOURS_COUNT
        )


def _one(**more: Any) -> Changes:
    return Changes(key="one", **more)


def _id(account: PaymentAccount) -> str:
    return account.user_id


def words_around(word: SaveResult, place: int = 31) -> list[SaveResult]:
    return [*[SAVED] * place, word, *[SAVED] * (NEIGHBOURS_COUNT - place)]


class LedgerGuardsContract:
    async def test_a_group_that_holds_is_saved(self, stores: Stores) -> None:
        """
        The groups of the next test, when what they depend on is unchanged.
        """
        await filled(stores)
        right: dict[str, Callable[[], Changes]] = {
            "unchanged account": lambda: ridden(before=ADAS, after=ADAS),
            "account": lambda: changing(ADAS),
            "new account": lambda: opening(an_account(EVE, customer=CUS_2)),
            "payment": lambda: of_payment(2),
            "new payment": lambda: of_payment(0, CH_2),
            "subscription": lambda: of_subscription(2),
            "new subscription": lambda: of_subscription(0, SUB_2, BOB),
            "event": lambda: ridden(events=((an_event("evt_3"), APPLIED),)),
            "settled event": lambda: settling("evt_2"),
            "link key": lambda: linking(2),
            "intent": lambda: of_intent("int_1", 2, key="a key"),
            "new intent": lambda: of_intent("int_8", 0, **ELSE),
        }
        for number, (name, group) in enumerate(right.items()):
            ready = _without_rider(group(), number)
            assert (name, await stores.save(ready)) == (name, [SAVED])

    async def test_a_group_that_does_not_hold_is_not_saved_and_its_neighbours_are(
        self, stores: Stores
    ) -> None:
        """
        Whatever guard fails, nothing of its group is stored, and all of the 63 others
        are; each group gets the right result.
        """
        await filled(stores)
        neighbours = Neighbours()
        await neighbours.open(stores)
        before = await all_of(stores)

        wrong = {}
        for name, (group, word) in BROKEN.items():
            # Days later: a body's partition does not replace an event's key.
            groups = neighbours.around(group)
            words = await stores.save(*groups, seconds=3 * 86_400)
            good = await neighbours.went_on(stores, words)
            if (
                not good
                or words != words_around(word)
                or await all_of(stores) != before
            ):
                wrong[name] = words[31]
        assert wrong == {}

    async def test_a_locked_account_is_passed_over_and_its_neighbours_are_saved(
        self, stores: Stores
    ) -> None:
        """
        The save does not wait for it; once it is unlocked it is saved as it was
        decided.
        """
        await filled(stores)
        neighbours = Neighbours()
        await neighbours.open(stores)
        before = await all_of(stores)
        groups = (changing(ADAS), ridden(before=ADAS, after=ADAS))
        for group in groups:
            held = attrs.evolve(group, key=f"user {ADA}")
            async with stores.hold(ADA):
                words = await stores.save(*neighbours.around(held))
                assert words == words_around(LOCKED)
                assert await neighbours.went_on(stores, words)
            assert await all_of(stores) == before

        assert await stores.save(groups[0]) == [SAVED]

    async def test_one_thing_in_two_groups_is_saved_by_the_first(
        self, stores: Stores
    ) -> None:
        """
        The second depends on the state before; its result is that it changed.
        """
        await filled(stores)
        neighbours = Neighbours()
        await neighbours.open(stores)
        new = a_record(a_payment("ch_7"))
        six = (an_intent(it, subject="six") for it in ("int_5", "int_6"))
        event = _one(events=((an_event("evt_7"), APPLIED),))
        settled = _one(resolved=((key_of("evt_2"), APPLIED),))
        subscription = _one(subscriptions=(a_subscription(a_report("sub_7")),))
        intent = _one(intents=(an_intent("int_7", subject="seven"),))
        eve = opened(an_account(EVE))
        pairs: dict[str, tuple[SaveResult, Changes, Changes]] = {
            "event": (CHANGED, event, event),
            "settled event": (CHANGED, settled, settled),
            "payment": (
                CHANGED,
                _one(payments=(new,)),
                _one(payments=(attrs.evolve(new, user_id=ADA),)),
            ),
            "subscription": (CHANGED, subscription, subscription),
            "intent": (CHANGED, intent, intent),
            "subject": (
                CHANGED,
                _one(intents=(next(six),)),
                _one(intents=(next(six),)),
            ),
            "account": (CHANGED, eve, eve),
            "e-mail": (
                TAKEN,
                opened(an_account("eve-2")),
                opened(an_account("eve-3").renamed(email_of("eve-2"), at=NOON)),
            ),
        }
        for name, (word, first, second) in pairs.items():
            words = await stores.save(first, *neighbours.around(second))
            assert (name, words) == (name, [SAVED, *words_around(word)])
            assert await neighbours.went_on(stores, words[1:])
        assert (await stores.payment("ch_7")).user_id is None

    async def test_a_group_of_several_is_all_or_nothing(self, stores: Stores) -> None:
        """
        One of two payments is stale: the other is not saved either, nor the account.
        """
        await filled(stores)
        before = await all_of(stores)
        stale = attrs.evolve(a_record(owner=ADA), version=1)
        group = moved(
            ADAS,
            attrs.evolve(FULL_ACCOUNT, version=2),
            payments=(stale, a_record(a_payment(CH_2), owner=ADA)),
        )
        assert await stores.save(group) == [CHANGED]

        assert await all_of(stores) == before

    async def test_an_email_that_was_given_up_is_free(self, stores: Stores) -> None:
        """
        Renaming frees the old e-mail for another account, within one save as well.
        """
        await stores.keep(an_account(), an_account(BOB))
        ada = await stores.account(ADA)
        words = await stores.save(
            moved(ada, ada.renamed(email_of("countess"), at=NOON)),
            opened(an_account(EVE).renamed(email_of(ADA), at=NOON)),
        )
        assert words == [SAVED, SAVED]

        keys = LinkKeys(email_keys=frozenset({email_of(ADA).key}))
        (account,) = (await stores.load(keys=keys)).accounts
        assert account.user_id == EVE

    async def test_an_account_may_take_its_own_email_and_customer_again(
        self, stores: Stores
    ) -> None:
        """
        In another spelling it is still its own.
        """
        await filled(stores)
        again = ADAS.renamed(Email.of("ADA@exämple.org"), at=NOON)
        assert await stores.save(moved(ADAS, again)) == [SAVED]

        assert (await stores.account(ADA)).email == again.email

    async def test_a_settled_event_gets_its_outcome(self, stores: Stores) -> None:
        """
        By its id and its type; the event of another type waits on.
        """
        twin = an_event("evt_2", type_="charge.failed")
        await stores.keep(events=[(an_event("evt_2"), WAITING), (twin, WAITING)])
        outcome = Outcome(EventState.QUARANTINED, "weil: 漢字")
        group = Changes(key="it", resolved=((key_of("evt_2"), outcome),))
        assert await stores.save(group) == [SAVED]

        kept = {it.key: it.outcome for it in await first_page(stores.events)}
        assert kept == {key_of("evt_2"): outcome, twin.key: WAITING}

    async def test_what_has_ended_stands_in_nobodys_way(self, stores: Stores) -> None:
        """
        An ended intent is not open: the next one of its user, kind and subject is
        accepted.
        """
        await stores.keep(an_account(), an_account(BOB))
        for state in IntentState:
            intent = an_intent(f"int_{state}", state, subject=state.value)
            await stores.keep(intents=[intent])
            again = an_intent(f"again_{state}", subject=state.value)
            word = CHANGED if intent.open else SAVED
            group = Changes(key="it", intents=(again,))
            assert (state, await stores.save(group)) == (state, [word])

    async def test_an_event_is_kept_though_its_account_did_not_change(
        self, stores: Stores
    ) -> None:
        """
        Its group still compares the account's version: the basis of the decision is
        unchanged.
        """
        await filled(stores)
        event = ((an_event("evt_3"), APPLIED),)
        assert await stores.save(beside(ADAS, events=event)) == [SAVED]
        assert await stores.save(moved(ADAS, ADAS)) == [SAVED]
        late = beside(ADAS, events=((an_event("evt_4"), APPLIED),))
        assert await stores.save(late, seconds=1) == [CHANGED]

        found = await stores.load(events=frozenset({key_of("evt_3"), key_of("evt_4")}))
        assert found.events == {key_of("evt_3"): EventState.APPLIED}


def _without_rider(group: Changes, number: int) -> Changes:
    """Return the group with a rider that was not saved before."""
    text = f"_rider_{number}"
    return attrs.evolve(
        group,
        payments=(a_record(a_payment(f"ch{text}")), *group.payments[1:]),
        subscriptions=(
            a_subscription(a_report(f"sub{text}")),
            *group.subscriptions[1:],
        ),
        events=((an_event(f"evt{text}"), APPLIED), *group.events[1:]),
        link_versions={
            name: version
            for name, version in group.link_versions.items()
            if name not in RIDER.link_versions
        },
    )
