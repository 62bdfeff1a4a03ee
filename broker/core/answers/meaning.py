"""Meaning of an answer as one word, the party that must act on it, and the evidence that decided it.

The words alone, without a rule: `headrace.broker.core.answers.dialects` says which server's words carry which meaning,
and `headrace.broker.core.answers.classification` decides.
"""

from enum import StrEnum
from typing import Final


class Meaning(StrEnum):
    """The meaning of an answer; the axis is what the caller does next."""

    OK = "ok"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    TIER_UNAVAILABLE = "tier_unavailable"  # the service tier that was asked for has no capacity now; others may have
    UPSTREAM_ERROR = "upstream_error"
    AUTH = "auth"
    NOT_THE_API = "not_the_api"  # decided by `headrace.broker.core.answers.base_url`, on more than one answer
    REJECTED = "rejected"
    TIMEOUT = "timeout"
    CONNECTION = "connection"


OK: Final = Meaning.OK  # a module-level name for what every answer is compared with: faster before Python 3.12
ADMITTED: Final = frozenset({Meaning.OK, Meaning.REJECTED})  # of calls that no limit has refused


class Fault(StrEnum):
    """The party that must act on an answer."""

    NONE = "none"
    LIMIT = "limit"  # every client that spends from it; time resolves it
    REQUEST = "request"
    ACCOUNT = "account"  # an operator
    SERVER = "server"


class Basis(StrEnum):
    """The evidence that decided a meaning."""

    CODE = "code"
    TEXT = "text"
    STATUS = "status"
    GUESS = "guess"  # the answer was not understood; the meaning is the safe one


FAULTS: Final = {
    Meaning.OK: Fault.NONE,
    Meaning.RATE_LIMITED: Fault.LIMIT,
    Meaning.TOO_LARGE: Fault.REQUEST,
    Meaning.REJECTED: Fault.REQUEST,
    Meaning.QUOTA: Fault.ACCOUNT,
    Meaning.AUTH: Fault.ACCOUNT,
    Meaning.NOT_THE_API: Fault.ACCOUNT,
    Meaning.OVERLOADED: Fault.SERVER,
    Meaning.TIER_UNAVAILABLE: Fault.SERVER,
    Meaning.UPSTREAM_ERROR: Fault.SERVER,
    Meaning.TIMEOUT: Fault.SERVER,
    Meaning.CONNECTION: Fault.SERVER,
}
