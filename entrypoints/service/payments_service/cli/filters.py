"""Which events, jobs or changes by hand: the same options of lists and of batches."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import click
from typing_extensions import override

from payments_adapters.stripe import FOLLOWED, UNKNOWN_TYPE, why_ignored
from payments_core.by_hand import REASON_LENGTH_MAX
from payments_core.errors import InvalidValue

# What Stripe calls a type; a later release may know more of them.
_TYPE_LENGTH_MAX: Final = 255


class _Moment(click.ParamType[datetime]):
    """A day or a moment, as ISO 8601; without an offset in UTC."""

    name = "when"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
            return (
                moment.replace(tzinfo=UTC)
                if moment.tzinfo is None
                else moment.astimezone(UTC)
            )
        except (ValueError, OverflowError):
            self.fail(
                "no day and no moment: 2026-11-27, or 2026-11-27T08:30:00Z", param, ctx
            )


class _EventType(click.ParamType[str]):
    name = "type"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text = str(value)
        if not (0 < len(text) <= _TYPE_LENGTH_MAX and text.isprintable()):
            self.fail("no type of an event: charge.succeeded, say", param, ctx)
        if text not in FOLLOWED and why_ignored(text) == UNKNOWN_TYPE:
            # A later release may have kept it.
            click.echo(f"--type {text}: not a type that this release knows", err=True)
        return text


class _Seconds(click.FloatRange):
    """Seconds of a range, to which NaN belongs as little as to any."""

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail("no number", param, ctx)
        return seconds


Option = Callable[[Callable[..., Any]], Callable[..., Any]]
MOMENT: Final = _Moment()
SETTLE: Final = _Seconds(0, 600)
JSON: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
TYPE: Final = click.option(
    "--type", "type_", type=_EventType(), help="Only those of this type."
)
DRY_RUN: Final = click.option("--dry-run", is_flag=True, help="Say what would be done.")
REASON_MAYBE: Final = click.option(
    "--reason", help=f"Why: 1 to {REASON_LENGTH_MAX} characters, kept for good."
)
REASON: Final = click.option(
    "--reason",
    required=True,
    help=f"Why: 1 to {REASON_LENGTH_MAX} characters, kept for good.",
)
BATCH_LIMIT: Final = click.option(
    "--limit", type=click.IntRange(1), help="How many at most; all by default."
)
# All of these states, by one word.
OPEN: Final = "open"
CURSOR: Final = click.option("--cursor", help="Where the last page ended.")


def limit(most: int) -> Option:
    """Return the option that says how many a list has at most."""
    return click.option(
        "--limit",
        default=100,
        show_default=True,
        type=click.IntRange(1, most),
        help="How many at most.",
    )


def since(what: str) -> Option:
    """Return the option that says since when; `what` happened then."""
    return click.option(
        "--since",
        type=MOMENT,
        metavar="WHEN",
        help=f"Only what was {what} since this day or moment (ISO 8601, UTC).",
    )


def not_in_the_future(moment: datetime | None, now: datetime) -> None:
    """Refuse a `--since` that is still to come.

    Raises:
        InvalidValue: it is.
    """
    if moment is not None and moment > now:
        raise InvalidValue("since", "in the future")


def one_or_many(id_: str | None, *filters: object, names: str) -> None:
    """Refuse both an id and a filter, and neither.

    Raises:
        click.UsageError: it is one of the two.
    """
    filtered = any(it not in {None, False} for it in filters)
    if (id_ is not None) is filtered:
        said = "not both" if filtered else "one of them"
        raise click.UsageError(f"give an id, or a filter ({names}): {said}")
