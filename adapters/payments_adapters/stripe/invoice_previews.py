"""The cost of a change, read from the preview of an invoice.

Source: docs.stripe.com/api/invoices/create_preview.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from payments_adapters.stripe.api_shapes import Page
from payments_adapters.stripe.fields import Currency, Minor, moment
from payments_adapters.stripe.invoices import Line, prorates
from payments_core.gateway import Preview, PreviewLine
from payments_core.money import AMOUNT_MINOR_MAX, Money

_Signed = Annotated[int, msgspec.Meta(ge=-AMOUNT_MINOR_MAX, le=AMOUNT_MINOR_MAX)]


class PreviewedLine(Line, kw_only=True):
    amount: _Signed
    description: str | None = None


class PreviewedInvoice(msgspec.Struct):
    currency: Currency
    amount_due: Minor
    lines: Page[PreviewedLine]


def preview_of(
    invoice: PreviewedInvoice, *, proration_date: datetime, now: datetime
) -> Preview:
    """Return the part of a previewed invoice that is due at once.

    If a change bills nothing, Stripe shows the next renewal instead. Such an invoice
    has a future line; then only the prorations of this change are its cost
    (docs.stripe.com/api/invoices/create_preview).
    """
    lines, due_minor = invoice.lines.data, invoice.amount_due
    if any(moment(line.period.start) > max(now, proration_date) for line in lines):
        lines = [
            line
            for line in lines
            if prorates(line) and moment(line.period.start) == proration_date
        ]
        due_minor = max(0, sum(line.amount for line in lines))
    return Preview(
        due=Money(due_minor, invoice.currency),
        proration_date=proration_date,
        lines=[
            PreviewLine(description=it.description or "", amount_minor=it.amount)
            for it in lines
        ],
    )
