"""Stripe's errors: a status, a type, a code, the parameter and a sentence.

Source: docs.stripe.com/api/errors and docs.stripe.com/error-codes.
"""

from collections.abc import Mapping
from typing import Any, Final

INVALID: Final = "invalid_request_error"


class ApiError(Exception):
    """An error answer; `body()` is what Stripe would send."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str = INVALID,
        code: str | None = None,
        param: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fields: Mapping[str, Any] = {
            "code": code,
            "message": message,
            "param": param,
            "type": type_,
            **more,
        }

    def body(self) -> dict[str, Any]:
        error = {
            name: value for name, value in self.fields.items() if value is not None
        }
        if self.code:
            anchor = self.code.replace("_", "-")
            error["doc_url"] = f"https://docs.stripe.com/error-codes#{anchor}"
        return {"error": error}


class CardError(ApiError):
    """An error about something that did happen: it undoes nothing."""


def invalid(
    message: str, param: str | None = None, code: str | None = None
) -> ApiError:
    """Refuse a request that cannot be executed as it is."""
    return ApiError(400, message, code=code, param=param)


def missing(kind: str, id_: str, param: str | None = None) -> ApiError:
    """Return the error for a missing object: 404 for the one in the path, else 400."""
    noun = kind.replace("_", " ") if kind != "invoiceitem" else "invoice item"
    return ApiError(
        400 if param else 404,
        f"No such {noun}: '{id_}'",
        code="resource_missing",
        param=param or "id",
    )
