"""Why a user has paid or not."""

from litestar import get
from litestar.di import NamedDependency

from payments_core.use_cases import ExplainUser
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, no_body, query_value
from payments_service.presentation.explanation import ExplanationOut
from payments_service.presentation.moments import moment_named


@get("/users/{user:str}/explanation", before_request=no_body)
async def get_explanation(
    request: HttpRequest, user: str, explain: NamedDependency[ExplainUser]
) -> ExplanationOut:
    at, named = query_value(request, "at"), user_in_path(user)
    if at is None:
        return ExplanationOut.of(await explain(named, caller=request.user))
    moment = moment_named("at", at)
    return ExplanationOut.past(await explain.at(named, moment, caller=request.user))
