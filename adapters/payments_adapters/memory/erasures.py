"""Erasing users, in memory."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import attrs

from payments_adapters.emails import read_email
from payments_adapters.memory.ledger import MemoryDatabase
from payments_adapters.memory.tables import TOMBSTONES, Tables
from payments_core.account import PaymentAccount
from payments_core.by_hand import ActionByHand, ChangeByHand
from payments_core.erasure import SETTLED, Erasure, what_is_open
from payments_core.errors import InvalidValue
from payments_core.events import OPEN_STATES, EventKey, EventState, Outcome
from payments_core.identity import CustomerId, Email, UserId
from payments_core.linking import NOTHING_UNLINKED, KeyKind, LinkKeys, Unlinked


@attrs.frozen
class MemoryErasures:
    _database: MemoryDatabase

    async def is_erased(self, user: UserId | Email) -> bool:
        name = f"email {user.key}" if isinstance(user, Email) else f"user {user}"
        return TOMBSTONES.of(name) in self._database.tables.erased

    async def is_any(self) -> bool:
        return bool(self._database.tables.erased)

    async def left(self, before: datetime) -> Sequence[UserId]:
        found = self._database.tables.erasures
        return [pseudonym for pseudonym, (at, _) in found.items() if at < before]

    async def unfinished(self, user: UserId | Email) -> UserId | None:
        name = user.key if isinstance(user, Email) else user
        for pseudonym, (_, names) in self._database.tables.erasures.items():
            if name in names:
                return pseudonym
        return None

    async def open_without_owner(self, user_id: UserId) -> Unlinked:
        tables = self._database.tables
        account = tables.accounts.get(user_id)
        if account is None:
            return NOTHING_UNLINKED
        found = tables.carrying(user_id, _keys_of(tables, account))
        return Unlinked(
            tuple(it for it in found.payments if any(what_is_open([], [it], []))),
            tuple(it for it in found.subscriptions if any(what_is_open([it], [], []))),
        )

    async def begin(self, account: PaymentAccount, erasure: Erasure) -> bool:
        # A database never answers at once: other tasks run in between, here as well.
        await asyncio.sleep(0)
        tables = self._database.tables.copy()
        user = account.user_id
        kept = tables.accounts.get(user)
        if kept is None or kept.version != account.version:
            return False
        if tables.open_intents.get(user):
            return False
        keys = _keys_of(tables, account)
        carrying = tables.carrying(user, keys)
        payments = [*tables.payments_of([user]), *carrying.payments]
        owned = tables.subscriptions_of.get(user, frozenset())
        subscriptions = [tables.subscriptions[it] for it in owned]
        subscriptions += carrying.subscriptions
        if any(what_is_open(subscriptions, payments, [])):
            return False
        things: set[str] = {it.payment.id for it in payments}
        things |= {it.gateway_id for it in subscriptions}
        _, shared = _emails_of(tables, account)
        ends = {f"email {it}": until for it, until in shared.items()}
        for name in {*keys.names(), *ends}:
            tables.bury(TOMBSTONES.of(name), ends.get(name) or erasure.at)
        tables.begin_erasure(
            erasure.pseudonym,
            erasure.at,
            frozenset({user, *keys.customer_ids, *keys.email_keys, *things}),
        )
        _pseudonymise(tables, kept, erasure.pseudonym, carrying)
        tables.rename_in_logs(user, erasure.pseudonym, keys.customer_ids, things)
        _forget(tables, user, keys, frozenset(things))
        change = ChangeByHand(
            action=ActionByHand.ERASE_ACCOUNT,
            subject=erasure.pseudonym,
            user_id=erasure.pseudonym,
            decided=erasure.decided,
        )
        tables.add_by_hand(erasure.at, [change])
        for listed in self._database.listed_customers.values():
            listed.difference_update(keys.customer_ids)
        for it in list(self._database.deliveries.values()):
            if it.user_id == user:
                del self._database.deliveries[it.key]
        self._database.tables = tables
        return True

    async def finish(self, pseudonym: UserId) -> int:
        await asyncio.sleep(0)
        tables, found = self._database.tables.copy(), set[EventKey]()
        _, names = tables.erasures.get(pseudonym, (None, frozenset[str]()))
        for row in list(tables.events.values()):
            event = row.event
            text = event.body.decode(errors="replace")
            # By then an e-mail may belong to another user.
            theirs = {
                it
                for it in names
                if "@" not in it
                or row.received_at
                <= tables.erased[TOMBSTONES.of(f"email {it}")] + SETTLED
            }
            if event.object_id not in names and theirs.isdisjoint(_texts_of(text)):
                continue
            found.add(event.key)
            state = row.outcome.state
            if state in OPEN_STATES:
                state = EventState.IGNORED
            reason = None if state is EventState.APPLIED else "erased"
            outcome = Outcome(state, reason)
            bare = attrs.evolve(
                event, object_id=None, customer_id=None, report=None, body=b""
            )
            tables.put_event(
                attrs.evolve(row, event=bare, outcome=outcome, has_body=False)
            )
        tables.bare_by_hand(found)
        tables.end_erasure(pseudonym)
        self._database.tables = tables
        return len(found)


def _texts_of(body: str) -> Iterator[str]:
    """Yield each text in quotes; for an e-mail its key, too."""
    for literal in re.findall(r'"(?:[^"\\]|\\.)*"', body):
        try:
            text = json.loads(literal)
        except ValueError:
            continue
        yield text
        with suppress(InvalidValue):
            yield read_email(text).key


def _emails_of(
    tables: Tables, account: PaymentAccount
) -> tuple[frozenset[str], Mapping[str, datetime | None]]:
    """Return the e-mails that no other user had, and when the others were given up."""
    user = account.user_id
    former = [it for it in tables.former_keys if it.kind is KeyKind.EMAIL]
    others = {it.key for it in former if it.user_id != user}
    others |= {it for it, whose in tables.emails.items() if whose != user}
    ends: dict[str, datetime | None] = {}
    for it in sorted(former, key=lambda it: it.until):
        if it.user_id == user:
            ends[it.key] = it.until
    ends[account.email.key] = None
    shared = {it: until for it, until in ends.items() if it in others}
    return frozenset(ends.keys() - others), shared


def _keys_of(tables: Tables, account: PaymentAccount) -> LinkKeys:
    """Return a user's link keys, present and former, without those now another's."""
    user = account.user_id
    former = [it for it in tables.former_keys if it.user_id == user]
    customers = {it.key for it in former if it.kind is KeyKind.CUSTOMER}
    customers |= {
        it.payment.customer_id or ""
        for it in tables.payments_of([user])
        if not it.linked_by_hand
    }
    customers |= {
        tables.subscriptions[it].report.customer_id
        for it in tables.subscriptions_of.get(user, ())
        if not tables.subscriptions[it].linked_by_hand
    }
    customers |= {account.customer_id or ""}
    others = {it for it, whose in tables.customers.items() if whose != user}
    emails, _ = _emails_of(tables, account)
    return LinkKeys(
        frozenset({user}),
        frozenset(map(CustomerId, customers - {""} - others)),
        emails,
    )


def _pseudonymise(
    tables: Tables,
    account: PaymentAccount,
    pseudonym: UserId,
    carrying: Unlinked,
) -> None:
    user = account.user_id
    address = f"{pseudonym}@erased.invalid"
    after = attrs.evolve(
        account,
        user_id=pseudonym,
        email=Email(address, address),
        email_since=None,
        customer_id=None,
        card=None,
        version=account.version + 1,
    )
    nobody: Any = {"customer_id": None, "metadata_user_id": None, "email": None}
    for record in (*tables.payments_of([user]), *carrying.payments):
        bare = attrs.evolve(record.payment, **nobody)
        tables.put_payment(
            attrs.evolve(
                record, user_id=pseudonym, payment=bare, version=record.version + 1
            )
        )
    owned = [tables.subscriptions[it] for it in tables.subscriptions_of.get(user, ())]
    for it in (*owned, *carrying.subscriptions):
        report = attrs.evolve(
            it.report,
            customer_id=CustomerId(pseudonym),
            metadata_user_id=None,
            pinned_card=None,
            intent_id=None,
        )
        tables.put_subscription(
            attrs.evolve(
                it,
                user_id=pseudonym,
                report=report,
                version=it.version + 1,
            )
        )
    tables.drop_account(user)
    tables.put_account(after)


def _forget(
    tables: Tables, user: UserId, keys: LinkKeys, things: frozenset[str]
) -> None:
    for key in tables.events_of.get(user, frozenset()):
        tables.put_event(attrs.evolve(tables.events[key], user_id=None))
    tables.former_keys = tuple(it for it in tables.former_keys if it.user_id != user)
    for intent in [it for it in tables.intents.values() if it.user_id == user]:
        tables.purge_intent(intent.id)
    subjects = {*keys.customer_ids, *things}
    for job in list(tables.jobs.values()):
        if job.user_id == user or job.key.subject in subjects:
            tables.purge_job(job.key)
    for name in keys.names():
        tables.drop_link_version(name)
