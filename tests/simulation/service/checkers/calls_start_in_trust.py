"""A call starts only while its process may trust that it leads: by its lease or its last commit. It trusts no longer.

Trust counts from the sending of what proved it, and another holder that Redis names ends it at once. So a late reply, a
lost one and a process that stood still start no call.
"""

from collections.abc import Iterator

from tests.simulation.service.history import History

ROUNDED_S = 0.002


def check(history: History) -> Iterator[str]:
    """A call that started after trust had ended."""
    for call in history.calls:
        if call.sent_s >= call.trusted_s:
            yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s, and could trust until {call.trusted_s:.3f} s"
        elif call.believed_s > call.trusted_s + ROUNDED_S:
            until = f"{call.believed_s:.3f} s, and may until {call.trusted_s:.3f} s"
            yield f"{call.process} believes at {call.sent_s:.3f} s that it leads until {until}"
