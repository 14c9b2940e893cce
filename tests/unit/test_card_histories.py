"""Cards that change here and elsewhere: in whatever order, the right card is shown."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.examples import ADA, CUS_1, NOON, a_report, an_account, an_intent
from payments_adapters.memory import MemoryWorkQueue
from payments_core.card import Card
from payments_core.decide import customer_job
from payments_core.events import (
    CardChange,
    CardReported,
    GatewayEvent,
    Report,
    SyncNeeded,
)
from payments_core.facts import (
    CardObserved,
    Fact,
    SourcedFacts,
    SubscriptionObserved,
    facts_of,
)
from payments_core.intent import IntentKind, IntentState
from payments_core.job import Job
from payments_core.job_key import JobKind
from payments_core.subscription import (
    SubscriptionReport,
    SubscriptionStatus,
    newest_own_card,
)
from support.deciding import Kept, finished
from support.profiles import examples

CARDS: Final = ("pm_0", "pm_1", "pm_2")
SUBS: Final = ("sub_0", "sub_1")
SETTLES_MAX: Final = 50
BEGIN: Final = NOON.replace(microsecond=0)
_DAY: Final = timedelta(days=1)


@attrs.define
class Gateway:
    """The true state, and the events of what happened."""

    now: datetime = BEGIN
    years: dict[str, int] = attrs.field(factory=dict)
    default: str | None = None
    pinned: dict[str, str | None] = attrs.field(factory=dict)
    ended: set[str] = attrs.field(factory=set)
    events: list[GatewayEvent] = attrs.field(factory=list)

    def card(self, id_: str) -> Card:
        year = 2030 + self.years.get(id_, 0)
        return Card(id=id_, brand="visa", last4="4242", exp_month=1, exp_year=year)

    def report(self, sub: str) -> SubscriptionReport:
        is_over = sub in self.ended
        status = SubscriptionStatus.CANCELED if is_over else SubscriptionStatus.ACTIVE
        number = timedelta(days=SUBS.index(sub))
        return attrs.evolve(
            a_report(sub, status, at=NOON - number, ended_at=NOON if is_over else None),
            pinned_card=self.pinned.get(sub),
        )

    @property
    def paying(self) -> Card | None:
        """Return the card that must be shown."""
        id_ = newest_own_card(self.report(it) for it in self.pinned) or self.default
        return self.card(id_) if id_ else None

    def tell(self, report: Report, key: str | None) -> None:
        number = len(self.events)
        self.events.append(
            GatewayEvent(
                id=f"evt_{number}",
                type="any",
                created_at=self.now,
                livemode=False,
                report=report,
                request_key=key,
                body=b"{}",
            )
        )

    def tell_card(
        self, change: CardChange, id_: str | None, key: str | None = None
    ) -> None:
        has_card = change in {CardChange.ATTACHED, CardChange.CHANGED}
        self.tell(
            CardReported(
                customer_id=CUS_1,
                change=change,
                card_id=id_,
                card=self.card(id_) if id_ and has_card else None,
                reason=change,
            ),
            key,
        )

    # What happens

    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def make_default(self, id_: str | None, key: str | None = None) -> None:
        if self.default != id_:
            self.default = id_
            self.tell_card(CardChange.DEFAULT, id_, key)

    def pin(self, sub: str, id_: str | None, key: str | None = None) -> None:
        if sub not in self.ended and self.pinned.get(sub, "") != id_:
            self.pinned[sub] = id_
            self.tell(self.report(sub), key)

    def end(self, sub: str) -> None:
        if sub in self.pinned and sub not in self.ended:
            self.ended.add(sub)
            self.tell(self.report(sub), None)

    def detach(self, id_: str) -> None:
        """Detach a card; it returns as another card of this name."""
        if self.default == id_:
            self.make_default(None)
        for sub in [sub for sub, card in self.pinned.items() if card == id_]:
            self.pin(sub, None)
        self.tell_card(CardChange.DETACHED, id_)

    def change(self, id_: str) -> None:
        self.years[id_] = self.years.get(id_, 0) + 1
        self.tell_card(CardChange.CHANGED, id_)


@attrs.define
class Update:
    """A card update of ours, in progress."""

    intent: str
    card: str
    sequence: int
    steps: int = 0
    attached: Card | None = None


@attrs.define
class Story:
    kept: Kept = attrs.field(factory=lambda: Kept.of(an_account(customer=CUS_1)))
    gateway: Gateway = attrs.field(factory=Gateway)
    delivered: set[int] = attrs.field(factory=set)
    fetches: list[SourcedFacts] = attrs.field(factory=list)
    update: Update | None = None
    updates: int = 0
    asked: int = 0

    @property
    def shown(self) -> Card | None:
        return self.kept.database.tables.accounts[ADA].card

    def deliver(self, number: int) -> None:
        """Deliver an event, counted from the last one, possibly again."""
        if self.gateway.events:
            number = -1 - number % len(self.gateway.events)
            number += len(self.gateway.events)
            self.delivered.add(number)
            self.kept.record(facts_of(self.gateway.events[number]))

    def fetch(self) -> None:
        """Do what jobs do, up to the answer; its result is not recorded yet."""
        queue = MemoryWorkQueue(self.kept.database)
        for claimed in finished(queue.claim(now=NOON, limit=99)):
            if isinstance(claimed.work, Job):
                facts = self.answers(claimed.work, claimed.sequence)
                self.fetches.append(SourcedFacts(facts=facts, job=claimed.work))

    def answers(self, job: Job, sequence: int) -> tuple[Fact, ...]:
        if job.key.kind is JobKind.SUBSCRIPTION:
            report = self.gateway.report(job.key.subject)
            at = self.gateway.now
            return (SubscriptionObserved(report=report, at=at, sequence=sequence),)
        self.asked += 1
        card = self.gateway.paying
        return (CardObserved(customer_id=CUS_1, card=card, sequence=sequence),)

    def record(self, number: int) -> None:
        if self.fetches:
            self.kept.record(self.fetches.pop(number % len(self.fetches)))

    # A card update

    def go_on(self, number: int) -> None:
        """Begin an update, or take its next step."""
        if self.update is None:
            self.updates += 1
            intent = an_intent(
                f"int-{self.updates}", IntentState.SENT, kind=IntentKind.UPDATE_CARD
            )
            # Claimed by whichever process runs it.
            leased = attrs.evolve(intent, lease=intent.lease.claimed(NOON, _DAY))
            self.kept.database.tables.put_intent(attrs.evolve(leased, version=1))
            sequence = self.kept.database.next_sequence()
            card = CARDS[number % len(CARDS)]
            self.update = Update(f"int-{self.updates}", card, sequence)
            return
        update, gateway = self.update, self.gateway
        update.steps += 1
        match update.steps:
            case 1:
                key = f"{update.intent}.attach.1"
                update.attached = gateway.card(update.card)
                gateway.tell_card(CardChange.ATTACHED, update.card, key)
            case 2:
                gateway.make_default(update.card, f"{update.intent}.default.1")
            case 3:
                for sub in gateway.pinned:
                    key = f"{update.intent}.pin-{sub}.1"
                    gateway.pin(sub, update.card, key)
            case _:
                self.end_update(fails=number % 3 == 0)

    def end_update(self, *, fails: bool) -> None:
        """Record the result of an update; a failed update has changed the default."""
        update, self.update = self.update, None
        assert update is not None
        tables = self.kept.database.tables
        [intent] = [it for it in tables.intents.values() if it.id == update.intent]
        facts: tuple[Fact, ...] = (
            CardObserved(
                customer_id=CUS_1,
                card=update.attached,
                sequence=update.sequence,
            ),
        )
        if fails:
            facts = (SyncNeeded(customer_job(CUS_1), "it failed"),)
        state = IntentState.REFUSED if fails else IntentState.SUCCEEDED
        ended = attrs.evolve(intent, state=state)
        self.kept.record(SourcedFacts(facts=facts, intent=ended))

    # The end

    def settle(self, order: Sequence[int]) -> None:
        """Deliver all events, end what was begun, do all jobs."""
        while self.update is not None:
            self.go_on(1)
        left = set(range(len(self.gateway.events))) - self.delivered
        for number in sorted(left, key=lambda it: (order[it % len(order)], it)):
            self.deliver(len(self.gateway.events) - 1 - number)
        for _ in range(SETTLES_MAX):
            while self.fetches:
                self.record(0)
            self.fetch()
            if not self.fetches:
                return
        raise AssertionError("the worker finds no end")


Act = Callable[[Story, int, str, str], None]
ACTS: Final[Mapping[str, Act]] = {
    "default": lambda story, _, card, __: story.gateway.make_default(card),
    "no default": lambda story, *_: story.gateway.make_default(None),
    "pin": lambda story, _, card, sub: story.gateway.pin(sub, card),
    "unpin": lambda story, _, __, sub: story.gateway.pin(sub, None),
    "end": lambda story, _, __, sub: story.gateway.end(sub),
    "detach": lambda story, _, card, __: story.gateway.detach(card),
    "change": lambda story, _, card, __: story.gateway.change(card),
    "wait": lambda story, number, _, __: story.gateway.wait(number),
    "update": lambda story, number, _, __: story.go_on(number),
    "deliver": lambda story, number, _, __: story.deliver(number),
    "fetch": lambda story, *_: story.fetch(),
    "record": lambda story, number, _, __: story.record(number),
}
plots = st.lists(
    st.tuples(
        # Most acts deliver an event.
        st.sampled_from([*sorted(ACTS), *(["deliver", "fetch", "record"] * 3)]),
        st.integers(0, 5),
        st.integers(0, 1),
    ),
    max_size=30,
)


def heard(*acts: tuple[str, int, int]) -> list[tuple[str, int, int]]:
    """Return acts that deliver each event, and fetch its object, before the next."""
    told = [("deliver", 0, 0), *([("fetch", 0, 0), ("record", 0, 0)] * 2)]
    return [step for act in acts for step in (act, *told)]


# What is fetched is older than an event that says nothing new: the default changed back
# and forth meanwhile, or it was taken back, and then the subscription's card changed.
TO_AND_FRO: Final = [
    *heard(("default", 0, 0)),
    *[("default", 1, 0), ("deliver", 0, 0), ("fetch", 0, 0)],
    *[("default", 0, 0), ("deliver", 0, 0), ("record", 0, 0)],
]
PINNED_MEANWHILE: Final = [
    *heard(("pin", 1, 0), ("default", 2, 0)),
    *[("no default", 0, 0), ("deliver", 0, 0), ("fetch", 0, 0)],
    *[("wait", 5, 0), ("pin", 0, 0), ("deliver", 0, 0), ("record", 0, 0)],
]

# An answer from before an update of ours has a number that was drawn after the
# update's.
UPDATED_MEANWHILE: Final = [
    *heard(("default", 0, 0)),
    *[("update", 1, 0), ("change", 0, 0), ("deliver", 0, 0), ("fetch", 0, 0)],
    *[("update", 1, 0)] * 4,
    ("record", 0, 0),
]
# What was learned before an update of ours ended may be newer than the update.
CHANGED_MEANWHILE: Final = [
    *heard(("default", 0, 0)),
    *[("update", 1, 0)] * 3,
    *heard(("default", 2, 0)),
    *[("update", 1, 0)] * 2,
]


# Only its end was received after it ended: the card was fetched while it paid.
ENDED_UNKNOWN: Final = [
    *[("pin", 0, 0), ("default", 1, 0), ("deliver", 0, 0), ("fetch", 0, 0)],
    ("end", 0, 0),
]

# It had a card of its own only until it was known: the card was fetched meanwhile.
UNPINNED_UNKNOWN: Final = [
    *[("default", 0, 0), ("deliver", 0, 0), ("pin", 1, 0), ("fetch", 0, 0)],
    ("unpin", 0, 0),
]
# It was known without a card, and the card it had meanwhile is learned of after it lost
# it.
PINNED_UNHEARD: Final = [
    *heard(("unpin", 0, 0), ("default", 0, 0)),
    *[("no default", 0, 0), ("deliver", 0, 0), ("pin", 1, 0), ("fetch", 0, 0)],
    *[("record", 0, 0), ("wait", 5, 0), ("unpin", 0, 0), ("deliver", 0, 0)],
]


@settings(max_examples=examples(750, proven=20_000))
@given(plots, st.permutations(range(7)))
@example(TO_AND_FRO, [*range(7)])
@example(PINNED_MEANWHILE, [*range(7)])
@example(UPDATED_MEANWHILE, [*range(7)])
@example(CHANGED_MEANWHILE, [*range(7)])
@example(ENDED_UNKNOWN, [*range(7)])
@example(UNPINNED_UNKNOWN, [*range(7)])
@example(PINNED_UNHEARD, [*range(7)])
def test_p01_p26_the_card_that_pays_is_shown_in_the_end(
    plot: list[tuple[str, int, int]], order: list[int]
) -> None:
    """
    Changed here and elsewhere, with events in any order, twice and late, and with
    answers that arrive long after they were true.
    """
    story = Story()
    for kind, number, sub in plot:
        ACTS[kind](story, number, CARDS[number % len(CARDS)], SUBS[sub])
    story.settle(order)

    assert story.shown == story.gateway.paying
