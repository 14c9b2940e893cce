"""Whose a payment is, by hand; for administrators."""

from litestar import get, post
from litestar.di import NamedDependency

from payments_core.identity import user_id
from payments_core.payment import PaymentId
from payments_core.use_cases import LinkPayment, ReadPaymentLink
from payments_core.use_cases.references import gateway_reference
from payments_service.http.requests import HttpRequest, json_body, no_body
from payments_service.http.schemas import LinkIn, UnlinkIn
from payments_service.presentation.schemas import PaymentLinkOut


@get("/payments/{payment:str}/link", before_request=no_body)
async def get_payment_link(
    request: HttpRequest, payment: str, read_link: NamedDependency[ReadPaymentLink]
) -> PaymentLinkOut:
    id_ = PaymentId(gateway_reference("payment", payment))
    return PaymentLinkOut.of(await read_link(id_, caller=request.user))


@post("/payments/{payment:str}/link", status_code=200)
async def link_payment(
    request: HttpRequest, payment: str, link: NamedDependency[LinkPayment]
) -> PaymentLinkOut:
    request.user.require_admin()
    id_ = PaymentId(gateway_reference("payment", payment))
    given = await json_body(request, LinkIn, ids=("user_id",))
    user = user_id(given.user_id)
    done = await link(id_, user, given.reason, caller=request.user)
    return PaymentLinkOut.of(done)


@post("/payments/{payment:str}/unlink", status_code=200)
async def unlink_payment(
    request: HttpRequest, payment: str, link: NamedDependency[LinkPayment]
) -> PaymentLinkOut:
    request.user.require_admin()
    id_ = PaymentId(gateway_reference("payment", payment))
    given = await json_body(request, UnlinkIn)
    done = await link(id_, None, given.reason, caller=request.user)
    return PaymentLinkOut.of(done)
