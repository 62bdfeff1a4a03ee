"""What may be spent before the first answer has told how full a limit is.

Nobody knows whether somebody else has emptied it, so the first call goes alone. If the operator has told the limit's
size, a part of it is spent meanwhile, one call after the other; of that part others' share is kept like any other, or
large calls of a lane below would use it up.
"""

from typing import Final

from broker.core.markup import PPM
from broker.core.spread import QUIET_MS

UNTOLD_PARTS: Final = 4  # so little of a configured limit is spent before the first answer


def may_open(tokens: int | None, spent: int, paid: int, keep_ppm: int) -> bool:
    """Whether another call may leave while the first has no answer; `tokens` is the limit as configured."""
    return tokens is not None and spent + paid <= tokens // UNTOLD_PARTS - tokens * keep_ppm // PPM


def opens_at(first_sent_ms: int) -> int:
    """When, at the earliest: once the server had time to refuse the oldest call in flight."""
    return first_sent_ms + QUIET_MS
