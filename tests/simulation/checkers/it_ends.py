"""The machine never stalls and never spins: the world becomes quiet, and no instant is asked for again and again."""

from collections.abc import Iterator

from tests.simulation.history import History

SILENCE_MAX_MS = 150_000
"""Longer than any wait in place, any rest of an account and any wait of the retrier: something was forgotten."""


def check(history: History) -> Iterator[str]:
    """What broke, and a world that is never quiet."""
    yield from history.defects
    if not history.defects and not history.quiet:
        yield "something waits for ever"
    if history.silence_ms > SILENCE_MAX_MS:
        yield f"nothing happened for {history.silence_ms} ms"
