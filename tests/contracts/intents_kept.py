"""What one transaction promises of intents: kept whole, and one of a kind open."""

from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    NOON,
    a_call,
    an_account,
    an_intent,
    moments_in,
)
from contracts.keeping import kept
from contracts.subscriptions_kept import CARD, FULL
from payments_core.errors import ChangedElsewhere
from payments_core.gateway import Answer
from payments_core.intent import (
    Intent,
    IntentId,
    IntentKind,
    IntentOutcome,
    IntentState,
    Refusal,
    Wanted,
)
from payments_core.ports import OpenUnitOfWork

S: Final = IntentState
HOUR: Final = timedelta(hours=1)
OPEN: Final = (S.NEW, S.SENT, S.UNKNOWN)
ENDED: Final = (S.SUCCEEDED, S.DECLINED, S.ABANDONED)

REFUSAL: Final = Refusal(
    code="card_declined", reason="abgelehnt: 漢字", field="card", decline_code="lost"
)
ANSWER: Final = Answer(
    id="sub_1",
    at=NOON + 3 * HOUR,
    client_secret="seti_1_secret_🧾",
    card=CARD,
    subscription=FULL.report,
    term=FULL.term,
)
FULL_CALL: Final = attrs.evolve(
    a_call("start", S.DECLINED, at=NOON + 1 * HOUR, generation=7),
    frozen=attrs.evolve(a_call().frozen, body='\x00 "\\ a=b&c=%C3%BC ü 漢字'),
    ticket=2**62,
    last_sent_at=NOON + 2 * HOUR,
    poisoned=True,
    answer=ANSWER,
    refusal=REFUSAL,
)
FULL_INTENT: Final = Intent(
    id=IntentId("int_ü"),
    user_id=ADA,
    kind=IntentKind.CHANGE_SUBSCRIPTION,
    subject="sub-漢字",
    wanted=Wanted(
        payment_method="pm_1",
        product="prod_1",
        price="price_1",
        quantity=1_000_000,
        trial_days=14,
        cancel_at_period_end=False,
        proration_date=NOON + 4 * HOUR,
    ),
    state=S.UNKNOWN,
    calls=(a_call("attach", S.SUCCEEDED), FULL_CALL),
    outcome=IntentOutcome(
        customer_id="cus_1",
        subscription=FULL.report,
        card=CARD,
        client_secret="pi_1_secret",
        requires_action=True,
        refusal=REFUSAL,
    ),
    key="a key of the client's: ü",
    fingerprint="f" * 64,
    attempts=9,
    due_at=NOON + 5 * HOUR,
    created_at=NOON + 6 * HOUR,
)


def _call_of(**changes: Any) -> Intent:
    return attrs.evolve(FULL_INTENT, calls=(attrs.evolve(FULL_CALL, **changes),))


def _answer_of(**changes: Any) -> Intent:
    return _call_of(answer=attrs.evolve(ANSWER, **changes))


VARIANTS: Final = {
    "bare": an_intent(subject=""),
    "full": FULL_INTENT,
    "an empty outcome": attrs.evolve(FULL_INTENT, outcome=IntentOutcome()),
    "no outcome": attrs.evolve(FULL_INTENT, outcome=None),
    "no key": attrs.evolve(FULL_INTENT, key=None),
    **{
        f"no {field.name} wanted": attrs.evolve(
            FULL_INTENT, wanted=attrs.evolve(FULL_INTENT.wanted, **{field.name: None})
        )
        for field in attrs.fields(Wanted)
    },
    "no answer": _call_of(answer=None),
    "no refusal": _call_of(refusal=None),
    "a bare refusal": _call_of(refusal=Refusal(code="", reason="")),
    **{
        f"no {name} answered": _answer_of(**{name: None})
        for name in ("client_secret", "card", "subscription", "term")
    },
    **{f"to {kind}": attrs.evolve(FULL_INTENT, kind=kind) for kind in IntentKind},
    **{state.value: attrs.evolve(FULL_INTENT, state=state) for state in IntentState},
}


async def saved(
    open_unit_of_work: OpenUnitOfWork, *intents: Intent, seconds: int = 0
) -> None:
    """Save these in one transaction."""
    async with open_unit_of_work() as work:
        for intent in intents:
            await work.save_intent(intent, at=NOON + timedelta(seconds=seconds))
        await work.commit()


async def read(open_unit_of_work: OpenUnitOfWork, id_: str = "int_1") -> Intent | None:
    async with open_unit_of_work() as work:
        return await work.intent(IntentId(id_))


