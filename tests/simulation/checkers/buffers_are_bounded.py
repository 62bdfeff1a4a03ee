"""A lane never holds more in memory than its buffer may: in records, and in bytes but for what is being taken.

Room is asked for before records are read and weighed, so those of one reading may weigh more than was left.
"""

from collections.abc import Iterator

from tests.simulation.history import History


def check(history: History) -> Iterator[str]:
    """Every buffer that was too full."""
    for held in history.held.values():
        who = f"{held.process} holds of {held.rule.name}"
        if held.count > held.rule.buffer_max:
            yield f"{who} {held.count} records, more than {held.rule.buffer_max}"
        if held.bytes - held.weight >= held.rule.buffer_bytes_max:
            yield f"{who} {held.bytes} bytes, more than {held.rule.buffer_bytes_max}"
