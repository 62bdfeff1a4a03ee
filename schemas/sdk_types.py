"""An answer as the type that OpenAI's own SDK gives it: what `Completed.as_openai` does.

The one module of schemas that reaches a third party beside pydantic, and only when it is asked: a producer or reader
that never calls `as_openai` loads nothing of openai. The answer is built as the SDK builds it, by its own `construct`,
which validates nothing: an answer with a field that the installed release does not know is no error.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from headrace.schemas.outcome_errors import AnswerUnusable, SdkMissing

if TYPE_CHECKING:
    from headrace.schemas.outcome import Completed


def _chat_completion() -> Any:
    from openai.types.chat import ChatCompletion  # noqa: PLC0415  # loaded by services that ask for its types

    return ChatCompletion


def _response() -> Any:
    from openai.types.responses import Response  # noqa: PLC0415  # same

    return Response


def _embeddings() -> Any:
    from openai.types import CreateEmbeddingResponse  # noqa: PLC0415  # same

    return CreateEmbeddingResponse


_TYPES: Final[dict[str, Callable[[], Any]]] = {
    "chat.completions": _chat_completion,
    "responses": _response,
    "embeddings": _embeddings,
}
_LISTS: Final = {"choices": "chat.completions", "output": "responses", "data": "embeddings"}
"""The list that an answer of each endpoint holds, for outcomes of releases that did not name it."""


def as_sdk_type(outcome: "Completed") -> Any:
    """Return the answer as the SDK's type; see `Completed.as_openai`."""
    response = outcome.response
    by_shape = next((name for member, name in _LISTS.items() if isinstance(response.get(member), list)), "")
    load = _TYPES.get(outcome.endpoint or by_shape)
    if load is None:
        sentence = f"the SDK's type for the endpoint {outcome.endpoint} is not known here: take outcome.response."
        raise AnswerUnusable(outcome, "endpoint", sentence)
    try:
        sdk_type = load()
    except ImportError as reason:
        raise SdkMissing(_why_missing()) from reason
    return sdk_type.construct(**response)


def _why_missing() -> str:
    try:
        import openai  # noqa: PLC0415  # same
    except ImportError:
        return "The package openai is not installed here: install it beside headrace."
    return f"The package openai {openai.__version__} lacks the type of this answer: responses need 1.66 or newer."
