"""The owner of a payment, decided by hand; for administrators."""

from litestar import get, post
from litestar.params import JSONBody

from payments_core import errors
from payments_core.identity import user_id
from payments_core.payment import PaymentId
from payments_core.use_cases import LinkPayment, ReadPaymentLink
from payments_core.use_cases.references import gateway_reference
from payments_service.http.authentication import admin_only
from payments_service.http.bodies import LinkIn, UnlinkIn
from payments_service.http.parameters import PaymentInPath
from payments_service.http.refusals import GATEWAY, refuses
from payments_service.http.requests import HttpRequest, no_body
from payments_service.http.wired import Wired
from payments_service.presentation.schemas import PaymentLinkOut


@get(
    "/payments/{payment:str}/link",
    before_request=no_body,
    guards=[admin_only],
    opt=refuses(errors.PaymentNotFound),
)
async def get_payment_link(
    request: HttpRequest,
    payment: PaymentInPath,
    read_link: Wired[ReadPaymentLink],
) -> PaymentLinkOut:
    """Show the owner of a payment, and who decided that and why."""
    id_ = PaymentId(gateway_reference("payment", payment))
    return PaymentLinkOut.of(await read_link(id_, caller=request.user))


@post(
    "/payments/{payment:str}/link",
    status_code=200,
    guards=[admin_only],
    opt=refuses(
        *GATEWAY,
        errors.PaymentNotFound,
        errors.AccountNotFound,
        errors.PaymentLinked,
        errors.PaymentOfSubscription,
    ),
)
async def link_payment(
    request: HttpRequest,
    payment: PaymentInPath,
    data: JSONBody[LinkIn],
    link: Wired[LinkPayment],
) -> PaymentLinkOut:
    """Link a payment to a user by hand.

    Repeating a decision changes nothing; the first reason stays.
    """
    id_ = PaymentId(gateway_reference("payment", payment))
    user = user_id(data.user_id)
    done = await link(id_, user, data.reason, caller=request.user)
    return PaymentLinkOut.of(done)


@post(
    "/payments/{payment:str}/unlink",
    status_code=200,
    guards=[admin_only],
    opt=refuses(
        *GATEWAY,
        errors.PaymentNotFound,
        errors.PaymentOfSubscription,
    ),
)
async def unlink_payment(
    request: HttpRequest,
    payment: PaymentInPath,
    data: JSONBody[UnlinkIn],
    link: Wired[LinkPayment],
) -> PaymentLinkOut:
    """Unlink a payment by hand: from then on nothing else links it."""
    id_ = PaymentId(gateway_reference("payment", payment))
    done = await link(id_, None, data.reason, caller=request.user)
    return PaymentLinkOut.of(done)
