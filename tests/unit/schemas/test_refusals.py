"""What a request may not ask, whoever looks at it."""

from typing import Any

import pytest

from headrace.schemas.refusals import MODEL_NAME_MAX, refusal_of
from headrace.schemas.request import GenerationRequest


def refused(**fields: Any) -> str | None:
    return refusal_of(GenerationRequest.model_validate({"id": "a", "body": {"model": "m"}} | fields))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"body": {}}, "must name a model"),
        ({"body": {"model": 7}}, "must name a model"),
        ({"body": {"model": ""}}, "must name a model"),
        ({"body": {"model": " \t"}}, "must name a model"),
        ({"body": {"model": "m" * (MODEL_NAME_MAX + 1)}}, "at most 256 characters"),
        ({"endpoint": "responses", "body": {"model": "m", "background": True}}, "background must not be set"),
    ],
)
def test_a_refusal_is_a_sentence(fields: dict[str, Any], told: str) -> None:
    assert told in (refused(**fields) or "")


@pytest.mark.parametrize(
    "fields",
    [{}, {"body": {"model": "m" * MODEL_NAME_MAX}}, {"body": {"model": "m", "background": True}},
     {"endpoint": "responses", "body": {"model": "m", "background": False}}],
)  # fmt: skip
def test_what_may_be_asked_is_not_refused(fields: dict[str, Any]) -> None:
    assert refused(**fields) is None
