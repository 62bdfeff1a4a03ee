"""`headrace` as it is, but for one thing: whoever counts the tokens of a text with the marker in it is gone at once.

python -m tests.integration.mortal dispatcher
"""

import os

from headrace.broker.adapters.tiktoken_counter import TiktokenCounter
from headrace.broker.cli.main import main

MARKER = "whoever counts this dies"
DEAD = 86
"""The exit code of a process that died of it."""

_count = TiktokenCounter.count


def _deadly(self: TiktokenCounter, model: str, text: str) -> int | None:
    if MARKER in text:
        os._exit(DEAD)  # as a crash in a library: nothing is unwound, flushed or said
    return _count(self, model, text)


if __name__ == "__main__":
    TiktokenCounter.count = _deadly  # type: ignore[method-assign]
    main()
