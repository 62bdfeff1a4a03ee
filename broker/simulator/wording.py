"""OpenAI's spelling: Go durations, rate-limit headers and error bodies, as recorded (the facts' §3 and §4)."""

from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.simulator import admission
from headrace.broker.simulator.admission import HeaderTriple, Metric, Refusal

ORGANIZATION: Final = "org-headracesimulated0001"
PROJECT: Final = "proj_headracesimulated0001"
LEARN_MORE: Final = "Visit https://platform.openai.com/account/rate-limits to learn more."
BAD_GATEWAY: Final = (
    "<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n<center><h1>502 Bad Gateway</h1></center>\n"
    "<hr><center>cloudflare</center>\n</body>\n</html>\n"
)
TOO_LARGE: Final = "The input or output tokens must be reduced in order to run successfully."


def go_duration(duration_ms: int) -> str:
    """Format a duration as Go prints it: `0s`, `84ms`, `3.89s`, `7m12s`, `1h8m25.745s`."""
    if duration_ms == 0:
        return "0s"
    if duration_ms < 1_000:
        return f"{duration_ms}ms"
    seconds_whole, milliseconds = divmod(duration_ms, 1_000)
    minutes_whole, seconds = divmod(seconds_whole, 60)
    hours, minutes = divmod(minutes_whole, 60)
    fraction = f".{milliseconds:03d}".rstrip("0") if milliseconds else ""
    text = f"{seconds}{fraction}s"
    if minutes_whole:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def limit_headers(levels: Mapping[Metric, HeaderTriple]) -> dict[str, str]:
    """Build the six `x-ratelimit-*` headers."""
    headers = {}
    for metric, level in levels.items():
        headers[f"x-ratelimit-limit-{metric}"] = str(level.limit)
        headers[f"x-ratelimit-remaining-{metric}"] = str(level.remaining)
        headers[f"x-ratelimit-reset-{metric}"] = go_duration(level.reset_ms)
    return headers


def project_headers(metric: Metric, level: HeaderTriple) -> dict[str, str]:
    """Build the three headers of a project's own bucket."""
    return {
        name.replace(f"-{metric}", f"-project-{metric}"): value
        for name, value in limit_headers({metric: level}).items()
    }


def project_levels_headers(levels: Mapping[Metric, HeaderTriple]) -> dict[str, str]:
    """Build the headers of all of a project's buckets."""
    headers: dict[str, str] = {}
    for metric, level in levels.items():
        headers |= project_headers(metric, level)
    return headers


def retry_headers(refused: Refusal) -> dict[str, str]:
    """Build `retry-after` in whole seconds, at least 1, and the exact `retry-after-ms`; neither if no wait helps."""
    if refused.wait_ms is None:
        return {}
    return {
        "retry-after": str(max(1, -(-refused.wait_ms // 1_000))),
        "retry-after-ms": str(max(1, refused.wait_ms)),
    }


def error_body(message: str, kind: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Build the envelope of every error; `kind` is its `type`."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal_message(model: str, refused: Refusal, *, project: str | None = None) -> str:
    """Template 1 (`Rate limit reached`), 2 (the same of a `project`'s limit) or 4 (`Request too large`).

    A limit that several models share is named beside the model, as recorded for template 4. Periods other than a minute
    and a day have no recorded words.
    """
    per, short = _period_words(refused)
    if refused.project:
        project = project or PROJECT
    whose = f"organization {ORGANIZATION}" if project is None else f"project {project} organization {ORGANIZATION}"
    which = model if refused.limit_name is None else f"{model} (for limit {refused.limit_name})"
    where = f"for {which} in {whose} on {refused.metric} per {per} ({short})"
    if refused.wait_ms is None:
        return (
            f"Request too large {where}: Limit {refused.limit}, Requested {refused.requested}. {TOO_LARGE} {LEARN_MORE}"
        )
    wait = f"Please try again in {go_duration(refused.wait_ms)}. " if refused.wait_stated else ""
    numbers = f"Limit {refused.limit}, Used {refused.used}, Requested {refused.requested}"
    return f"Rate limit reached {where}: {numbers}. {wait}{LEARN_MORE}"


def _period_words(refused: Refusal) -> tuple[str, str]:
    letter = {Metric.TOKENS: "T", Metric.REQUESTS: "R"}.get(refused.metric, "IT")
    match refused.period_us:
        case admission.MINUTE_US:
            return "min", f"{letter}PM"
        case admission.DAY_US:
            return "day", f"{letter}PD"
        case admission.SECOND_US:
            return "sec", f"{letter}PS"
        case period_us:
            seconds = f"{period_us / admission.SECOND_US:g}"
            return f"{seconds} sec", f"{letter}P{seconds}S"


def refusal_body(model: str, refused: Refusal, *, project: str | None = None) -> dict[str, Any]:
    """Build the body of a 429."""
    message = refusal_message(model, refused, project=project)
    return error_body(message, refused.metric.value, code="rate_limit_exceeded")


def slow_down_body() -> dict[str, Any]:
    """Build the 429 that was a 503 until 2026."""
    return error_body("Slow Down", "rate_limit_error", code="slow_down")


def refused_tier_body(status: int, tier: str) -> dict[str, Any]:
    """Return the refusal of a service tier: without capacity (429; 498 as Groq has it), or not there at all (400)."""
    if status == 400:
        return error_body(f"Unsupported service_tier: {tier}", "invalid_request_error", param="service_tier")
    if status == 498:
        return error_body("Flex tier capacity exceeded.", "rate_limit_error", code="capacity_exceeded")
    return error_body("Resource Unavailable", "rate_limit_error", code="resource_unavailable")


def quota_body() -> dict[str, Any]:
    """Build the 429 of an account without credit."""
    return error_body(
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "insufficient_quota",
        code="insufficient_quota",
    )


def wrong_key_body(key: str) -> dict[str, Any]:
    """Build the 401 of a missing or wrong key."""
    if not key:
        return error_body(
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
            "invalid_request_error",
        )
    masked = f"{key[:5]}{'*' * max(0, len(key) - 9)}{key[-4:]}"
    return error_body(
        f"Incorrect API key provided: {masked}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        "invalid_request_error",
        code="invalid_api_key",
    )


def unknown_model_body(model: str, *, param: str | None = None) -> dict[str, Any]:
    """Build the error for a model that is not served: 404, or 400 with `param` on the Responses API."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return error_body(message, "invalid_request_error", code="model_not_found", param=param)


def failure_body(status: int) -> dict[str, Any] | str:
    """Build the body of a 500, 502 or 503; the 502 is a page, and not OpenAI's own."""
    match status:
        case 502:
            return BAD_GATEWAY
        case 503:
            return overloaded_body()
        case _:
            return server_error_body()


def server_error_body() -> dict[str, Any]:
    """Build the 500, which is also the error in the middle of a stream."""
    return error_body(
        "The server experienced an error while processing your request. Sorry about that! You can retry your request, "
        "or contact us through our help center at help.openai.com if the error persists.",
        "server_error",
    )


def overloaded_body() -> dict[str, Any]:
    """Build the 503 of 2026."""
    return error_body(
        "Our servers are currently overloaded. Please try again later.",
        "service_unavailable_error",
        code="server_is_overloaded",
    )
