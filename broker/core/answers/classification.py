"""Tables of the meaning of a status, a code, a type and a text by themselves.

OpenAI uses one code for quite different conditions: `rate_limit_exceeded` is a full bucket, a request that no bucket
could ever hold, or a busy server (facts/openai.md §4). So the order is fixed: the code, the type, and the text only
where neither decides; the status decides the rest. Servers with OpenAI's protocol (Azure, Groq, vLLM, LiteLLM,
Scaleway, OpenRouter) add words of their own, and some wrap another server's answer in their text.

Texts are matched from their beginning where they may quote a prompt, and anywhere in a 429, which does not.
"""

import re
from typing import Final

from headrace.broker.core.answers.meaning import Basis, Meaning

TEXT_CHARS_MAX: Final = 2_000  # the longest real message has 500; a body may be an HTML page

# Decided on the code, whatever the status: billing_hard_limit_reached comes as a 400, model_not_found as 400 or 404.
_CODES: Final = {
    Meaning.TIMEOUT: "timeout",
    Meaning.CONNECTION: "connection",
    Meaning.QUOTA: """insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded
        project_spend_limit_exceeded organization_usage_limit_exceeded billing_hard_limit_reached billing_not_active
        budget_exceeded insufficient_balance insufficient_credits payment_required""",
    Meaning.OVERLOADED: "slow_down server_is_overloaded nocapacity no_capacity engine_overloaded",
    Meaning.TIER_UNAVAILABLE: "resource_unavailable capacity_exceeded",
    Meaning.RATE_LIMITED: "token_limit_exceeded ratelimitreached toomanyrequests too_many_requests resource_exhausted",
    Meaning.TOO_LARGE: "max_tokens_per_request",
    Meaning.UPSTREAM_ERROR: "server_error vector_store_timeout",
    Meaning.AUTH: """invalid_api_key invalid_authentication account_deactivated invalid_organization
        mismatched_organization mismatched_project ip_not_authorized unsupported_country_region_territory""",
    Meaning.REJECTED: """model_not_found deploymentnotfound context_length_exceeded content_policy_violation
        content_filter responsibleaipolicyviolation moderation_blocked invalid_prompt bio_policy cyber_policy
        misalignment_policy_violation data_residency_mismatch invalid_image invalid_image_format invalid_base64_image
        invalid_image_url image_too_large image_too_small image_parse_error image_content_policy_violation
        invalid_image_mode image_file_too_large unsupported_image_media_type empty_image_file failed_to_download_image
        image_file_not_found unsupported_parameter unsupported_value unknown_parameter missing_required_parameter
        invalid_value invalid_type string_above_max_length array_above_max_length""",
}
BY_CODE: Final = {code: meaning for meaning, codes in _CODES.items() for code in codes.split()}

BY_TYPE: Final = {
    "insufficient_quota": Meaning.QUOTA,
    "budget_exceeded": Meaning.QUOTA,
    "service_unavailable_error": Meaning.OVERLOADED,
    "overloaded_error": Meaning.OVERLOADED,
    "engine_overloaded_error": Meaning.OVERLOADED,
    "request_forbidden": Meaning.AUTH,
    "authentication_error": Meaning.AUTH,
}
# For a stream that began with 200, where no status decides; where there is one, the status is more reliable.
_BY_TYPE_IN_STREAM: Final = {
    "invalid_request_error": Meaning.REJECTED,
    "badrequesterror": Meaning.REJECTED,
    "notfounderror": Meaning.REJECTED,
    "server_error": Meaning.UPSTREAM_ERROR,
    "api_error": Meaning.UPSTREAM_ERROR,
    "internalservererror": Meaning.UPSTREAM_ERROR,
    "permission_error": Meaning.AUTH,
}
THROTTLE_WORDS: Final = frozenset(
    ("rate_limit_exceeded", "rate_limit_error", "rate_limited", "ratelimiterror", "tokens", "requests", "input-images")
)
"""Codes and types that show only that some limit refused."""

_BY_STATUS: Final = {
    401: Meaning.AUTH,
    402: Meaning.QUOTA,  # not an OpenAI status, but gateways send it for an empty account
    403: Meaning.AUTH,
    408: Meaning.UPSTREAM_ERROR,
    409: Meaning.UPSTREAM_ERROR,
    425: Meaning.UPSTREAM_ERROR,
    498: Meaning.TIER_UNAVAILABLE,  # Groq's flex tier
    499: Meaning.UPSTREAM_ERROR,
    503: Meaning.OVERLOADED,
    529: Meaning.OVERLOADED,
}
_PAGE: Final = re.compile(r"\s*<(?:!doctype|html|head|\?xml)\b", re.IGNORECASE)
_PAGE_MEANS_PROXY: Final = frozenset({400, 404, 405, 406, 410, 421})  # not sent by an API but by something on the way

