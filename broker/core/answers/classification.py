"""Decision of an answer's meaning from its status, code, type, details and text.

OpenAI uses one code for quite different conditions: `rate_limit_exceeded` is a full bucket, a request that no bucket
could ever hold, or a busy server (facts/openai.md §4). So the order is fixed: the code, a reason in the details, the
type, and the text only where none of them decides; the status decides the rest. The words are those of all dialects
(`headrace.broker.core.answers.dialect_table`); some servers wrap another one's answer in their text.

Texts are matched from their beginning where they may quote a prompt, and anywhere in a 429, which does not. Words such
as `quota` and `insufficient balance` decide only where everything else is silent: Google says them of a limit per
minute, and then its type or its details name a limit.
"""

import re
from collections.abc import Iterable
from typing import Final

from headrace.broker.core.answers.answer import Details
from headrace.broker.core.answers.dialect_table import TABLE
from headrace.broker.core.answers.meaning import Basis, Meaning

TEXT_CHARS_MAX: Final = 2_000  # the longest real message has 500; a body may be an HTML page


def _merged(field: str) -> dict[str, Meaning]:
    """Return the words of one kind of all dialects, each with its meaning."""
    return {
        word: meaning
        for dialect in TABLE
        for meaning, words in getattr(dialect, field).items()
        for word in words.split()
    }


BY_CODE: Final = _merged("codes")
"""Decided on the code, whatever the status: billing_hard_limit_reached is a 400, model_not_found a 400 or a 404."""
BY_TYPE: Final = _merged("types")
_BY_REASON: Final = _merged("reasons")
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
_INPUT_FIELDS: Final = frozenset(name for dialect in TABLE for name in dialect.input_fields.split())
"""Fields of an error's details that show a refused input, where the status alone, a 403, would blame the key."""
THROTTLE_WORDS: Final = frozenset(word for dialect in TABLE for word in dialect.throttles.split())
"""Codes and types that show only that some limit refused."""
_LIMIT_FIELDS: Final = frozenset(
    ("quotaid", "quota_limit", *(name for dialect in TABLE for name in dialect.wait_fields.split()))
)
"""Fields of a 429's details that show that a limit refused, which time resolves."""

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
_OF_THE_ACCOUNT: Final = frozenset({401, 402, 403, 429})
"""Statuses whose texts speak of the account or a limit and quote no prompt."""
_PAGE: Final = re.compile(r"\s*<(?:!doctype|html|head|\?xml)\b", re.IGNORECASE)
_PAGE_MEANS_PROXY: Final = frozenset({400, 404, 405, 406, 410, 421})  # not sent by an API but by something on the way

_WRAPPED: Final = r"(?:[\w.]{1,60}(?:Error|Exception)(?: \[\w{1,60}\])?(?:: | - )){0,8}"
"""What stands before the text of another server: `litellm.BadRequestError: OpenAIException - …`."""
_ORDER: Final = (
    Meaning.TOO_LARGE,
    Meaning.TIER_UNAVAILABLE,
    Meaning.OVERLOADED,
    Meaning.RATE_LIMITED,
    Meaning.AUTH,
    Meaning.REJECTED,
    Meaning.UPSTREAM_ERROR,
)
"""The narrower meaning first: `rate limit` is also said where something else refused."""


def _any_of(expressions: Iterable[str], *, before: str = "") -> re.Pattern[str]:
    return re.compile(f"{before}(?:{'|'.join(expressions)})", re.IGNORECASE)


def _by_meaning(field: str, *, before: str = "") -> tuple[tuple[Meaning, re.Pattern[str]], ...]:
    """Return one expression for each meaning: the words of all dialects."""
    found = ((meaning, [text for row in TABLE for text in getattr(row, field).get(meaning, ())]) for meaning in _ORDER)
    return tuple((meaning, _any_of(expressions, before=before)) for meaning, expressions in found if expressions)


def _all_of(choose: str) -> list[str]:
    return [expression for dialect in TABLE for expression in getattr(dialect, choose)]


_PHRASES: Final = _by_meaning("phrases")
_OPENINGS: Final = _by_meaning("openings", before=_WRAPPED)
_BROKE_ANYWHERE: Final = _any_of(_all_of("broke"))
_BROKE: Final = _any_of(_all_of("broke"), before=_WRAPPED)
_MISFIT: Final = _any_of(_all_of("misfits"))
_NO_KEY: Final = next(pattern for meaning, pattern in _OPENINGS if meaning is Meaning.AUTH)
_TOO_LARGE: Final = next(pattern for meaning, pattern in _PHRASES if meaning is Meaning.TOO_LARGE)
_QUOTA: Final = re.compile(r"\bexceeded your current quota\b|\binsufficient balance\b", re.IGNORECASE)
_NAMES_A_LIMIT: Final = re.compile(
    r"\b(?:retry|try again) (?:in|after) [0-9]|\bRESOURCE_EXHAUSTED\b|\bquota exceeded for\b", re.IGNORECASE
)
_TEMPLATE: Final = re.compile(
    r"\b(Rate limit reached|Request too large) (?:for |in ).{1,300}?\bon [a-z-]{1,20} per (?:sec|min|hour|day)",
    re.DOTALL,
)
_DIGITS: Final = "0123456789"


