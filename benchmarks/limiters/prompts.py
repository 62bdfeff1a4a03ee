"""Prompts that have as many tokens as the simulated server charges: a quarter of their bytes.

The server has no tokenizer, while the dispatcher counts the tokens of a prompt with the model's own, as a server that
charges for input does. With ordinary words the two would differ by a sixth, so the dispatcher could not tell the law
`usage` from the others, which in virtual time it can.
"""

from random import Random
from typing import Any, Final

from benchmarks.limits.calls import Asked

WORDS: Final = (
    "the",
    "and",
    "for",
    "you",
    "not",
    "are",
    "but",
    "had",
    "has",
    "was",
    "all",
    "any",
    "can",
    "one",
    "our",
    "out",
)
"""Each is one token of four bytes with the blank before it."""
_ENDS: Final = ("", ".", " a", " of")
"""One token for the bytes that remain, by their number."""


def body_of(asked: Asked) -> dict[str, Any]:
    """Return a call for HTTP: a prompt of exactly `text_bytes` bytes, by the call's id, and a token for each four."""
    words = Random(asked.id).choices(WORDS, k=asked.text_bytes // 4)
    text = "".join(f" {word}" for word in words) + _ENDS[asked.text_bytes % 4]
    return {
        "model": asked.model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": asked.answer_max,
    }