class IntentsKeptContract:
    @pytest.mark.parametrize("name", VARIANTS)
    async def test_an_intent_comes_back_exactly(
        self, open_unit_of_work: OpenUnitOfWork, name: str
    ) -> None:
        """
        Every field of it and of its calls, there or not, and all moments in UTC.
        """
        before = VARIANTS[name]
        await kept(open_unit_of_work, an_account())
        await saved(open_unit_of_work, before)

        after = await read(open_unit_of_work, before.id)
        assert after == attrs.evolve(before, version=1)
        assert {it.utcoffset() for it in moments_in(after)} == {timedelta(0)}

    async def test_what_is_not_there_is_none(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Neither by id, nor by key, nor by what it is about.
        """
        async with open_unit_of_work() as work:
            assert await work.intent(IntentId("int_1")) is None
            assert await work.intent_under("a key") is None
            kind = IntentKind.CREATE_CUSTOMER
            assert await work.open_intent(ADA, kind, "") is None
            assert not await work.due_intents(now=NOON, limit=9)

    async def test_each_save_makes_the_version_one_greater(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        New is version 0 before and 1 after; each save adds one.
        """
        await kept(open_unit_of_work, an_account())
        await saved(open_unit_of_work, an_intent())
        called = attrs.evolve(an_intent().with_call(a_call()), version=1)
        await saved(open_unit_of_work, called, seconds=9)

        assert await read(open_unit_of_work) == attrs.evolve(called, version=2)

    @pytest.mark.parametrize("version", [0, 1, 3])
    async def test_a_stale_intent_is_refused(
        self, open_unit_of_work: OpenUnitOfWork, version: int
    ) -> None:
        """
        Saved since it was read, or there already: what was saved stays.
        """
        await kept(open_unit_of_work, an_account())
        await saved(open_unit_of_work, an_intent())
        await saved(open_unit_of_work, attrs.evolve(an_intent(), version=1))

        stale = attrs.evolve(an_intent(), state=S.ABANDONED, version=version)
        with pytest.raises(ChangedElsewhere):
            await saved(open_unit_of_work, stale)
        assert await read(open_unit_of_work) == attrs.evolve(an_intent(), version=2)

    async def test_without_commit_no_intent_was_saved(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Within the transaction it is there, after it not.
        """
        await kept(open_unit_of_work, an_account())
        async with open_unit_of_work() as work:
            await work.save_intent(an_intent(), at=NOON)
            assert await work.intent(IntentId("int_1"))

        assert await read(open_unit_of_work) is None

    async def test_a_key_names_one_intent_for_ever(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Another may not take it, not even from one that has ended; none is no key.
        """
        await kept(open_unit_of_work, an_account(), an_account(BOB))
        first = an_intent("int_1", S.DECLINED, key="a key")
        await saved(open_unit_of_work, first, an_intent("int_2", subject="other"))
        await saved(open_unit_of_work, an_intent("int_3", user=BOB))

        with pytest.raises(ChangedElsewhere):
            await saved(open_unit_of_work, an_intent("int_4", user=BOB, key="a key"))
        async with open_unit_of_work() as work:
            found = await work.intent_under("a key")
            assert await work.intent_under("another") is None
        assert found == attrs.evolve(first, version=1)

    @pytest.mark.parametrize("state", OPEN)
    async def test_one_of_a_user_kind_and_subject_is_open(
        self, open_unit_of_work: OpenUnitOfWork, state: IntentState
    ) -> None:
        """
        A second is refused while the first is open, and is found under them.
        """
        await kept(open_unit_of_work, an_account())
        first = an_intent("int_1", state)
        await saved(open_unit_of_work, first)

        with pytest.raises(ChangedElsewhere):
            await saved(open_unit_of_work, an_intent("int_2"))
        async with open_unit_of_work() as work:
            found = await work.open_intent(ADA, first.kind, first.subject)
        assert found == attrs.evolve(first, version=1)

    @pytest.mark.parametrize("state", ENDED)
    async def test_what_has_ended_stands_in_nobodys_way(
        self, open_unit_of_work: OpenUnitOfWork, state: IntentState
    ) -> None:
        """
        It is not open, and the next one may begin; it does not come back to life.
        """
        await kept(open_unit_of_work, an_account())
        await saved(open_unit_of_work, an_intent("int_1", state))
        async with open_unit_of_work() as work:
            first = an_intent()
            assert await work.open_intent(ADA, first.kind, first.subject) is None
        await saved(open_unit_of_work, an_intent("int_2"))

        risen = attrs.evolve(an_intent("int_1", S.SENT), version=1)
        with pytest.raises(ChangedElsewhere):
            await saved(open_unit_of_work, risen)

    @pytest.mark.parametrize(
        "other",
        [
            an_intent("int_2", user=BOB),
            an_intent("int_2", kind=IntentKind.UPDATE_CARD),
            an_intent("int_2", subject="prod_2"),
        ],
        ids=["user", "kind", "subject"],
    )
    async def test_what_is_about_something_else_may_be_open_too(
        self, open_unit_of_work: OpenUnitOfWork, other: Intent
    ) -> None:
        """
        Another user, another kind, another subject.
        """
        await kept(open_unit_of_work, an_account(), an_account(BOB))
        await saved(open_unit_of_work, an_intent(), other)

        async with open_unit_of_work() as work:
            found = await work.open_intent(other.user_id, other.kind, other.subject)
        assert found == attrs.evolve(other, version=1)