def is_page(text: str) -> bool:
    """Return whether a text is an HTML page, which a proxy sends and no API."""
    return _PAGE.match(text) is not None


def meaning_of(
    status: int | None, code: str | None, kind: str | None, text: str, details: Details = ()
) -> tuple[Meaning, Basis]:
    """Return the meaning of an answer that is not plainly a success, and the evidence for it.

    Args:
        status: Of the HTTP answer; None if it is not known, 2xx if the error came in a stream.
        code: The error's code.
        kind: Its type.
        text: Its message, or the whole body if that is not JSON.
        details: Its further fields.
    """
    code, kind, text = (code or "").lower(), (kind or "").lower(), text[:TEXT_CHARS_MAX]
    meaning = BY_CODE.get(code) or _by_reason(details) or BY_TYPE.get(kind)
    if meaning is None and any(name in _INPUT_FIELDS for name, _ in details):
        meaning = Meaning.REJECTED
    if meaning is not None:
        return meaning, Basis.CODE
    if status is None or 200 <= status < 300:
        status = int(code) if re.fullmatch("[45][0-9]{2}", code) else None  # gateways put the status there
    throttled = code in THROTTLE_WORDS or kind in THROTTLE_WORDS
    if status is None or status == 429 or throttled:
        throttled = throttled or any(name in _LIMIT_FIELDS for name, _ in details)
        return _unstated(status, kind, text, throttled=throttled, silent=code.strip(_DIGITS) + kind + text == "")
    return _by_status(status, text)


def _by_reason(details: Details) -> Meaning | None:
    return next(
        (_BY_REASON[text.lower()] for name, text in details if name == "reason" and text.lower() in _BY_REASON), None
    )


def _by_status(status: int, text: str) -> tuple[Meaning, Basis]:
    """Decide by the status; the text only corrects it where a status is known to be sent for something else."""
    meaning = _BY_STATUS.get(status, Meaning.REJECTED if 400 <= status < 500 else Meaning.UPSTREAM_ERROR)
    if (corrected := _corrected(status, text)) is not None:
        return corrected, Basis.TEXT
    if status in _PAGE_MEANS_PROXY and is_page(text):
        return Meaning.UPSTREAM_ERROR, Basis.STATUS
    return meaning, Basis.STATUS if 400 <= status < 600 else Basis.GUESS


def _corrected(status: int, text: str) -> Meaning | None:
    """Return what the text says where a server sends this status for something else, or None."""
    if (_BROKE_ANYWHERE.search if status in _OF_THE_ACCOUNT else _BROKE.match)(text):
        return Meaning.QUOTA
    if status == 400:
        return Meaning.AUTH if _NO_KEY.match(text) else None
    if status == 413:
        return Meaning.TOO_LARGE if _TOO_LARGE.search(text) else None
    if status < 500:
        return None
    if (wrapped := _TEMPLATE.search(text)) is not None:
        return Meaning.RATE_LIMITED if wrapped[1].startswith("Rate") else Meaning.TOO_LARGE
    return Meaning.REJECTED if _MISFIT.search(text) else None


def _unstated(status: int | None, kind: str, text: str, *, throttled: bool, silent: bool) -> tuple[Meaning, Basis]:
    """Decide on a 429, or on an error without a status of its own: in a stream, or pasted by a person."""
    anything = status is None and not throttled
    may_quote = anything and _BY_TYPE_IN_STREAM.get(kind) is Meaning.REJECTED
    meaning = _by_beginning(text) if may_quote else _by_text(text, anything=anything, throttled=throttled)
    if meaning is not None:
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


def _by_text(text: str, *, anything: bool, throttled: bool) -> Meaning | None:
    if (_BROKE.match if anything else _BROKE_ANYWHERE.search)(text):
        return Meaning.QUOTA
    if not throttled and _QUOTA.search(text):  # an empty account names no limit and no wait
        return Meaning.RATE_LIMITED if _NAMES_A_LIMIT.search(text) else Meaning.QUOTA
    if anything and (meaning := _by_opening(text)) is not None:
        return meaning
    return next((meaning for meaning, pattern in _PHRASES if pattern.search(text)), None)


def _by_beginning(text: str) -> Meaning | None:
    """Decide on a refusal of a request by the part of its text that quotes no prompt."""
    return Meaning.QUOTA if _BROKE.match(text) else _by_opening(text)


def _by_opening(text: str) -> Meaning | None:
    return next((meaning for meaning, pattern in _OPENINGS if pattern.match(text)), None)
