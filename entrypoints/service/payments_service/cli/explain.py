"""Why a user has paid or not: the verdict, its cause, the facts, possible actions."""

import json
from collections.abc import Iterator
from datetime import datetime

import click
import msgspec

from payments_core.use_cases import ExplainUser
from payments_service.cli import environment, filters
from payments_service.presentation.arguments import user_named
from payments_service.presentation.explanation import (
    ExplanationOut,
    FactOut,
    RecordedOut,
)
from payments_service.presentation.moments import moment_text

_INDENT = "  "
# As wide as a time in whole seconds.
_NO_MOMENT = "-".ljust(len("2026-01-01T00:00:00Z"))


@click.command()
@click.argument("user", help="The user's id or e-mail.")
@click.option(
    "--at",
    type=filters.MOMENT,
    metavar="WHEN",
    help="What was known at this time (ISO 8601, UTC); a day means its beginning.",
)
@filters.JSON
def explain(*, user: str, at: datetime | None, as_json: bool) -> None:
    """Explain why a user has paid or not.

    It prints the verdict and its first cause, the facts with their ids, what happens
    next without any action, and what a person can do. With --at it prints what was
    logged until then; there is nothing before the first log row of the user.
    """

    async def work() -> ExplanationOut:
        named, caller = user_named(user), environment.operator()
        async with environment.opened() as container:
            it = container[ExplainUser]
            if at is None:
                return ExplanationOut.of(await it(named, caller=caller))
            return ExplanationOut.past(await it.at(named, at, caller=caller))

    found = environment.run(work())
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
        return
    for line in _lines(found):
        click.echo(line)


def _lines(found: ExplanationOut) -> Iterator[str]:
    """Return the explanation as text; `click.echo` drops colour off a terminal."""
    status = click.style(
        found.payment_status, fg="green" if found.entitled else "red", bold=True
    )
    yield f"{click.style(found.user_id, bold=True)} at {_moment(found.at)}"
    yield f"status: {status}"
    yield f"paid or free until: {_moment(found.payment_expire_date)}"
    yield f"access: {'yes' if found.entitled else 'no'}, {_until(found)}"
    if found.recorded is not None:
        yield from _recorded(found.recorded)
        return
    if found.cause is not None:
        word = found.cause.failure_code
        yield (
            f"why: {click.style(found.cause.text, bold=True)}"
            f"{f' ({word})' if word else ''}"
        )
        if found.cause.objects:
            yield f"{_INDENT}{' '.join(found.cause.objects)}"
    if found.access is not None:
        yield f"{_INDENT}{found.access.text}"
    yield ""
    yield "facts:"
    for fact in found.chain:
        yield f"{_INDENT}{_moment(fact.at)}  {_told(fact)}"
    yield f"{_INDENT}{click.style(_moment(found.at), bold=True)}  now"
    for step in found.next:
        ids = f"  {' '.join(step.objects)}" if step.objects else ""
        yield click.style(f"{_INDENT}{_moment(step.at)}  {step.text}{ids}", dim=True)
    if found.actions:
        yield ""
        yield "what a person can do:"
    for action in found.actions:
        how = f": {action.how}" if action.how else ""
        yield f"{_INDENT}{action.who}: {action.text}{how}"


def _until(found: ExplanationOut) -> str:
    until = found.entitled_until
    if until is None:
        return "with no date"
    return f"{'until' if found.entitled else 'since'} {_moment(until)}"


def _recorded(row: RecordedOut) -> Iterator[str]:
    yield f"recorded: {_moment(row.at)}, version {row.version} of the account"
    yield f"changed by: {row.changed_by}"
    yield f"reported by: {' '.join(row.sources) or '-'}"
    yield f"the status is based on: {row.status_by or '-'}"
    yield f"the date is based on: {row.date_by or '-'}"


def _told(fact: FactOut) -> str:
    words = [fact.text]
    if fact.amount is not None:
        words.append(f"{fact.amount.amount_minor} {fact.amount.currency} (minor units)")
    if fact.failure_code is not None:
        words.append(f"({fact.failure_code})")
    if fact.detail is not None:
        words.append(fact.detail)
    if fact.until is not None:
        words.append(f"until {_moment(fact.until)}")
    words.extend(fact.objects)
    if fact.events:
        words.append(f"[{' '.join(fact.events)}]")
    return " ".join(words)


def _moment(at: datetime | None) -> str:
    return _NO_MOMENT if at is None else moment_text(at.replace(microsecond=0))
