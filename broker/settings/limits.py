"""Beliefs about OpenAI's limits before its first header, and the models that draw from each."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from broker.settings.group import TOKENS_MAX, Group, Seconds

ChargeLaw = Literal["auto", "documented", "chat-2025", "chat-legacy", "responses", "embeddings", "usage"]

_SNAPSHOT_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class LimitSettings(Group):
    """One limit. The numbers are beliefs until a header says otherwise; `cap_tokens_per_minute` is our own and stays.

    `models` are patterns as in file names. Without them the limit called N is drawn from by N and its dated snapshots
    (`N-20*`), so `gpt-4o` never claims `gpt-4o-mini`. `burst_s` spreads the load: never more than so many seconds of
    quota at once. A limit per day is paid beside those per minute; answers correct it where they speak of a day.
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
