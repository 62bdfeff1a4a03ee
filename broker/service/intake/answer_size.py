"""Size of an answer, where the request fixes it: a vector of embeddings for each input, of so many numbers.

An answer that cannot fit the results topic must not be paid for. The other endpoints' answers have no size that could
be known before.
"""

from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.core.endpoints import ENDPOINT_TABLE, UNKNOWN_ENDPOINT, Shape

_DIMENSIONS: Final = {"text-embedding-3-small": 1_536, "text-embedding-3-large": 3_072, "text-embedding-ada-002": 1_536}
"""Numbers in a vector unless the request asks for fewer: OpenAI's guide to embeddings, read in November 2026."""
_NUMBER_BYTES: Final = 10, 14
"""Least and largest size of a number as text, on average over a vector, such as `-0.0069292278,`."""
_AROUND_BYTES: Final = 47, 51
"""Least and largest size of what surrounds a vector: `{"object":"embedding","index":0,"embedding":""},`."""
_BESIDE_BYTES: Final = 1_000
"""Room for what an answer says beside its vectors."""


def inputs_max(endpoint: str, body: Mapping[str, Any], bytes_max: int) -> int | None:
    """Return how many inputs have vectors that fit `bytes_max`, if those of the body certainly do not; else None."""
    facts = ENDPOINT_TABLE.get(endpoint, UNKNOWN_ENDPOINT)
    given, numbers = body.get(facts.input_field), _DIMENSIONS.get(str(body.get("model")))
    if facts.shape is not Shape.VECTORS or numbers is None or not isinstance(given, list):
        return None
    if all(isinstance(each, int) for each in given):  # the tokens of one input
        return None
    asked = body.get("dimensions")
    if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0:
        numbers = min(numbers, asked)
    packed = 4 * -(-4 * numbers // 3)
    is_packed = body.get("encoding_format") == "base64"
    least, largest = (packed, packed) if is_packed else (each * numbers for each in _NUMBER_BYTES)
    if len(given) * (least + _AROUND_BYTES[0]) <= bytes_max:
        return None
    return max(1, (bytes_max - _BESIDE_BYTES) // (largest + _AROUND_BYTES[1]))
