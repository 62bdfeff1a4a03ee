"""An answer's text as a type of the service: what `Completed.parsed` does.

The SDK's `parse` raises for an answer that was cut off, and so does this: half a list may be valid JSON and wrong.
"""

from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from headrace.schemas.answer_text import text_of_answer
from headrace.schemas.outcome_errors import AnswerUnusable, Unusable

if TYPE_CHECKING:
    from headrace.schemas.outcome import Completed

Parsed = TypeVar("Parsed")

_NAMED_MAX = 3
"""Places of an answer that one sentence names."""
_NO_TEXT = "the answer of an endpoint without text, such as embeddings: its content is in outcome.response."
_CUT: dict[str, tuple[Unusable, str]] = {
    "refusal": ("refusal", "the model declined (outcome.refusal): change the request, and send it with a new id."),
    "length": (
        "length",
        "the answer was cut off (finish: length): allow more output tokens, or ask for less, and use a new id.",
    ),
    "content_filter": (
        "content_filter",
        "OpenAI's content filter left out a part of the answer: change the request, and send it with a new id.",
    ),
}
_CALLED: tuple[Unusable, str] = (
    "tool_calls",
    "the model called tools instead of answering: run them (outcome.response), and send their results with a new id.",
)
_EMPTY: tuple[Unusable, str] = ("empty", "the answer has no text: look at outcome.response.")


def text_or_raise(outcome: "Completed") -> str:
    """Return the answer's text; see `Completed.text`.

    Raises:
        AnswerUnusable: Its endpoint gives no text.
    """
    text = text_of_answer(outcome.response)
    if text is None:
        raise AnswerUnusable(outcome, "no_text", _NO_TEXT)
    return text


def parsed_as(outcome: "Completed", wanted: type[Parsed] | TypeAdapter[Parsed]) -> Parsed:
    """Return the answer's text as that type; see `Completed.parsed`."""
    text = text_or_raise(outcome)
    ended = "refusal" if outcome.refusal is not None else str(outcome.finish)
    if ended in _CUT and not (ended == "refusal" and text):  # of several choices another one may have declined
        raise AnswerUnusable(outcome, *_CUT[ended])
    if not text:
        raise AnswerUnusable(outcome, *(_CALLED if ended == "tool_calls" else _EMPTY))
    try:
        return _adapter(wanted).validate_json(text)
    except ValidationError as error:
        sentence = f"its text does not fit {_name(wanted)}: {_differences(error)}."
    # Not `from error`: it quotes the answer, and so would each log of the traceback.
    raise AnswerUnusable(outcome, "mismatch", sentence)


def _adapter(wanted: type[Parsed] | TypeAdapter[Parsed]) -> TypeAdapter[Parsed]:
    if isinstance(wanted, TypeAdapter):
        return wanted
    try:
        return cast("TypeAdapter[Parsed]", _cached(cast("Hashable", wanted)))
    except TypeError:  # it cannot be hashed, such as Annotated with a list
        return TypeAdapter(wanted)


@lru_cache(maxsize=256)
def _cached(wanted: Hashable) -> TypeAdapter[Any]:
    """To build an adapter takes about a hundred times as long as to use it."""
    return TypeAdapter(cast("type[Any]", wanted))


def _name(wanted: Any) -> str:
    return getattr(wanted, "__name__", None) or ("the type" if isinstance(wanted, TypeAdapter) else str(wanted))


def _differences(error: ValidationError) -> str:
    """Name the first places, with what was expected there; nothing of what was found."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return "it is not JSON; ask for a structured output (response_format, text.format), and use a new id"
    told = [f"{'.'.join(map(str, each['loc'])) or 'the whole'} ({each['type']})" for each in found[:_NAMED_MAX]]
    rest = f" and {len(found) - _NAMED_MAX} more places" if len(found) > _NAMED_MAX else ""
    return f"{', '.join(told)}{rest}; give the request the schema of this type, and use a new id"
