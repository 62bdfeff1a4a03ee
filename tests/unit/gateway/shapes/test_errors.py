"""Each error of the gateway as the official SDK reads it."""

import json

import httpx2
import openai
import pytest

from headrace.broker.gateway.shapes import errors
from headrace.broker.gateway.shapes.errors import FINAL, ApiError

ALL = [
    (errors.invalid_json(), 400, openai.BadRequestError),
    (errors.invalid_request("No.", param="n"), 400, openai.BadRequestError),
    (errors.no_key(), 401, openai.AuthenticationError),
    (errors.unknown_key("Ask its operator."), 401, openai.AuthenticationError),
    (errors.forbidden("Not this lane."), 403, openai.PermissionDeniedError),
    (errors.unknown_path("GET", "/v1/x"), 404, openai.NotFoundError),
    (errors.unknown_model("gpt-x"), 404, openai.NotFoundError),
    (errors.unknown_id("request", "a"), 404, openai.NotFoundError),
    (errors.wrong_method("PUT", "/v1/models"), 405, openai.APIStatusError),
    (errors.slow_request(), 408, openai.APIStatusError),
    (errors.too_large("The body", 10), 413, openai.APIStatusError),
    (errors.unsupported_content_type("text/plain"), 415, openai.APIStatusError),
    (errors.id_conflict("a"), 400, openai.BadRequestError),
    (errors.over_cap("Slower.", retry_after_s=0.2), 429, openai.RateLimitError),
    (errors.unavailable("Later.", retry_after_s=2.1), 503, openai.InternalServerError),
    (errors.outcome_pending("a"), 504, openai.InternalServerError),
    (errors.crashed(), 500, openai.InternalServerError),
]
MAY_BE_REPEATED = {408, 429, 500, 503, 504}


def raised_by_the_sdk(error: ApiError, calls: list[httpx2.Request] | None = None) -> openai.APIStatusError:
    """What the SDK raises, with one retry at most."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if calls is not None:
            calls.append(request)
        headers = {**error.headers, "retry-after-ms": "1"}
        return httpx2.Response(error.status, json=error.body(), headers=headers)

    client = openai.OpenAI(
        api_key="k",
        base_url="http://localhost/v1",
        max_retries=1,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )
    with pytest.raises(openai.APIStatusError) as caught:
        client.models.list()
    return caught.value


@pytest.mark.parametrize(("error", "status", "kind"), ALL, ids=[each.message[:30] for each, _, _ in ALL])
def test_the_sdk_raises_its_own_type_with_each_member_of_the_error(
    error: ApiError, status: int, kind: type[openai.APIStatusError]
) -> None:
    calls: list[httpx2.Request] = []
    raised = raised_by_the_sdk(error, calls)
    assert type(raised) is kind
    assert raised.status_code == status
    assert (raised.code, raised.param, raised.type) == (error.code, error.param, error.type)
    assert error.message in raised.message
    assert (len(calls) == 2) is (status in MAY_BE_REPEATED)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 504])
def test_a_final_error_is_not_tried_again_whatever_its_status(status: int) -> None:
    calls: list[httpx2.Request] = []
    raised_by_the_sdk(ApiError(status, "No.", type=errors.SERVER_ERROR, headers=FINAL), calls)
    assert len(calls) == 1


@pytest.mark.parametrize(("after_s", "told"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (2.1, "3"), (60.0, "60")])
def test_a_wait_is_stated_in_whole_seconds_and_never_too_short(after_s: float, told: str) -> None:
    assert errors.over_cap("Slower.", retry_after_s=after_s).headers == {"retry-after": told}
    assert errors.unavailable("Later.", retry_after_s=after_s).headers == {"retry-after": told}


def test_a_clients_text_cannot_break_a_sentence_or_make_it_long() -> None:
    message = errors.unknown_model("gpt\r\nx" + "y" * 1_000).message
    assert message.startswith("The model `gpt??xyyy")
    assert len(message) < 200


def test_a_pending_answer_names_the_id_to_come_back_with() -> None:
    assert errors.outcome_pending("lead-1").headers == {"x-headrace-id": "lead-1"}


def test_a_body_has_the_members_of_openais_error_object() -> None:
    assert json.loads(json.dumps(errors.unknown_key("Ask its operator.").body())) == {
        "error": {
            "message": "Incorrect API key provided. Ask its operator.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }
