"""The page of what each Stripe event type does: `docs/events.md`.

`python tests/support/event_page.py` rewrites the part below the page's mark, from the
tables in the code. The part above it is written by hand.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from payments_adapters.stripe import FOLLOWED, FORMER_TYPES, IGNORED, translate
from payments_adapters.stripe.other_types import OTHER_GROUPS
from payments_core.events import ObjectChanged, SyncNeeded
from payments_core.job_key import JobKind

PAGE: Final = Path(__file__).parents[2] / "docs" / "events.md"
MARK: Final = "<!-- made by tests/support/event_page.py -->\n"
_SYNCED: Final = {
    JobKind.PAYMENT: "payment",
    JobKind.CUSTOMER: "customer",
    JobKind.SUBSCRIPTION: "subscription",
}


def rewritten(page: str) -> str:
    """Return the page with the current tables of the code."""
    by_hand, mark, _ = page.partition(MARK)
    return by_hand + mark + _tables()


def _tables() -> str:
    followed = [
        (_names(types), does, as_thin(types[0]))
        for does, types in _together({it: row.does for it, row in FOLLOWED.items()})
    ]
    ignored = [(_names(types), why) for why, types in _together(IGNORED)]
    groups = ", ".join(f"`{it}.`" for it in sorted(OTHER_GROUPS))
    return "\n".join(
        [
            "\n## Followed\n",
            _table("Types | What a snapshot does | What a thin event does", followed),
            "\n## Not followed\n",
            _table("Types | Why nothing has to follow", ignored),
            f"\nNor is any type of these groups, as no user's payment is: {groups}.\n",
        ]
    )


def _together(said: Mapping[str, str]) -> Sequence[tuple[str, Sequence[str]]]:
    """Return each text once, with its types, in their order."""
    types = defaultdict[str, list[str]](list)
    for type_, text in said.items():
        types[text].append(type_)
    return list(types.items())


def _names(types: Sequence[str]) -> str:
    return "<br>".join(
        f"`{it}` (its former name)" if it in FORMER_TYPES else f"`{it}`" for it in types
    )


def _table(head: str, rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {head} |", "|" + " --- |" * (head.count("|") + 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def as_thin(type_: str) -> str:
    """Describe what the reader does with a thin event of this type."""
    kind = FOLLOWED[type_].kind
    address = "/v1/customers/cus_1/sources/card_1"
    event = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": f"v1.{type_}",
        "created": "2026-01-01T00:00:00Z",
        "livemode": False,
        "related_object": {"id": "x_1", "type": kind or "card", "url": address},
    }
    match translate(json.dumps(event).encode()).report:
        case SyncNeeded(job=job):
            return f"A sync of the {_SYNCED[job.kind]}."
        case ObjectChanged(kind=kind):
            return f"The {kind.replace('_', '-')} is read, and what it names is synced."
        case report:
            raise AssertionError(f"{type_}: {report}")


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
