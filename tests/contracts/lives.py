"""The life of one subscription at a model of a gateway, and what we learn of it.

The gateway's clock shows whole seconds, and several changes may fall into one. Each
change makes an event; events arrive late, twice and in any order. A fetch shows the
state at the time of its answer; its sequence number was drawn before, and its answer
may be late.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import attrs
from hypothesis import strategies as st

from contracts.examples import a_report
from payments_core.subscription import (
    SUBSCRIPTION_STEPS,
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)
from payments_core.subscription_merge import MergeResult, Observation, merge_observation

S: Final = SubscriptionStatus
BIRTH: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
BORN: Final = (S.INCOMPLETE, S.TRIALING, S.ACTIVE)
# Most changes are at most a second apart: that is where rules go wrong.
GAPS: Final = (0, 0, 0, 1, 1, 2, 3, 60)

_T = TypeVar("_T")
Choose = Callable[[Sequence[_T]], _T]
Rule = Callable[[Subscription | None, Observation], MergeResult]


@attrs.frozen
class Change:
    """The state from a second on; no two changes leave the same report."""

    second: int
    report: SubscriptionReport


def a_life(
    *changes: tuple[int, SubscriptionStatus], id_: str = "sub_1"
) -> list[Change]:
    """Return a life in which these statuses were reached at these seconds."""
    return [
        Change(second, _report(id_, number, second, status))
        for number, (second, status) in enumerate(changes)
    ]


def _report(
    id_: str, number: int, second: int, status: SubscriptionStatus
) -> SubscriptionReport:
    ended_at = None if SUBSCRIPTION_STEPS[status] else BIRTH + second * SECOND
    report = a_report(id_, status, at=BIRTH, ended_at=ended_at)
    return attrs.evolve(report, quantity=number + 1)


def walk(
    status: SubscriptionStatus,
    length: int,
    step: Callable[[Sequence[SubscriptionStatus]], SubscriptionStatus],
    gap: Callable[[Sequence[int]], int],
) -> list[Change]:
    """Walk along the table, or keep the status: then a price changes."""
    second, changes = 0, [(0, status)]
    while SUBSCRIPTION_STEPS[status] and len(changes) < length:
        status = step([status, *sorted(SUBSCRIPTION_STEPS[status])])
        second += gap(GAPS)
        changes.append((second, status))
    return a_life(*changes)


@st.composite
def lives(draw: st.DrawFn) -> list[Change]:
    return walk(
        draw(st.sampled_from(BORN)),
        draw(st.integers(1, 7)),
        lambda statuses: draw(st.sampled_from(statuses)),
        lambda gaps: draw(st.sampled_from(gaps)),
    )


@attrs.define
class Story:
    """A life as it happens, and what a rule makes of the reports of it."""

    life: Sequence[Change]
    rule: Rule = merge_observation
    happened: int = 0
    second: int = 0
    known: Subscription | None = None
    delivered: set[int] = attrs.field(factory=set)
    wished: bool = False
    begun: list[int] = attrs.field(factory=list)
    answers: list[Observation] = attrs.field(factory=list)
    tickets_count: int = 0
    looks_count: int = 0
    deliveries_count: int = 0

    @property
    def truth(self) -> SubscriptionReport:
        return self.life[-1].report

    @property
    def told_right(self) -> bool:
        return self.known is not None and self.known.report == self.truth

    # What the gateway does

    def happen(self) -> None:
        if self.happened < len(self.life):
            self.second = max(self.second, self.life[self.happened].second)
            self.happened += 1

    def tick(self) -> None:
        """Let a second pass, unless something must happen in it first."""
        ahead = self.life[self.happened :]
        if not ahead or ahead[0].second > self.second:
            self.second += 1

    def read(self, place: int, skew: int = 0) -> None:
        """Answer a fetch that was begun; the answer's clock may be slightly wrong."""
        if self.happened and self.begun:
            report = self.life[self.happened - 1].report
            sequence = self.begun.pop(place % len(self.begun))
            at = BIRTH + (self.second + skew) * SECOND
            self.answers.append(
                Observation(report=report, at=at, sequence=sequence, fetched=True)
            )

    # What we do

    def deliver(self, number: int) -> None:
        if self.happened:
            number %= self.happened
            self.delivered.add(number)
            self.deliveries_count += 1
            change = self.life[number]
            at = BIRTH + change.second * SECOND
            self._post(
                Observation(report=change.report, at=at, sequence=self._ticket())
            )

    def look(self) -> None:
        """Begin the fetch that was requested: draw its sequence number."""
        if self.wished:
            self.wished = False
            self.looks_count += 1
            self.begun.append(self._ticket())

    def answer(self, place: int) -> None:
        if self.answers:
            self._post(self.answers.pop(place % len(self.answers)))

    def settle(self, order: Sequence[int] = ()) -> None:
        """Let everything happen, deliver every event, and answer every fetch.

        The answers arrive in reverse: what was requested first is answered last.
        """
        while self.happened < len(self.life):
            self.happen()
        for number in (*order, *range(len(self.life))):
            if number < len(self.life) and number not in self.delivered:
                self.deliver(number)
        while self.wished or self.begun or self.answers:
            self.look()
            while self.begun:
                self.read(0)
            self.answer(-1)

    def _ticket(self) -> int:
        self.tickets_count += 1
        return self.tickets_count

    def _post(self, observation: Observation) -> None:
        verdict = self.rule(self.known, observation)
        self.known = verdict.subscription
        self.wished = self.wished or verdict.sync_reason is not None


Step = tuple[str, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["happen", "tick", "deliver", "deliver", "look", "read", "answer"]
        ),
        st.integers(0, 6),
    ),
    max_size=40,
)


def play(story: Story, step: Step) -> None:
    """Take one step of a story; an impossible step is skipped."""
    name, number = step
    match name:
        case "happen":
            story.happen()
        case "tick":
            story.tick()
        case "deliver":
            story.deliver(number)
        case "look":
            story.look()
        case "read":
            story.read(number, skew=number % 3 - 1)
        case _:
            story.answer(number)


def told(
    life: Sequence[Change],
    order: Sequence[int],
    *,
    late: bool = False,
    delay: int = 0,
    rule: Rule = merge_observation,
) -> Story:
    """Deliver a life's events in an order, and fetch whenever the rule requests it.

    Events arrive as early as they can in that order, or with `late` when all is over.
    An answer is read at once, and arrives `delay` deliveries later.
    """
    story = Story(life, rule)
    for number in order:
        while story.happened < (len(life) if late else number + 1):
            story.happen()
        story.deliver(number)
        story.look()
        story.read(0)
        if len(story.answers) > delay:
            story.answer(0)
    story.settle()
    return story
