"""Why a user has paid or not."""

from litestar import get

from payments_core import errors
from payments_core.use_cases import ExplainUser
from payments_service.http.parameters import At, UserInPath
from payments_service.http.refusals import USER, refuses
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, no_body
from payments_service.http.wired import Wired
from payments_service.presentation.explanation import ExplanationOut
from payments_service.presentation.moments import moment_named


@get(
    "/users/{user:str}/explanation",
    before_request=no_body,
    opt=refuses(*USER, errors.NotRecorded),
)
async def get_explanation(
    request: HttpRequest,
    user: UserInPath,
    explain: Wired[ExplainUser],
    at: At = None,
) -> ExplanationOut:
    """Explain why a user has paid or not, now or at a past time.

    Now: the first cause, the chain of facts, what happens without any action, and what
    a person can do. At a past time: what was known, and answered, then.
    """
    named = user_in_path(user)
    if at is None:
        return ExplanationOut.of(await explain(named, caller=request.user))
    moment = moment_named("at", at)
    return ExplanationOut.past(await explain.at(named, moment, caller=request.user))
