"""Spelling of limits and refusals by others than OpenAI: Azure, Groq, gateways (the facts' §3 and §4.2)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from headrace.broker.simulator.admission import DAY_US, Levels, Metric, Refusal
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.wording import BAD_GATEWAY, ORGANIZATION, error_body, go_duration

AZURE_TOO_LARGE_S: Final = 86_400  # recorded, with a limit of tokens a minute: a call that will never fit (inferred)

_OPERATIONS: Final = {
    Endpoint.CHAT: "ChatCompletions_Create",
    Endpoint.RESPONSES: "Responses_Create",
    Endpoint.EMBEDDINGS: "Embeddings_Create",
}


def azure_headers(levels: Levels, *, in_seconds: bool) -> dict[str, str]:
    """Spell levels as bare integers, milliseconds or seconds."""
    headers = {"x-ms-region": "Sweden Central", "apim-request-id": "00000000-0000-4000-8000-000000000000"}
    for metric, level in levels.items():
        reset = -(-level.reset_ms // 1_000) if in_seconds else level.reset_ms
        headers[f"x-ratelimit-limit-{metric}"] = str(level.limit)
        headers[f"x-ratelimit-remaining-{metric}"] = str(level.remaining)
        headers[f"x-ratelimit-reset-{metric}"] = str(reset)
        headers[f"x-ratelimit-renewalperiod-{metric}"] = "60"
    return headers


def azure_body(endpoint: Endpoint, refused: Refusal) -> dict[str, Any]:
    """Build template 8, without a `type`."""
    what = "token" if refused.metric is Metric.TOKENS else "call"
    message = (
        f"Requests to the {_OPERATIONS[endpoint]} Operation under Azure OpenAI API version 2024-08-01-preview have "
        f"exceeded {what} rate limit of your current OpenAI S0 pricing tier. Please retry after {_seconds(refused)} "
        "seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default "
        "rate limit."
    )
    return {"error": {"code": "429", "message": message}}


def azure_curt_body(refused: Refusal) -> dict[str, Any]:
    """Build Azure's other message."""
    return {"error": {"code": "429", "message": f"Rate limit is exceeded. Try again in {_seconds(refused)} seconds."}}


def groq_body(model: str, refused: Refusal) -> dict[str, Any]:
    """Build template 9."""
    letter = "T" if refused.metric is Metric.TOKENS else "R"
    per, last = ("day", "D") if refused.period_us == DAY_US else ("minute", "M")
    where = f"`{model}` in organization `{ORGANIZATION}` service tier `on_demand` on {refused.metric} per {per}"
    numbers = f"({letter}P{last}): Limit {refused.limit}, "
    if refused.wait_ms is None:
        message = f"Request too large for model {where} {numbers}Requested {refused.requested}, please reduce it."
    else:
        message = (
            f"Rate limit reached for model {where} {numbers}Used {refused.used}, Requested {refused.requested}. "
            f"Please try again in {go_duration(refused.wait_ms)}."
        )
    return error_body(message, refused.metric.value, code="rate_limit_exceeded")


def curt_body(refused: Refusal) -> Mapping[str, Any]:
    """Build a refusal without a number."""
    message = "Rate limit exceeded." if refused.wait_ms is not None else "Request too large."
    return error_body(message, "rate_limit_error", code="rate_limit_exceeded")


def page(status: int) -> str:
    """Build the HTML page of a gateway in front."""
    if status == HTTPStatus.BAD_GATEWAY:
        return BAD_GATEWAY
    title = f"{status} {HTTPStatus(status).phrase}"
    return (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<center><h1>{title}</h1></center>\n"
        "<hr><center>nginx</center>\n</body>\n</html>\n"
    )


def _seconds(refused: Refusal) -> int:
    return AZURE_TOO_LARGE_S if refused.wait_ms is None else max(1, -(-refused.wait_ms // 1_000))
