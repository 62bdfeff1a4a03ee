"""Errors of the gateway's HTTP API, in the form of OpenAI's error object, which the official SDKs read.

The SDKs try again after 408, 409, 429 and 5xx, unless the header `x-should-retry` says `false`; before that they read
`retry-after`. So an error that may be repeated has a status of that list, and any other one a status outside it.
Messages quote no key and nothing of a prompt.
"""

from collections.abc import Mapping
from typing import Any, Final

INVALID_REQUEST: Final = "invalid_request_error"
SERVER_ERROR: Final = "server_error"
FINAL: Final[Mapping[str, str]] = {"x-should-retry": "false"}
"""Header of an error that no repetition changes: the SDKs then do not try again, whatever the status."""
_QUOTED_CHARS_MAX: Final = 100


class ApiError(Exception):
    """An HTTP answer other than 2xx.

    Attributes:
        status: HTTP status.
        type: OpenAI's class of errors, such as `invalid_request_error`.
        code: The word that a client's code compares.
        param: The parameter that is at fault.
        headers: Headers beside the body's own.
    """

    def __init__(  # noqa: PLR0913 — each is a member of OpenAI's error object
        self,
        status: int,
        message: str,
        *,
        type: str,  # noqa: A002 — OpenAI's name for it
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.headers: dict[str, str] = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}


def invalid_json() -> ApiError:
    """Make the error for a body that is not a JSON object."""
    return ApiError(400, "The body of the request could not be parsed as a JSON object.", type=INVALID_REQUEST)


def invalid_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """Make the error for a request that is wrong as it stands."""
    return ApiError(400, message, type=INVALID_REQUEST, param=param, code=code)


def no_key() -> ApiError:
    """Make the error for a request without a key."""
    return ApiError(
        401,
        "You didn't provide an API key. Provide the key that this gateway gave you in an Authorization header, as "
        "Bearer YOUR_KEY.",
        type=INVALID_REQUEST,
    )


def unknown_key(why: str) -> ApiError:
    """Make the error for a key that is not in force; `why` is a sentence without the key."""
    return ApiError(
        401,
        f"Incorrect API key provided. {why}",
        type=INVALID_REQUEST,
        code="invalid_api_key",
    )


def forbidden(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """Make the error for something that the key does not allow."""
    return ApiError(403, message, type=INVALID_REQUEST, param=param, code=code)


def unknown_path(method: str, path: str) -> ApiError:
    """Make the error for a path that the gateway does not serve."""
    message = f"Invalid URL ({_quoted(method)} {_quoted(path)})"
    if not path.startswith("/v1/"):
        message += ". The base URL of this gateway ends in /v1."
    return ApiError(404, message, type=INVALID_REQUEST)


def unknown_model(model: str) -> ApiError:
    """Make the error for a model that the key does not have."""
    return ApiError(
        404,
        f"The model `{_quoted(model)}` does not exist or you do not have access to it.",
        type=INVALID_REQUEST,
        param="model",
        code="model_not_found",
    )


def unknown_id(noun: str, given: str) -> ApiError:
    """Make the error for an id that the key's tenant has not; `noun` names its kind, such as `request`."""
    return ApiError(404, f"No {noun} found with id '{_quoted(given)}'.", type=INVALID_REQUEST, param="id")


def wrong_method(method: str, path: str) -> ApiError:
    """Make the error for a path that is served for other methods."""
    message = f"Not allowed to {_quoted(method)} on {_quoted(path)}."
    return ApiError(405, message, type=INVALID_REQUEST, code="method_not_supported")


def slow_request() -> ApiError:
    """Make the error for a request whose bytes did not come in time; trying again may help."""
    message = "The request was not received in time."
    return ApiError(408, message, type=INVALID_REQUEST, code="request_timeout")


def deadline_passed() -> ApiError:
    """Make the error for a request whose deadline has passed before it could be sent."""
    message = "The deadline of the request has passed."
    return ApiError(408, message, type=INVALID_REQUEST, code="deadline_exceeded", headers=FINAL)


def too_large(what: str, bytes_max: int) -> ApiError:
    """Make the error for a body, or `what` else, above its bound."""
    message = f"{what} is too large: this gateway accepts at most {bytes_max} bytes."
    return ApiError(413, message, type=INVALID_REQUEST, code="request_too_large")


def unsupported_content_type(given: str) -> ApiError:
    """Make the error for a body that is not declared as JSON."""
    return ApiError(
        415,
        f"Unsupported content type: '{_quoted(given)}'. This API method only accepts 'application/json' requests.",
        type=INVALID_REQUEST,
        code="unsupported_content_type",
    )


def id_conflict(given: str) -> ApiError:
    """Make the error for an id that belongs to another request. It is no 409: the SDKs would try that again."""
    return invalid_request(
        f"The id '{_quoted(given)}' belongs to another request: use a new id for a new request.", code="id_conflict"
    )


def over_cap(message: str, *, retry_after_s: float) -> ApiError:
    """Make the error for a request above a cap of its key."""
    return ApiError(429, message, type="requests", code="rate_limit_exceeded", headers=_after(retry_after_s))


def unavailable(message: str, *, retry_after_s: float) -> ApiError:
    """Make the error for a time in which the gateway can accept nothing, such as an outage of Kafka."""
    return ApiError(503, message, type=SERVER_ERROR, code="service_unavailable", headers=_after(retry_after_s))


def outcome_pending(given: str) -> ApiError:
    """Make the error for a wait that ended before the outcome came; the same request again waits on."""
    return ApiError(
        504,
        f"The request '{_quoted(given)}' was accepted and is not answered yet. Send it again with the header "
        "x-headrace-id to go on waiting; it is not called twice.",
        type=SERVER_ERROR,
        code="outcome_pending",
        headers={"x-headrace-id": given},
    )


def crashed() -> ApiError:
    """Make the error for a defect of the gateway."""
    return ApiError(500, "A defect in the gateway ended this request.", type=SERVER_ERROR, code="crashed")


def _after(seconds: float) -> dict[str, str]:
    """Return the header with a wait in whole seconds, at least one: not every client reads fractions."""
    return {"retry-after": str(max(1, -int(-seconds // 1)))}


def _quoted(text: str) -> str:
    """Return a client's text as part of a sentence: printable, and of bounded length."""
    return "".join(each if each.isprintable() else "?" for each in text[:_QUOTED_CHARS_MAX])
