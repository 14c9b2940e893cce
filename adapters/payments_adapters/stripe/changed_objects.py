"""What to sync after a thin event reported a changed object.

Rule 1: only an object's references are read; the syncs read the rest.
Rule 2: an object that references nothing of ours needs no sync.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from payments_adapters.stripe.api_reader import (
    METHOD,
    SET_UP,
    Kind,
    Reading,
)
from payments_adapters.stripe.charges import Dispute, Refund, payment_id_of
from payments_adapters.stripe.fields import Id, id_of
from payments_adapters.stripe.invoices import InvoiceOwner, subscription_of
from payments_core.events import ObjectChanged, ObjectKind
from payments_core.job_key import JobKey, JobKind


class _Dispute(Dispute, kw_only=True):
    id: Id


class _Refund(Refund, kw_only=True):
    id: Id


_DISPUTE: Final = Kind.of("dispute", "payment", _Dispute)
_INVOICE: Final = Kind.of("invoice", "invoice", InvoiceOwner)
_REFUND: Final = Kind.of("refund", "payment", _Refund)


async def _of_invoice(reading: Reading, id_: str) -> JobKey | None:
    owner = subscription_of((await reading.one(_INVOICE, id_)).it)
    return JobKey(JobKind.SUBSCRIPTION, owner) if owner else None


async def _of_refund(reading: Reading, id_: str) -> JobKey | None:
    payment = payment_id_of((await reading.one(_REFUND, id_)).it)
    return JobKey(JobKind.PAYMENT, payment) if payment else None


async def _of_dispute(reading: Reading, id_: str) -> JobKey | None:
    payment = payment_id_of((await reading.one(_DISPUTE, id_)).it)
    return JobKey(JobKind.PAYMENT, payment) if payment else None


async def _of_card(reading: Reading, id_: str) -> JobKey | None:
    # For a detached card `customer.updated` arrives.
    customer = id_of((await reading.one(METHOD, id_)).it.customer)
    return JobKey(JobKind.CUSTOMER, customer) if customer else None


async def _of_set_up(reading: Reading, id_: str) -> JobKey | None:
    metadata = (await reading.one(SET_UP, id_)).it.metadata
    # Any other was created outside of this service, for other purposes.
    is_ours = metadata is not None and metadata.intent_id
    return JobKey(JobKind.SET_UP, id_) if is_ours else None


_Read = Callable[[Reading, str], Awaitable[JobKey | None]]
_READ: Final[Mapping[ObjectKind, _Read]] = MappingProxyType(
    {
        "invoice": _of_invoice,
        "refund": _of_refund,
        "dispute": _of_dispute,
        "card": _of_card,
        "set_up": _of_set_up,
    }
)


async def jobs_of(reading: Reading, changed: ObjectChanged) -> Sequence[JobKey]:
    job = await _READ[changed.kind](reading, changed.id)
    return [] if job is None else [job]
