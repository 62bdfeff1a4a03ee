"""A limiter's verdict on one call: admitted or refused, with the numbers for headers and messages.

Instants and periods are whole microseconds; waits and resets are whole milliseconds, as they are spelled.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60_000_000
DAY_US: Final = 86_400_000_000


class Metric(StrEnum):
    """Unit that a limit counts."""

    TOKENS = "tokens"
    REQUESTS = "requests"
    INPUT_TOKENS = "input-tokens"


TOKENS: Final = Metric.TOKENS  # a name of its own for a value that every call needs: before Python 3.12 it costs less
REQUESTS: Final = Metric.REQUESTS
INPUT_TOKENS: Final = Metric.INPUT_TOKENS


class RefusedCost(StrEnum):
    """Cost of a refused call. The docs say that unsuccessful requests count; no recorded answer shows it."""

    NOTHING = "nothing"
    REQUEST = "request"
    ALL = "all"


class HeaderTriple(NamedTuple):
    """One triple of headers: limit, remaining, and the time until the limit is full again."""

    limit: int
    remaining: int
    reset_ms: int


Levels = Mapping[Metric, HeaderTriple]

NO_LEVELS: Final[Levels] = MappingProxyType({})


class Admitted(NamedTuple):
    """A paid call, and the levels just after: the account's, and those of its project if it has any."""

    levels: Levels
    project_levels: Levels = NO_LEVELS


class Refusal(NamedTuple):
    """A refused call: the numbers of the 429.

    Attributes:
        metric: Of the limit that refuses.
        period_us: Period of that limit, as the message states it.
        limit: Units a period.
        used: Never more than the limit.
        requested: The charge of the call.
        wait_ms: None when the call is larger than the limit.
        levels: The account's, after the cost of the refusal.
        project: The limit is the project's.
        limit_name: The limit's, where several models share it; the message then names both.
        project_levels: The project's.
        numbers_stated: The message states limit, used and requested.
        wait_stated: The answer states the wait.
    """

    metric: Metric
    period_us: int
    limit: int
    used: int
    requested: int
    wait_ms: int | None
    levels: Levels
    project: bool = False
    limit_name: str | None = None
    project_levels: Levels = NO_LEVELS
    numbers_stated: bool = True
    wait_stated: bool = True
