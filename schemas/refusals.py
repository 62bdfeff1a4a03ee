"""Requests refused although each field is valid; client, command and dispatcher use the same words."""

from collections.abc import Callable
from typing import Final

from headrace.schemas.request import GenerationRequest

MODEL_NAME_MAX: Final = 256

_REFUSALS: Final[tuple[tuple[Callable[[GenerationRequest], bool], str], ...]] = (
    (lambda request: not (request.model or "").strip(), "body.model must name a model."),
    (
        lambda request: len(request.model or "") > MODEL_NAME_MAX,
        f"body.model must name a model in at most {MODEL_NAME_MAX} characters.",
    ),
    (
        lambda request: request.endpoint == "responses" and bool(request.body.get("background")),
        "body.background must not be set: OpenAI would answer without a response, and keep it to itself.",
    ),
)


def refusal_of(request: GenerationRequest) -> str | None:
    """Return the sentence for the first refusal that applies to the request; None if none does."""
    return next((sentence for applies, sentence in _REFUSALS if applies(request)), None)
