"""An answer in sentences: what it means, what Headrace would do about it, and what is left for the reader to do.

Headrace's part follows the defaults: `explain` reads no settings, since it must work where there are none.
"""

from collections.abc import Callable
from typing import Final

from headrace.broker.amounts import spoken_s
from headrace.broker.core.answers.base_url import AnswerForm, form_of
from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, MONTH_MS, SECOND_MS
from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.answers.verdict import Answer, Fault, Meaning, Verdict, is_word
from headrace.broker.core.budget.breaker import ACCOUNT_REST_MS, FAILURES_IN_A_ROW

IN_PLACE_MAX_MS: Final = 60_000  # the default of retry.in_place_max_s
ATTEMPTS_MAX: Final = 8  # the default of retry.attempts_max

_NO_MODEL: Final = frozenset({"model_not_found", "deploymentnotfound"})
_PERIODS: Final = {
    SECOND_MS: "a second",
    MINUTE_MS: "a minute",
    HOUR_MS: "an hour",
    DAY_MS: "a day",
    MONTH_MS: "in 30 days",
}


def spoken_ms(milliseconds: int) -> str:
    """Format a span: `644 ms`, `3.89 s`, `7 min 12 s`."""
    if milliseconds < SECOND_MS:
        return f"{milliseconds} ms"
    return f"{milliseconds / 1_000:g} s" if milliseconds < 10_000 else spoken_s(milliseconds / 1_000)


def a_period(period_ms: int) -> str:
    """Name a period: `a minute`, `a day`, `in 10 s`."""
    return _PERIODS.get(period_ms, f"in {spoken_ms(period_ms)}")


def what_it_means(answer: Answer, verdict: Verdict) -> str:
    """Return one sentence about the answer."""
    if _is_missing(answer):
        return "The server has no such path: it may not be OpenAI's API."
    telling = _MEANS[verdict.meaning]
    return telling if isinstance(telling, str) else telling(answer, verdict)


def _is_missing(answer: Answer) -> bool:
    """Return whether a 404 or 405 did not come from the API; only other answers show which server wrote it."""
    return form_of(answer) is AnswerForm.MISSING


def what_headrace_does(answer: Answer, verdict: Verdict) -> str:
    """Return one sentence: wait, try again or give up, and what the answer counts as."""
    return _AWAY if _is_missing(answer) else _what_follows(verdict)


_AWAY: Final = (
    "Headrace fails no request because of it: calls pause until openai.base_url is corrected. Only if the server "
    "answers for other models meanwhile does it fail the request, as rejected."
)


def _what_follows(verdict: Verdict) -> str:
    if verdict.meaning is Meaning.OK:
        return "Headrace publishes the answer and corrects its budget from the headers."
    if verdict.fault is Fault.REQUEST:
        return f"Headrace fails this request at once, as {verdict.meaning}; its record becomes a dead letter."
    if verdict.fault is Fault.ACCOUNT:
        return (
            "Headrace fails no request because of it: while others are answered, this one alone waits; else calls "
            f"pause, and one probe goes about every {spoken_ms(ACCOUNT_REST_MS)} until the account works again."
        )
    wait_ms = verdict.wait_ms or 0
    if wait_ms > IN_PLACE_MAX_MS:
        return (
            f"Headrace parks the request for {spoken_ms(wait_ms)}, since the wait exceeds a minute; the retrier "
            "puts it back on its lane when it is due."
        )
    if verdict.fault is Fault.LIMIT:
        return f"Headrace waits {spoken_ms(wait_ms)} and calls again; this does not count as a failed attempt."
    at_least = f" of at least {spoken_ms(wait_ms)}" if wait_ms else ""
    return (
        f"Headrace calls again after a growing, random wait{at_least}; {FAILURES_IN_A_ROW} failures in a row pause "
        f"the whole limit, and {ATTEMPTS_MAX} failed attempts fail the request as exhausted."
    )


def what_to_do(answer: Answer, verdict: Verdict) -> str:
    """Return what is left for the reader to do."""
    if _is_missing(answer):
        return "check openai.base_url: it usually ends in /v1"
    if verdict.meaning is Meaning.REJECTED:
        return _mending(answer, verdict)
    if verdict.meaning is Meaning.TOO_LARGE and verdict.side_limit is not None:
        return f"send fewer {_metric(verdict.side_limit)} in one request, or have the limit raised"
    return _SERVERS_WORK if verdict.fault is Fault.SERVER else _TO_DO[verdict.meaning]


_SERVERS_WORK: Final = "nothing; if it lasts, check OpenAI's status page and the path to it (proxy, DNS, base URL)"
_TO_DO: Final = {
    Meaning.OK: "nothing",
    Meaning.RATE_LIMITED: "nothing now; if it continues, find out what else spends from this limit, or have it raised",
    Meaning.TOO_LARGE: "make the request smaller (its input, or its max_tokens), or have the limit raised",
    Meaning.QUOTA: "add credit or raise the spend limit at OpenAI; calls then resume without a restart",
    Meaning.NOT_THE_API: "correct openai.base_url and restart the dispatcher",
    Meaning.AUTH: "check the key, its project and its region; a new key needs a restart of the dispatcher",
}


