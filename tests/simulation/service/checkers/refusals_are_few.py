"""OpenAI refuses few calls for want of tokens, whoever dies."""

from collections.abc import Iterator

from tests.simulation.service.history import History

SHARE_MAX = 0.02
ALLOWED = 2
ALLOWED_A_TERM = 2


def check(history: History) -> Iterator[str]:
    """A share above the bound; a project's daily limit and an empty account are not counted: nothing foretells them."""
    if history.scenario.faults.call_refused_for_long or history.scenario.faults.mistake:
        return
    refused = sum(call.status == 429 for call in history.calls)
    terms = len(history.claims())
    if refused > ALLOWED + ALLOWED_A_TERM * terms + SHARE_MAX * len(history.calls):
        yield f"{refused} of {len(history.calls)} calls were refused"
