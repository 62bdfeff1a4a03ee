"""Answers that tests of the verdict are made of."""

from headrace.broker.core.answers.verdict import (
    Answer,
)

EMPTY_REQUESTS = {
    "x-ratelimit-limit-requests": "3",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "1m0s",
}
EMPTY_TOKENS = {
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-tokens": "1m0s",
}


def answer(
    status: int | None = 200,
    code: str | None = None,
    kind: str | None = None,
    message: str = "",
    headers: dict[str, str] | None = None,
) -> Answer:
    return Answer(status, headers or {}, code, kind, None, message)
