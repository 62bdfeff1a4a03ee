"""A call starts only while its process may trust that it leads: by its lease, or by its last commit.

Trust counts from the sending of what proved it, and another holder that Redis names ends it at once. So a late reply, a
lost one and a process that stood still start no call.
"""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A call that started after trust had ended."""
    for call in history.calls:
        if call.sent_s >= call.trusted_s:
            yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s, and could trust until {call.trusted_s:.3f} s"
