"""OpenAI is called only by a leader that may trust itself, for what has no outcome yet, and never past its deadline.

A leader that is overthrown and has not noticed may call what its successor has answered; that cannot be helped, and
knows nothing of it.
"""

from collections.abc import Iterator

from tests.simulation.history import History


def check(history: History) -> Iterator[str]:
    """Every call that should not have been made."""
    for call in history.calls:
        who = f"{call.writer} calls ({call.name}, {call.run}) at {call.at_ms}"
        if call.known:
            yield f"{who} and knows that it is answered"
        if call.cancelled:
            yield f"{who} and knows that a cancel waits for it"
        if not call.trusted:
            yield f"{who} without trust"
        if call.late:
            yield f"{who} after its deadline"
