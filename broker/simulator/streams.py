"""An answer told bit by bit: the same words and usage as without `stream`, over the same time.

A stream is the whole answer, cut into deltas of one to four words, with the first token after a tenth to a third of the
latency and the rest at an even rate until the latency is over. How the pieces are spelled is the business of
`chat_pieces` and `response_pieces`; here is what both share.
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

from broker.simulator.pricing import Endpoint

WORD_CHARS_MAX: Final = 12  # what is longer arrives in several deltas, as tokens would
DELTA_WORDS_MAX: Final = 4
OBFUSCATED_CHARS: Final = 16  # recorded deltas and their `obfuscation` together are a multiple of this

_WORD: Final = re.compile(rf"\s?\S{{1,{WORD_CHARS_MAX}}}|\s+")


class Manner(StrEnum):
    """How a stream stops short.

    CUT: the connection ends without a word. ERROR: an error event; the Responses API says `response.failed` after it.
    FAILED: `response.failed` alone, which no SDK raises; on Chat Completions the same as ERROR.
    """

    CUT = "cut"
    ERROR = "error"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Break:
    """Where a stream stops short: after so many deltas, or at its end if it has fewer."""

    manner: Manner
    after_deltas: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A few words of one choice."""

    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to write once that share of the whole latency is over."""

    share: float
    text: str


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer and how it is told.

    Attributes:
        endpoint: Chat Completions or Responses.
        body: The whole answer, as it would be without `stream`.
        deltas: Its text, in order; the choices of Chat Completions take turns.
        seed: Decides pace and padding.
        with_usage: Chat Completions only: a last chunk tells the usage.
        obfuscated: Events are padded with random characters, as they are unless a client asks for none.
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
        """How many deltas are told."""
        return len(self.deltas) if self.broken is None else min(self.broken.after_deltas, len(self.deltas))

    @property
    def first_share(self) -> float:
        """When the first token comes; headers come in half that time."""
        return 0.1 + 0.2 * random.Random(self.seed).random()

    @property
    def end_share(self) -> float:
        """When the stream ends: with the latency, or where it is broken."""
        return 1.0 if self.broken is None else self.shares()[self.told]

    def shares(self) -> list[float]:
        """When each delta comes, and at last the end: at an even rate, in characters."""
        total = sum(len(delta.text) for delta in self.deltas)
        first, told, shares = self.first_share, 0, []
        for delta in self.deltas:
            shares.append(first + (1 - first) * told / total)
            told += len(delta.text)
        return [*shares, 1.0]

    def padding(self, place: int, text: str) -> dict[str, str]:
        """The `obfuscation` field beside a delta, or nothing."""
        if not self.obfuscated:
            return {}
        letters = random.Random(self.seed + place).choices(
            string.ascii_letters + string.digits, k=OBFUSCATED_CHARS - len(text) % OBFUSCATED_CHARS
        )
        return {"obfuscation": "".join(letters)}


def stream_of(endpoint: Endpoint, asked: Mapping[str, Any], body: Mapping[str, Any], seed: int) -> Stream:
    """The stream that tells the answer `body` to the request `asked`."""
    given = asked.get("stream_options")
    options = given if isinstance(given, Mapping) else {}
    if endpoint is Endpoint.CHAT:
        messages = [choice["message"] for choice in body["choices"]]
        texts = [str(message.get("refusal") or message["content"]) for message in messages]
    else:
        part = body["output"][0]["content"][0]
        texts = [str(part["refusal"] if part["type"] == "refusal" else part["text"])]
    cut = [[Delta(number, piece) for piece in _cut(text, seed + number)] for number, text in enumerate(texts)]
    return Stream(
        endpoint=endpoint,
        body=body,
        deltas=tuple(delta for delta in chain.from_iterable(zip_longest(*cut)) if delta is not None),
        seed=seed,
        with_usage=options.get("include_usage") is True,
        obfuscated=options.get("include_obfuscation") is not False,
    )


def spelled(event: Mapping[str, Any]) -> str:
    """An event's JSON on one line, in UTF-8 where it can be: half a surrogate pair only fits in as an escape."""
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(event, separators=(",", ":"))
    return text


def _cut(text: str, seed: int) -> Iterator[str]:
    """The text in pieces of one to a few words; put together they are the text."""
    chance = random.Random(seed)
    words = _WORD.findall(text)
    while words:
        count = chance.randint(1, DELTA_WORDS_MAX)
        yield "".join(words[:count])
        del words[:count]
