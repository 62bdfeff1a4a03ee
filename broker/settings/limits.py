"""Beliefs about OpenAI's limits before its first header, and the models that draw from each."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from headrace.broker.settings.group import TOKENS_MAX, Group, Seconds

ChargeLaw = Literal["auto", "documented", "chat-2025", "chat-legacy", "responses", "embeddings", "usage"]

_SNAPSHOT_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class LimitSettings(Group):
    """Limit of the account. Its numbers hold until an answer states others; `cap_tokens_per_minute` always holds.

    `models` are patterns as in file names. Without them the model N and its dated snapshots (`N-20*`) draw from the
    limit N, so `gpt-4o` never includes `gpt-4o-mini`. `burst_s` is the burst bound: the seconds of quota that may be
    spent at once. A limit per day is enforced beside those per minute; answers that state one per day correct it.
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
