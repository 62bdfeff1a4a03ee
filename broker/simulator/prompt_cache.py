"""Cache of prompts, as the behaviour `prompt-cache` plays it: which part of an input an earlier call began with.

A prompt is its text alone; pictures and stored input are never cached here. Its tokens are a quarter of its bytes, as
everywhere in the simulator.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from headrace.broker.simulator.behaviours.billing import PromptCache
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.pricing import Endpoint, text_of

_BYTES_PER_TOKEN: Final = 4
_DIGEST_BYTES: Final = 16


class CacheUse(NamedTuple):
    """Tokens of one input that were cached, and those written; None: answers say nothing of writes."""

    cached: int = 0
    written: int | None = None


NOTHING_CACHED: Final = CacheUse()


class CachedPrompts:
    """Prefixes of former prompts."""

    def __init__(self, behaviours: Sequence[Behaviour]) -> None:
        """Without the behaviour nothing is cached."""
        played = [each for each in behaviours if isinstance(each, PromptCache)]
        self._played = played[-1] if played else None
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def reset(self) -> None:
        """Forget all prompts."""
        self._known.clear()

    def use(self, endpoint: Endpoint, body: Mapping[str, Any], model: str) -> CacheUse:
        """Return what of a call's input is cached, and keep its prefixes for later calls."""
        played = self._played
        if played is None or endpoint is Endpoint.EMBEDDINGS:
            return NOTHING_CACHED
        cached, longest = 0, 0
        for tokens, digest in _prefixes(f"{model}\n", text_of(endpoint, body), played):
            if digest in self._known:
                cached = tokens
            longest = tokens
            self._known[digest] = None
            self._known.move_to_end(digest)
        while len(self._known) > played.kept:
            self._known.popitem(last=False)
        return CacheUse(cached, longest - cached if played.writes else None)


def _prefixes(salt: str, text: str, played: PromptCache) -> list[tuple[int, bytes]]:
    """Return the lengths in tokens at which a prompt can be cached, each with the digest of all before it."""
    content = text.encode("utf-8", "surrogatepass")
    hashed, found, at = hashlib.blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES), [], 0
    tokens = played.least_tokens
    while tokens * _BYTES_PER_TOKEN <= len(content):
        hashed.update(content[at : tokens * _BYTES_PER_TOKEN])
        at = tokens * _BYTES_PER_TOKEN
        found.append((tokens, hashed.digest()))
        tokens += played.step_tokens
    return found
