"""Every order of polls, revocations and time: is a revoked token accepted?

A world is small and ends: so many polls of each process, so many revocations and ticks
of time. `Walk` takes each possible step, in each state that is reached, and checks
after each of them. Equal states are walked once and counted each time.
"""

import math
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import Any, Final

import attrs

from contracts.examples import a_token
from payments_core.revocations import (
    LEASE_MARGIN_S,
    LEASE_S,
    LeasedRevocations,
    RevocationAnswer,
    RevocationPoll,
    TokenState,
)
from payments_core.tokens import Token

# Two of them are a lease and its margin.
TICK_S: Final = (LEASE_S + LEASE_MARGIN_S) / 2
_ROUNDING: Final = 1e-9
_LONG_AGO: Final = -1e6


class Flaw(Enum):
    """The differences of an almost identical protocol."""

    NONE = "none"
    TRUST_FROM_END = "the lease begins with the answer"
    NAIVE_CURSOR = "positions are drawn without a lock"
    ACK_EARLY = "a poll says that it heard what it brings"
    NO_WAIT = "a revocation waits for nobody"
    POLL_LOCKS_NOTHING = "a poll does not lock the head"
    NO_HEARTBEAT = "a lease without a heartbeat"
    INCOMPLETE = "a lease after a page that is not the last"
    POSITION_ALONE = "what was heard is a position without a mark"
    SWAP_ANYWAY = "a full load takes the place of what is newer"


# Without a heartbeat there is no place for the returned marks.
_WITHOUT_MARKS: Final = {Flaw.POSITION_ALONE, Flaw.NO_HEARTBEAT}


class Accepted(Exception):  # noqa: N818  # the sentence that a test looks for
    """A token was accepted after its revocation returned; the steps that led there."""


class Stage(Enum):
    BEGUN = 0
    LOCKED = 1
    READ = 2
    COMMITTED = 3


@attrs.define
class Poll:
    poll: RevocationPoll
    stage: Stage = Stage.BEGUN
    answer: RevocationAnswer | None = None


@attrs.define
class Process:
    known: LeasedRevocations
    polls_left: int
    reloads_left: int = 0
    polls: list[Poll] = attrs.field(factory=list)

    def copied(self) -> "Process":
        known = LeasedRevocations(self.known._entries_max)
        copies = {}
        for it in (self.known._main, self.known._next):
            if it is not None:
                ids = {issuer: set(jtis) for issuer, jtis in it.ids.items()}
                copies[id(it)] = attrs.evolve(it, ids=ids, users=dict(it.users))
        known._main = copies[id(self.known._main)]
        known._next = copies.get(id(self.known._next))
        known._head, known._mark = self.known._head, self.known._mark
        known._trusted_until = self.known._trusted_until
        known._loaded_at = self.known._loaded_at
        polls = [
            Poll(
                attrs.evolve(it.poll, copy=copies.get(id(it.poll.copy), it.poll.copy)),
                it.stage,
                it.answer,
            )
            for it in self.polls
        ]
        return Process(known, self.polls_left, self.reloads_left, polls)

    @property
    def key(self) -> object:
        known = self.known
        return (
            _key_of(known._main),
            _key_of(known._next),
            known._mark,
            known._trusted_until,
            known._loaded_at == -math.inf,
            self.polls_left,
            self.reloads_left,
            tuple(
                (
                    it.poll.started,
                    it.poll.after,
                    it.poll.heard,
                    it.poll.mark,
                    it.poll.copy is known._main,
                    it.poll.copy is known._next,
                    it.stage,
                    it.answer and (*_facts(it.answer), tuple(it.answer.tokens)),
                )
                for it in self.polls
            ),
        )


def _facts(answer: RevocationAnswer) -> tuple[object, ...]:
    return answer.reached, answer.head, answer.mark, answer.is_known


def _key_of(copy: Any) -> object:
    if copy is None:
        return None
    return copy.cursor, frozenset(jti for jtis in copy.ids.values() for jti in jtis)


@attrs.define
class Revocation:
    token: Token
    position: int = 0
    committed_at: float | None = None
    returned: bool = False
    # Its commit was lost with the failed server: its token is valid again.
    lost: bool = False

    @property
    def key(self) -> object:
        return self.position, self.committed_at, self.returned, self.lost


@attrs.frozen
class Tables:
    """The committed state. `mark` is the head's; a heartbeat has all it was sent."""

    head: int
    mark: str
    rows: tuple[tuple[int, str], ...]
    heartbeats: tuple[tuple[str, tuple[int, frozenset[str]]], ...]