def _mending(answer: Answer, verdict: Verdict) -> str:
    code = (answer.error_code or "").lower()
    if verdict.limit is not None:
        return "make the request shorter, or choose a model with a larger window"
    if code in _NO_MODEL:
        return "correct the model's name, or give the account access to it"
    if answer.error_param and is_word(answer.error_param):
        return f"have the producer of such requests correct {answer.error_param}, which OpenAI names"
    return "have the producer of such requests correct them"


def _no_room(answer: Answer, verdict: Verdict) -> str:
    limit = verdict.limit
    if (answer.error_code or "").lower() == "token_limit_exceeded":
        of = f" of {limit.name}" if limit is not None and limit.name else ""
        holds = f" at {limit.capacity:,} tokens" if limit is not None and limit.capacity else ""
        return f"The queue of batches{of} is full{holds}; it has room again when batches end."
    if limit is None:
        return "A limit is used up; the answer does not say which."
    if limit.capacity is None:
        return f"A limit on {_metric(limit)} is used up; the answer does not say how large it is."
    size = f"{limit.capacity:,} {_metric(limit)}" + (f" {a_period(limit.period_ms)}" if limit.period_ms else "")
    if limit.used is None:
        return f"{_the_limit(limit)} is used up: it holds {size}."
    if limit.requested is None:
        return f"{_the_limit(limit)} is used up: {limit.used:,} of {size} are spent."
    spent = f"{limit.used:,} of {size} are spent"
    return f"{_the_limit(limit)} has no room for this request: {spent}, and it takes {limit.requested:,}."


def _the_limit(limit: StatedLimit) -> str:
    whose = "The project's limit" if limit.project else "The limit"
    drawn = f" (from which {limit.model} draws)" if limit.model else ""
    return f"{whose} {limit.name}{drawn}" if limit.name else f"{whose} on {_metric(limit)}"


def _metric(limit: StatedLimit) -> str:
    return limit.metric.replace("-", " ")


def _too_large(_: Answer, verdict: Verdict) -> str:
    limit = verdict.limit
    if limit is None or limit.capacity is None:
        return "This request alone is larger than the limit, so it can never pass."
    takes = "more" if limit.requested is None else f"{limit.requested:,}"
    if limit.period_ms is None:
        return (
            f"This request has {takes} {_metric(limit)}, of {limit.capacity:,} allowed in one request: "
            "it can never pass."
        )
    holds = f"holds {limit.capacity:,} {_metric(limit)} {a_period(limit.period_ms)}"
    return f"{_the_limit(limit)} {holds}, and this request alone takes {takes}: it can never pass."


def _overloaded(answer: Answer, _: Verdict) -> str:
    if (answer.error_code or "").lower() == "slow_down" or answer.message.lower().startswith("slow down"):
        return "OpenAI asks to slow down: traffic has grown too fast. This is not one of your limits."
    return "OpenAI is overloaded. This is not one of your limits."


def _not_allowed(answer: Answer, _: Verdict) -> str:
    if "country" in (answer.error_code or "").lower():
        return "OpenAI does not serve the country or region this was called from."
    if answer.status == 403:
        return "The account, project or key is not allowed to do this, or a proxy or firewall on the way forbids it."
    return "OpenAI does not accept the key."


def _rejected(answer: Answer, verdict: Verdict) -> str:
    limit, code = verdict.limit, (answer.error_code or "").lower()
    if limit is not None and limit.capacity is not None and limit.period_ms is None:
        has = "more tokens" if limit.requested is None else f"{limit.requested:,} tokens"
        return f"This request has {has}, and the model's window holds {limit.capacity:,}."
    if code in _NO_MODEL:
        return "There is no such model, or this account may not use it."
    if "polic" in code or "filter" in code or "moderation" in code:
        return "OpenAI refused the content of this request."
    return "OpenAI refused this request as invalid."


def _failed(_: Answer, verdict: Verdict) -> str:
    if verdict.shape is not None:
        return "This release does not know this answer; it is treated as a failure of OpenAI or of the path to it."
    return "OpenAI failed, or the path to it."


_MEANS: Final[dict[Meaning, str | Callable[[Answer, Verdict], str]]] = {
    Meaning.OK: "OpenAI answered.",
    Meaning.RATE_LIMITED: _no_room,
    Meaning.TOO_LARGE: _too_large,
    Meaning.QUOTA: "The account is out of credit, or has reached a spend limit. Waiting does not help.",
    Meaning.OVERLOADED: _overloaded,
    Meaning.TIER_UNAVAILABLE: "The service tier of this request has no capacity now. This is not one of your limits.",
    Meaning.NOT_THE_API: "What answers at openai.base_url is not OpenAI's API.",
    Meaning.AUTH: _not_allowed,
    Meaning.REJECTED: _rejected,
    Meaning.TIMEOUT: "OpenAI did not answer in time. It may have processed and charged the request nevertheless.",
    Meaning.CONNECTION: "The connection to OpenAI failed or was cut.",
    Meaning.UPSTREAM_ERROR: _failed,
}
