"""Bill of a call, as its answer states it: the tokens, the model and the service tier.

An answer is billed; so is an error in a 200 that states tokens, such as that of a response that failed on its way. A
call that was cut off may be billed too, but nothing says how much.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from headrace.broker.core.endpoints import ENDPOINT_TABLE
from headrace.broker.service.payloads import Payload
from headrace.schemas.outcome import Usage
from headrace.schemas.refusals import MODEL_NAME_MAX
from headrace.schemas.request import GenerationRequest
from headrace.schemas.tiers import tier_in

USAGE_TOKENS_MAX: Final = 10_000_000
"""Largest token count believed of an answer: no model reads or writes a tenth of it. A larger number counts as absent,
since sums, metrics and the charge law would carry it on."""
_INPUT_NAMES: Final = tuple(dict.fromkeys(facts.usage_input for facts in ENDPOINT_TABLE.values()))
_OUTPUT_NAMES: Final = tuple(dict.fromkeys(facts.usage_output for facts in ENDPOINT_TABLE.values()))


def note_bill(
    cargo: Payload, request: GenerationRequest, body: Mapping[str, object], *, answered: bool = False
) -> None:
    """Note in the payload what the body of a 2xx says of the bill; what is no answer is billed if it states tokens.

    A body that names no model is of the one asked for.
    """
    usage, model = usage_of(body), body.get("model")
    cargo.paid = answered or (usage is not None and usage.total_tokens > 0)
    if cargo.paid:
        cargo.usage, cargo.tier_served = usage, tier_in(body)
        cargo.model_served = str((model if isinstance(model, str) else "") or request.model or "")[:MODEL_NAME_MAX]


def usage_of(response: Mapping[str, object]) -> Usage | None:
    """Return the tokens billed, under one set of names for all endpoints; None if the response does not say.

    Every endpoint's fields are looked for, in the order of the table.
    """
    usage = response.get("usage")
    if not isinstance(usage, Mapping):
        return None
    inside = _first(usage, _INPUT_NAMES, "_details")
    inputs, outputs = _number(_first(usage, _INPUT_NAMES)), _number(_first(usage, _OUTPUT_NAMES))
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        total_tokens=_number(usage.get("total_tokens")) or inputs + outputs,
        cached_tokens=_detail(inside, "cached_tokens"),
        reasoning_tokens=_detail(_first(usage, _OUTPUT_NAMES, "_details"), "reasoning_tokens"),
        cache_write_tokens=_detail(inside, "cache_write_tokens"),
        image_tokens=_detail(inside, "image_tokens"),
    )


def _first(usage: Mapping[str, object], names: Iterable[str], ending: str = "") -> object:
    """Return the first value under one of these names; some servers answer with all names, and null for most."""
    return next((value for name in names if (value := usage.get(name + ending)) is not None), None)


def _detail(details: object, name: str) -> int:
    return _number(details.get(name)) if isinstance(details, Mapping) else 0


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 <= value <= USAGE_TOKENS_MAX else 0
