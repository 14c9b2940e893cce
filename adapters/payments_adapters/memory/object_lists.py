"""The gateway's lists, in memory: a test puts the objects into `objects`."""

import asyncio
from typing import Final

import attrs

from payments_core.errors import GatewayObjectMissing
from payments_core.identity import CustomerId
from payments_core.object_lists import (
    CreatedBetween,
    ListedInvoice,
    ListedObject,
    ListedPayment,
    ListedSubscription,
    ObjectList,
    ObjectPage,
)
from payments_core.ports import Clock

PAGE: Final = 100


def _nothing() -> dict[ObjectList, list[ListedObject]]:
    return {it: [] for it in ObjectList}


@attrs.define(eq=False)
class MemoryLists:
    """A `GatewayLists`; of two objects of one second the later inserted one is newer.

    `asked` has the list of each requested page.
    """

    clock: Clock
    objects: dict[ObjectList, list[ListedObject]] = attrs.Factory(_nothing)
    asked: list[ObjectList] = attrs.field(init=False, factory=list)

    async def page(
        self,
        list_: ObjectList,
        created: CreatedBetween,
        *,
        customer: CustomerId | None = None,
        after: str | None = None,
    ) -> ObjectPage:
        self.asked.append(list_)
        # A gateway never answers at once: other tasks run in between, here as well.
        await asyncio.sleep(0)
        found = self.objects[list_][::-1]
        found.sort(key=lambda it: it.created_at, reverse=True)
        if after is not None:
            ids = [it.id for it in found]
            if after not in ids:
                raise GatewayObjectMissing(list_)
            found = found[ids.index(after) + 1 :]
        found = [
            it
            for it in found
            if created.holds(it.created_at)
            and customer in {None, self._customer_of(it)}
        ]
        return ObjectPage(
            objects=tuple(found[:PAGE]),
            at=self.clock().replace(microsecond=0),
            after=found[PAGE - 1].id if len(found) > PAGE else None,
        )

    def _customer_of(self, listed: ListedObject) -> CustomerId | None:
        match listed.it:
            case ListedSubscription(report=report):
                return report.customer_id
            case ListedPayment(payment=payment):
                return payment.customer_id
            case ListedInvoice(paid_periods=periods):
                owned = self.objects[ObjectList.SUBSCRIPTIONS]
                ids = {it.gateway_id for it in periods}
                return next(
                    map(self._customer_of, filter(lambda it: it.id in ids, owned)), None
                )
            case _:
                return None
