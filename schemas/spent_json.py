"""Codec of the outcomes that a report sums: only the summed fields are read, in a third of the time of all.

A report reads a million of them. An answer is skipped without being built, and so is any field that is not known.
"""

from typing import Final

from pydantic import ValidationError

from headrace.schemas import headers as names
from headrace.schemas.codec import WireError, decode_outcome
from headrace.schemas.money import MICRO_USD_MAX
from headrace.schemas.record import Headers
from headrace.schemas.spending import SpentOutcome

TOKENS_MAX: Final = 10**15
"""Largest number of tokens, or of calls, that one outcome is believed."""
_TYPES: Final = frozenset({names.TYPE_COMPLETED.encode(), names.TYPE_FAILED.encode()})


def decode_spent(value: bytes | None, headers: Headers = (), shape: type[SpentOutcome] = SpentOutcome) -> SpentOutcome:
    """Decode the fields of an outcome's record that a shape names.

    Raises:
        WireError: It is no outcome, or of another version.
    """
    for name, text in headers:
        if name == names.CE_TYPE and text not in _TYPES:
            raise WireError("a value is no outcome that this release reads")
    try:
        outcome = shape.model_validate_json(value or b"")
    except ValidationError:
        outcome = shape.model_validate(decode_outcome(value, headers))
    if not _can_be_summed(outcome):
        raise WireError("a value is an outcome with amounts that no call has")
    return outcome


def _can_be_summed(outcome: SpentOutcome) -> bool:
    """Whether its amounts are such as a sum survives: an outcome may be another producer's, and state any number."""
    usage, cost = outcome.usage, outcome.cost
    if cost is not None and cost.micro_usd is not None and not 0 <= cost.micro_usd <= MICRO_USD_MAX:
        return False
    amounts: tuple[int, ...] = (outcome.attempts, outcome.charge_tokens or 0)
    if usage is not None:
        amounts += usage.input_tokens, usage.output_tokens, usage.cached_tokens
        amounts += usage.reasoning_tokens, usage.cache_write_tokens, usage.image_tokens
    return min(amounts) >= 0 and max(amounts) <= TOKENS_MAX
