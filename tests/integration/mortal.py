"""`headrace` as it is, but for one thing: a process that counts the tokens of a text with the marker in it is gone."""

import os

from headrace.broker.adapters.tiktoken_counter import TiktokenCounter
from headrace.broker.cli import main as verbs

MARKER = "whoever counts this dies"
DEAD = 86
"""The exit code of a process that died of it."""

_count = TiktokenCounter.count


def _deadly(self: TiktokenCounter, model: str, text: str) -> int | None:
    if MARKER in text:
        os._exit(DEAD)  # as a crash in a library: nothing is unwound, flushed or said
    return _count(self, model, text)


def main() -> int:
    """Run the verb that `sys.argv` names."""
    TiktokenCounter.count = _deadly  # type: ignore[method-assign]
    return verbs.main()