@attrs.define
class World:
    """`kept` tokens are revoked before it begins; a page has `page_length` of them.

    With a failover another server takes over, without the last commits: none, or one of
    them, or all. It takes longer than a lease.
    """

    processes: dict[str, Process]
    revocations: list[Revocation]
    ticks_left: int
    flaw: Flaw = Flaw.NONE
    in_flight_max: int = 1
    page_length: int = 100
    now: float = 0.0
    head: int = 0
    # Revocations with a position: without the lock they are committed later, in any
    # order.
    drawn: int = 0
    rows: tuple[tuple[int, str], ...] = ()
    mark: str = "m0"
    marks_count: int = 0
    heartbeats: dict[str, tuple[int, frozenset[str]]] = attrs.field(factory=dict)
    failovers_left: int = 0
    # After each commit, as long as a failover may come.
    history: tuple[Tables, ...] = ()
    shared: int = 0
    exclusive: bool = False

    @classmethod
    def of(  # noqa: PLR0913  # what a world is made of
        cls,
        *,
        polls: tuple[int, ...],
        revocations: int,
        ticks: int,
        kept: int = 0,
        reloads: int = 0,
        flaw: Flaw = Flaw.NONE,
        in_flight_max: int = 1,
        page_length: int = 100,
        failovers: int = 0,
    ) -> "World":
        return cls(
            {
                f"p{number}": Process(LeasedRevocations(), count, reloads)
                for number, count in enumerate(polls)
            },
            [Revocation(a_token(f"v{number}")) for number in range(revocations)],
            ticks,
            flaw,
            in_flight_max,
            page_length,
            head=kept,
            drawn=kept,
            rows=tuple((it + 1, f"kept{it}") for it in range(kept)),
            failovers_left=failovers,
        )._committed()

    def copied(self) -> "World":
        return attrs.evolve(
            self,
            processes={name: it.copied() for name, it in self.processes.items()},
            revocations=[attrs.evolve(it) for it in self.revocations],
            heartbeats=dict(self.heartbeats),
        )

    @property
    def key(self) -> object:
        return (
            tuple(it.key for it in self.processes.values()),
            tuple(it.key for it in self.revocations),
            self.ticks_left,
            self.head,
            self.drawn,
            self.rows,
            self.mark,
            tuple(sorted(self.heartbeats.items())),
            self.failovers_left,
            self.history,
            self.shared,
            self.exclusive,
        )

    def steps(self) -> Iterator[tuple[str, Callable[["World"], None]]]:
        """Return the possible next steps; each is run on a copy of this world."""
        if self.ticks_left:
            yield "tick", World.tick
        yield from self._failovers()
        for name, process in self.processes.items():
            if len(process.polls) < self.in_flight_max:
                if process.polls_left:
                    yield f"{name} begins", partial(World.begin, name=name)
                if process.reloads_left and process.known.is_leased(self.now):
                    yield f"{name} reloads", partial(World.reload, name=name)
            for number, poll in enumerate(process.polls):
                if poll.stage is Stage.BEGUN and self.exclusive and self._locks:
                    continue
                yield (
                    f"{name}.{number} after {poll.stage.name.lower()}",
                    partial(World.advance, name=name, number=number),
                )
        for number, revocation in enumerate(self.revocations):
            if self._may_go_on(revocation):
                yield f"v{number} goes on", partial(World.revoke, number=number)

    def _failovers(self) -> Iterator[tuple[str, Callable[["World"], None]]]:
        if self.failovers_left:
            for lost in range(len(self.history)):
                yield f"fails over, {lost} lost", partial(World.fail_over, lost=lost)

    @property
    def _locks(self) -> bool:
        return self.flaw not in {Flaw.NAIVE_CURSOR, Flaw.POLL_LOCKS_NOTHING}

    def _may_go_on(self, it: Revocation) -> bool:
        if it.returned or it.lost:
            return False
        if not it.position:
            is_free = not self.exclusive and not self.shared
            return is_free or self.flaw is Flaw.NAIVE_CURSOR
        if it.committed_at is None or self.flaw is Flaw.NO_WAIT:
            return True
        over = it.committed_at + LEASE_S + LEASE_MARGIN_S - _ROUNDING
        return self.now >= over or all(
            heard >= it.position for heard, _ in self.heartbeats.values()
        )

    def tick(self) -> None:
        self.ticks_left -= 1
        self.now += TICK_S

    def _committed(self) -> "World":
        if self.failovers_left:
            beats = tuple(sorted(self.heartbeats.items()))
            tables = Tables(self.head, self.mark, self.rows, beats)
            self.history = (*self.history, tables)
        return self

    def fail_over(self, lost: int) -> None:
        self.failovers_left -= 1
        self.now += 2 * TICK_S
        tables = self.history[len(self.history) - 1 - lost]
        self.history = () if not self.failovers_left else self.history
        self.head, self.mark, self.rows = tables.head, tables.mark, tables.rows
        self.drawn, self.heartbeats = tables.head, dict(tables.heartbeats)
        self.shared, self.exclusive = 0, False
        for process in self.processes.values():
            # An answer that was sent may still arrive.
            process.polls = [it for it in process.polls if it.stage is Stage.COMMITTED]
        for it in self.revocations:
            if it.committed_at is None:
                it.position = 0
            elif (it.position, it.token.jti) not in self.rows:
                it.lost = True

    def begin(self, name: str) -> None:
        process = self.processes[name]
        process.polls_left -= 1
        process.polls.append(Poll(process.known.begin(self.now)))

    def reload(self, name: str) -> None:
        process = self.processes[name]
        process.reloads_left -= 1
        # As if its last full load had been five minutes ago.
        process.known._loaded_at = _LONG_AGO
        poll = process.known.begin_reload(self.now)
        assert poll is not None
        process.polls.append(Poll(poll))

    def advance(self, name: str, number: int) -> None:
        process = self.processes[name]
        it = process.polls[number]
        match it.stage:
            case Stage.BEGUN:
                self.shared += self._locks
                it.stage = Stage.LOCKED
            case Stage.LOCKED:
                it.answer, it.stage = self._page(name, it.poll), Stage.READ
            case Stage.READ:
                self.shared -= self._locks
                it.stage = Stage.COMMITTED
                assert it.answer is not None
                is_early = self.flaw is Flaw.ACK_EARLY
                if self.flaw is not Flaw.NO_HEARTBEAT:
                    heard = it.answer.reached if is_early else it.poll.heard
                    _, marks = self.heartbeats.get(name, (0, frozenset[str]()))
                    told = frozenset((*marks, it.answer.mark or ""))
                    self.heartbeats[name] = heard if it.answer.is_known else 0, told
                self._committed()
            case Stage.COMMITTED:
                del process.polls[number]
                self._apply(process.known, it)

    def _page(self, name: str, poll: RevocationPoll) -> RevocationAnswer:
        _, marks = self.heartbeats.get(name, (0, frozenset[str]()))
        is_known = poll.heard == 0 or (
            poll.heard <= self.head
            and (poll.mark in {self.mark, *marks} or self.flaw in _WITHOUT_MARKS)
        )
        rows = self.rows if is_known else ()
        later = [row for row in rows if row[0] > poll.after][: self.page_length]
        is_last = len(later) < self.page_length
        reached = self.head if is_last else later[-1][0]
        tokens = [(a_token().issuer, jti) for _, jti in later]
        mark = None if self.flaw in _WITHOUT_MARKS else self.mark
        return RevocationAnswer(
            tokens=tokens,
            reached=reached,
            head=self.head,
            mark=mark,
            is_known=is_known,
        )

    def _apply(self, known: LeasedRevocations, it: Poll) -> None:
        poll, answer = it.poll, it.answer
        assert answer is not None
        if self.flaw is Flaw.TRUST_FROM_END:
            poll = attrs.evolve(poll, started=self.now)
        if self.flaw is Flaw.INCOMPLETE:
            answer = attrs.evolve(answer, head=answer.reached)
        if self.flaw is Flaw.SWAP_ANYWAY and poll.copy is known._next:
            known._main.cursor = 0
        known.apply(poll, answer)

    def revoke(self, number: int) -> None:
        it = self.revocations[number]
        locks = self.flaw is not Flaw.NAIVE_CURSOR
        if not it.position:
            self.drawn += 1
            it.position, self.exclusive = self.drawn, locks
        elif it.committed_at is None:
            row = (it.position, it.token.jti)
            self.rows = tuple(sorted((*self.rows, row)))
            self.head = max(self.head, it.position)
            self.marks_count += 1
            self.mark = f"m{self.marks_count}"
            it.committed_at, self.exclusive = self.now, False
            self._committed()
        else:
            it.returned = True

    def is_accepting_the_dead(self) -> bool:
        """Say whether a request that comes now with a revoked token is accepted."""
        return any(
            process.known.state_of(it.token, self.now) is TokenState.VALID
            for it in self.revocations
            if it.returned and not it.lost
            for process in self.processes.values()
        )

    def is_refusing_the_living(self) -> bool:
        """Say whether a token is refused of which no revocation is committed."""
        return any(
            process.known.state_of(it.token, self.now) is TokenState.REVOKED
            for it in self.revocations
            if it.committed_at is None
            for process in self.processes.values()
        )


@attrs.define
class Walk:
    """The number of schedules that were walked, and of their states."""

    schedules_count: int = 0
    # The number of states in which a valid token is accepted: else nothing is proven.
    accepting_count: int = 0
    _counts: dict[object, int] = attrs.field(factory=dict)

    def of(self, world: World) -> "Walk":
        """Walk through a world.

        Raises:
            Accepted: a revoked token was accepted, or a valid one refused.
        """
        self.schedules_count += self._walk(world, ())
        return self

    def _walk(self, world: World, trace: tuple[str, ...]) -> int:
        key = world.key
        if key in self._counts:
            return self._counts[key]
        if world.is_accepting_the_dead() or world.is_refusing_the_living():
            raise Accepted(", ".join(trace))
        self.accepting_count += any(
            process.known.is_leased(world.now) for process in world.processes.values()
        )
        count = 0
        for name, step in world.steps():
            following = world.copied()
            step(following)
            count += self._walk(following, (*trace, name))
        self._counts[key] = count = count or 1
        return count
