"""Options that lists and batches of events, jobs and changes by hand share."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import click
from typing_extensions import override

from payments_adapters.stripe import FOLLOWED, UNKNOWN_TYPE, why_ignored
from payments_core.by_hand import REASON_LENGTH_MAX
from payments_core.errors import InvalidValue

# The limit of a type's name; a later release may know more types.
_TYPE_LENGTH_MAX: Final = 255


class _Moment(click.ParamType[datetime]):
    """A day or a time, in ISO 8601; without an offset it is UTC."""

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
                "not a day or a time such as 2026-11-27 or 2026-11-27T08:30:00Z",
                param,
                ctx,
            )


class _EventType(click.ParamType[str]):
    name = "type"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text = str(value)
        if not (0 < len(text) <= _TYPE_LENGTH_MAX and text.isprintable()):
            self.fail("not an event type such as charge.succeeded", param, ctx)
        if text not in FOLLOWED and why_ignored(text) == UNKNOWN_TYPE:
            # Events of this type may have been stored by a later release.
            click.echo(f"--type {text}: not a type that this release knows", err=True)
        return text


class _Seconds(click.FloatRange):
    """A number of seconds in a range; NaN is refused."""

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail("not a number", param, ctx)
        return seconds


Option = Callable[[Callable[..., Any]], Callable[..., Any]]
MOMENT: Final = _Moment()
SETTLE: Final = _Seconds(0, 600)
JSON: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
TYPE: Final = click.option(
    "--type", "type_", type=_EventType(), help="Only those of this type."
)
DRY_RUN: Final = click.option(
    "--dry-run", is_flag=True, help="Print what would be done."
)
REASON_MAYBE: Final = click.option(
    "--reason", help=f"Why: 1 to {REASON_LENGTH_MAX} characters, stored permanently."
)
REASON: Final = click.option(
    "--reason",
    required=True,
    help=f"Why: 1 to {REASON_LENGTH_MAX} characters, stored permanently.",
)
BATCH_LIMIT: Final = click.option(
    "--limit", type=click.IntRange(1), help="The maximum number; all by default."
)
# Stands for all open states.
OPEN: Final = "open"
CURSOR: Final = click.option("--cursor", help="The cursor of the previous page.")


def limit(most: int) -> Option:
    """Return the option for the maximum number of items in a list."""
    return click.option(
        "--limit",
        default=100,
        show_default=True,
        type=click.IntRange(1, most),
        help="The maximum number of items.",
    )


def since(what: str) -> Option:
    """Return the option `--since`; `what` is the verb that the time is about."""
    return click.option(
        "--since",
        type=MOMENT,
        metavar="WHEN",
        help=f"Only what was {what} since this day or time (ISO 8601, UTC).",
    )


def not_in_the_future(moment: datetime | None, now: datetime) -> None:
    """Refuse a `--since` in the future.

    Raises:
        InvalidValue: the time is in the future.
    """
    if moment is not None and moment > now:
        raise InvalidValue("since", "in the future")


def one_or_many(id_: str | None, *filters: object, names: str) -> None:
    """Require either an id or a filter.

    Raises:
        click.UsageError: both are given, or neither.
    """
    filtered = any(it not in {None, False} for it in filters)
    if (id_ is not None) is filtered:
        said = "not both" if filtered else "neither is given"
        raise click.UsageError(f"give an id, or a filter ({names}): {said}")