_WRAPPED: Final = r"(?:[\w.]{1,60}(?:Error|Exception)(?:: | - ))*"  # `litellm.BadRequestError: OpenAIException - …`
_ANYWHERE: Final = (
    (Meaning.TOO_LARGE, r"\brequest too large\b"),
    (Meaning.TIER_UNAVAILABLE, r"\bresource unavailable\b|\bservice tier capacity exceeded\b"),
    (Meaning.OVERLOADED, r"processing too many requests|\boverloaded\b|high demand"),
    (Meaning.OVERLOADED, r"\bat capacity\b|^slow down\b"),
    (
        Meaning.RATE_LIMITED,
        r"\brate[- ]?limit|\btoo many requests\b|\benqueued token limit\b|\bexceeded your current limit",
    ),
    (Meaning.RATE_LIMITED, r"\bcrossed TPM / RPM\b"),
)
_FROM_THE_START: Final = (
    (Meaning.AUTH, r"incorrect api key provided|access denied due to invalid subscription key"),
    (Meaning.AUTH, r"country, region, or territory not supported|you didn't provide an api key"),
    (Meaning.REJECTED, r"this model's maximum context length|input tokens exceed the configured limit"),
    (Meaning.REJECTED, r"your input exceeds the context window|the response was filtered due to the prompt"),
    (Meaning.REJECTED, r"the model `[^`]{1,128}` (?:does not exist|has been deprecated)|unsupported parameter"),
    (Meaning.REJECTED, r"the api deployment for this resource does not exist|invalid value for '"),
    (Meaning.TOO_LARGE, r"requested [0-9,]{1,15} tokens, max [0-9,]{1,15} tokens per request"),
    (Meaning.UPSTREAM_ERROR, r"the server (?:had|experienced) an error"),
)
_BUDGET: Final = re.compile(
    rf"{_WRAPPED}(?:ExceededBudget: |No deployments available - crossed budget|Budget has been)"
)
_QUOTA: Final = re.compile(r"\bexceeded your current quota\b|\binsufficient balance\b", re.IGNORECASE)
_TEMPLATE: Final = re.compile(
    r"\b(Rate limit reached|Request too large) (?:for |in ).{1,300}?\bon [a-z-]{1,20} per (?:sec|min|hour|day)",
    re.DOTALL,
)
_PATTERNS: Final = tuple((meaning, re.compile(pattern, re.IGNORECASE)) for meaning, pattern in _ANYWHERE)
_OPENINGS: Final = tuple(
    (meaning, re.compile(rf"{_WRAPPED}(?:{pattern})", re.IGNORECASE)) for meaning, pattern in _FROM_THE_START
)
_DIGITS: Final = "0123456789"
_STATED_WAIT: Final = re.compile(r"\b(?:retry|try again) (?:in|after) [0-9]", re.IGNORECASE)


def is_page(text: str) -> bool:
    """Return whether a text is an HTML page, which a proxy sends and no API."""
    return _PAGE.match(text) is not None


def meaning_of(status: int | None, code: str | None, kind: str | None, text: str) -> tuple[Meaning, Basis]:
    """Return the meaning of an answer that is not plainly a success, and the evidence for it.

    Args:
        status: Of the HTTP answer; None if it is not known, 2xx if the error came in a stream.
        code: The error's code.
        kind: Its type.
        text: Its message, or the whole body if that is not JSON.
    """
    code, kind, text = (code or "").lower(), (kind or "").lower(), text[:TEXT_CHARS_MAX]
    if (meaning := BY_CODE.get(code) or BY_TYPE.get(kind)) is not None:
        return meaning, Basis.CODE
    if status is None or 200 <= status < 300:
        status = int(code) if re.fullmatch("[45][0-9]{2}", code) else None  # gateways put the status there
    throttled = code in THROTTLE_WORDS or kind in THROTTLE_WORDS
    if status is None or status == 429 or throttled:
        return _unstated(status, kind, text, throttled=throttled, silent=code.strip(_DIGITS) + kind + text == "")
    return _by_status(status, text)


def _by_status(status: int, text: str) -> tuple[Meaning, Basis]:
    """Decide by the status; the text only corrects it where a gateway wraps another server's answer."""
    meaning = _BY_STATUS.get(status, Meaning.REJECTED if 400 <= status < 500 else Meaning.UPSTREAM_ERROR)
    if _BUDGET.match(text):
        return Meaning.QUOTA, Basis.TEXT
    if status >= 500 and (wrapped := _TEMPLATE.search(text)):
        return Meaning.RATE_LIMITED if wrapped[1].startswith("Rate") else Meaning.TOO_LARGE, Basis.TEXT
    if status in _PAGE_MEANS_PROXY and is_page(text):
        return Meaning.UPSTREAM_ERROR, Basis.STATUS
    return meaning, Basis.STATUS if 400 <= status < 600 else Basis.GUESS


def _unstated(status: int | None, kind: str, text: str, *, throttled: bool, silent: bool) -> tuple[Meaning, Basis]:
    """Decide on a 429, or on an error without a status of its own: in a stream, or pasted by a person."""
    if (meaning := _by_text(text, anything=status is None and not throttled)) is not None:
        return meaning, Basis.TEXT
    if throttled:
        return Meaning.RATE_LIMITED, Basis.CODE
    if status is None and kind in _BY_TYPE_IN_STREAM:
        return _BY_TYPE_IN_STREAM[kind], Basis.CODE
    if kind == "server_error":
        return Meaning.UPSTREAM_ERROR, Basis.CODE
    if status == 429:
        return Meaning.RATE_LIMITED, Basis.STATUS if silent or is_page(text) else Basis.GUESS
    return Meaning.UPSTREAM_ERROR, Basis.STATUS if is_page(text) else Basis.GUESS


def _by_text(text: str, *, anything: bool) -> Meaning | None:
    if _BUDGET.match(text):
        return Meaning.QUOTA
    if _QUOTA.search(text):  # an empty account states no wait; some servers say `quota` of a limit per minute
        return Meaning.RATE_LIMITED if _STATED_WAIT.search(text) else Meaning.QUOTA
    if anything:
        for meaning, pattern in _OPENINGS:
            if pattern.match(text):
                return meaning
    return next((meaning for meaning, pattern in _PATTERNS if pattern.search(text)), None)
