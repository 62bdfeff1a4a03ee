"""The observed result of one attempt, before anything is made of it.

A module of its own, because Kafka's adapters, which producers and readers load, share `headrace.broker.ports` with the
door to OpenAI, and a judgement of answers is no part of theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Details = tuple[tuple[str, str], ...]
"""Further fields of an error: lower-case names and texts, in the order of the body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The observed result of one attempt. Without any answer: status None, error_code `timeout` or `connection`.

    Attributes:
        early: The headers came before the answer, as those of a stream do.
        details: The error's further fields (`headrace.broker.core.answers.error_body`).
    """

    status: int | None
    headers: Mapping[str, str]
    error_code: str | None
    error_type: str | None
    error_param: str | None
    message: str
    early: bool = False
    details: Details = ()
