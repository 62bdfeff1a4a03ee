"""Streaming of an answer: the same words and usage as without `stream`, over the same time.

A stream is the whole answer, cut into deltas of one to four words, with the first token after a tenth to a third of the
latency and the rest at an even rate until the latency is over. `chat_pieces` and `response_pieces` spell the pieces;
this module holds what both share.
"""

import json
import random
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, zip_longest
from typing import Any, Final

from headrace.broker.simulator.pricing import Endpoint

WORD_CHARS_MAX: Final = 12  # a longer word arrives in several deltas, as tokens would
DELTA_WORDS_MAX: Final = 4
OBFUSCATED_CHARS: Final = 16  # recorded deltas and their `obfuscation` together are a multiple of this

_WORD: Final = re.compile(rf"\s?\S{{1,{WORD_CHARS_MAX}}}|\s+")


class Manner(StrEnum):
    """Manner in which a stream stops short.

    CUT: the connection ends without a word. ERROR: an error event; the Responses API says `response.failed` after it.
    FAILED: `response.failed` alone, which no SDK raises; on Chat Completions the same as ERROR.
    """

    CUT = "cut"
    ERROR = "error"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Break:
    """Place where a stream stops short: after `after_deltas`, or at its end if it has fewer."""

    manner: Manner
    after_deltas: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A few words of one choice."""

    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class TimedText:
    """A text to write once that share of the whole latency is over."""

    share: float
    text: str


@dataclass(frozen=True, slots=True)
class AnswerStream:
    """An answer and its way of streaming.

    Attributes:
        endpoint: Chat Completions or Responses.
        body: The whole answer, as it would be without `stream`.
        deltas: Its text, in order; the choices of Chat Completions take turns.
        seed: Decides pace and padding.
        with_usage: Chat Completions only: a last chunk holds the usage.
        obfuscated: Events are padded with random characters, the default unless a client opts out.
        broken: Where it stops short, or None.
    """

    endpoint: Endpoint
    body: Mapping[str, Any]
    deltas: tuple[Delta, ...]
    seed: int
    with_usage: bool
    obfuscated: bool
    broken: Break | None = None

    @property
    def told(self) -> int:
        """Number of deltas that are sent."""
        return len(self.deltas) if self.broken is None else min(self.broken.after_deltas, len(self.deltas))

    @property
    def first_share(self) -> float:
        """Share of the latency at which the first token comes; headers come in half that time."""
        return 0.1 + 0.2 * random.Random(self.seed).random()

    @property
    def end_share(self) -> float:
        """Share of the latency at which the stream ends: with the latency, or where it is broken."""
        return 1.0 if self.broken is None else self.shares()[self.told]

    def shares(self) -> list[float]:
        """Return the share at which each delta comes, and at last the end: at an even rate, in characters."""
        total = sum(len(delta.text) for delta in self.deltas)
        first, told, shares = self.first_share, 0, []
        for delta in self.deltas:
            shares.append(first + (1 - first) * told / total)
            told += len(delta.text)
        return [*shares, 1.0]

    def padding(self, place: int, text: str) -> dict[str, str]:
        """Return the `obfuscation` field beside a delta, or nothing."""
        if not self.obfuscated:
            return {}
        letters = random.Random(self.seed + place).choices(
            string.ascii_letters + string.digits, k=OBFUSCATED_CHARS - len(text) % OBFUSCATED_CHARS
        )
        return {"obfuscation": "".join(letters)}


def stream_of(endpoint: Endpoint, asked: Mapping[str, Any], body: Mapping[str, Any], seed: int) -> AnswerStream:
    """Build the stream of the answer `body` to the request `asked`."""
    given = asked.get("stream_options")
    options = given if isinstance(given, Mapping) else {}
    if endpoint is Endpoint.CHAT:
        messages = [choice["message"] for choice in body["choices"]]
        texts = [str(message.get("refusal") or message["content"]) for message in messages]
    else:
        part = body["output"][0]["content"][0]
        texts = [str(part["refusal"] if part["type"] == "refusal" else part["text"])]
    cut = [[Delta(number, piece) for piece in _cut(text, seed + number)] for number, text in enumerate(texts)]
    return AnswerStream(
        endpoint=endpoint,
        body=body,
        deltas=tuple(delta for delta in chain.from_iterable(zip_longest(*cut)) if delta is not None),
        seed=seed,
        with_usage=options.get("include_usage") is True,
        obfuscated=options.get("include_obfuscation") is not False,
    )


def spelled(event: Mapping[str, Any]) -> str:
    """Spell an event's JSON on one line, in UTF-8 if possible: half a surrogate pair only fits in as an escape."""
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(event, separators=(",", ":"))
    return text


def _cut(text: str, seed: int) -> Iterator[str]:
    """Cut the text into pieces of one to a few words; joined they are the text."""
    chance = random.Random(seed)
    words = _WORD.findall(text)
    while words:
        count = chance.randint(1, DELTA_WORDS_MAX)
        yield "".join(words[:count])
        del words[:count]
