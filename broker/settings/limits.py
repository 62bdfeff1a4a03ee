"""Beliefs about OpenAI's limits before its first header, and the models that draw from each."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from headrace.broker.settings.group import TOKENS_MAX, Group, Seconds

ChargeLaw = Literal["auto", "documented", "chat-2025", "chat-legacy", "responses", "embeddings", "usage"]

_SNAPSHOT_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")

OPENAI_HOST: Final = "api.openai.com"
_FIGURES = ("tokens_per_minute", "requests_per_minute", "tokens_per_day", "requests_per_day")

LONG_CONTEXT: Final = ":long-context"
LONG_CONTEXTS: Final = (("gpt-4.1*", 128_000), ("gpt-5.4*", 272_000), ("gpt-5.5*", 272_000))
"""Input tokens beyond which OpenAI's documentation of these models states a limit of its own (facts/openai.md)."""


class LimitSettings(Group):
    """Limit of the account. Its numbers hold until an answer states others; `cap_tokens_per_minute` always holds.

    `models` are patterns as in file names. Without them the model N and its dated snapshots (`N-20*`) draw from the
    limit N, so `gpt-4o` never includes `gpt-4o-mini`. `burst_s` is the burst bound: the seconds of quota that may be
    spent at once. A limit per day is enforced beside those per minute; answers that state one per day correct it.

    Requests whose input has more than `long_context_tokens` draw from a limit of their own, `N:long-context`, which may
    have a group of this kind as well. Unset, none does, but at OpenAI's own servers, where no cap of N would be escaped
    by it: there it is as OpenAI documents it, 128,000 for gpt-4.1 and its smaller models, 272,000 for gpt-5.4 and
    gpt-5.5. 0: never.
    """

    models: tuple[str, ...] = ()
    tokens_per_minute: int | None = Field(None, ge=1, le=TOKENS_MAX)
    requests_per_minute: int | None = Field(None, ge=1, le=TOKENS_MAX)
    tokens_per_day: int | None = Field(None, ge=1, le=TOKENS_MAX)
    requests_per_day: int | None = Field(None, ge=1, le=TOKENS_MAX)
    cap_tokens_per_minute: int | None = Field(None, ge=1, le=TOKENS_MAX)
    burst_s: Seconds | None = None
    inflight_max: int | None = Field(None, ge=1)
    charge_law: ChargeLaw = "auto"
    long_context_tokens: int | None = Field(None, ge=0, le=TOKENS_MAX)

    @property
    def bounds_spending(self) -> bool:
        """Whether an operator bounds what is spent of it: a second limit beside it would escape that."""
        return self.cap_tokens_per_minute is not None or self.inflight_max is not None


def with_patterns(limits: Mapping[str, LimitSettings]) -> dict[str, LimitSettings]:
    """Give each limit that names no models the patterns of its own name."""
    return {
        name: limit if limit.models else limit.model_copy(update={"models": (name, f"{name}-20*")})
        for name, limit in limits.items()
    }


def doubly_claimed(limits: Mapping[str, LimitSettings]) -> list[tuple[str, str, str]]:
    """Return the patterns that two limits both claim, each with the two."""
    owner: dict[str, str] = {}
    return [
        (pattern, owner[pattern], name)
        for name, limit in limits.items()
        for pattern in limit.models
        if owner.setdefault(pattern, name) != name
    ]


def limit_name(model: str, limits: Mapping[str, LimitSettings]) -> str:
    """Return the limit that `model` draws from: its own name, else the longest pattern, else itself without date."""
    matches = [
        (pattern == model, len(pattern), name)
        for name, limit in limits.items()
        for pattern in limit.models
        if fnmatchcase(model, pattern)
    ]
    return max(matches)[-1] if matches else _SNAPSHOT_DATE.sub("", model)


@lru_cache(8)
def is_openais_own(base_url: str | None) -> bool:
    """Return whether a base URL is OpenAI's own, as it is if none is set."""
    return base_url is None or urlsplit(base_url).hostname == OPENAI_HOST


def long_context_limit(
    model: str, input_tokens: int, limit: str, limits: Mapping[str, LimitSettings], *, documented: bool
) -> str:
    """Return the limit that a request of so much input draws from, where those of its model draw from `limit`.

    `documented`: what OpenAI documents holds, since the server is OpenAI's own.
    """
    configured = limits.get(limit)
    most = None if configured is None else configured.long_context_tokens
    if most is None and documented and (configured is None or not configured.bounds_spending):
        most = next((tokens for pattern, tokens in LONG_CONTEXTS if fnmatchcase(model, pattern)), 0)
    return f"{limit}{LONG_CONTEXT}" if most and input_tokens > most else limit


def settings_of(limit: str, limits: Mapping[str, LimitSettings]) -> LimitSettings | None:
    """Return the settings of a limit; None: there are none.

    That of long contexts has those of the limit of shorter requests if it has none of its own, but for its figures: its
    cap holds for each of the two.
    """
    configured = limits.get(limit)
    if configured is None and (shorter := limits.get(limit.removesuffix(LONG_CONTEXT))) is not None:
        return shorter.model_copy(update=dict.fromkeys(_FIGURES))
    return configured
