"""OpenAI refuses few calls for want of tokens, for the mirror knows the bucket.

Some refusals are not its fault: a request whose charge nobody could know; and a leader that dies takes the last second
of its spending with it, so that its successor starts with a handful of them. A machine that spends what it does not
have is far above both.
"""

from collections.abc import Iterator

from tests.simulation.history import History
from tests.simulation.upstream import Ending

SHARE_MAX = 0.05
ALLOWED = 4
ALLOWED_A_TERM = 8


def check(history: History) -> Iterator[str]:
    """A share above the bound."""
    made = sum(call.ending is not None for call in history.calls)
    refused = sum(call.ending is Ending.REFUSED for call in history.calls)
    terms = history.kafka.epoch - 1
    if refused > ALLOWED + ALLOWED_A_TERM * terms + SHARE_MAX * made:
        yield f"{refused} of {made} calls were refused"
