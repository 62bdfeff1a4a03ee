"""Sentences about fields, in our words."""

import re
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.schemas.complaint import kind_of, sentence_of
from headrace.schemas.request import GenerationRequest

BODY = {"model": "gpt-4o-mini"}
LIBRARY = re.compile(
    r"Input should|expected str|type=|pydantic|valid string|valid dictionary|Field required", re.IGNORECASE
)


def sentence(shape: type[BaseModel], fields: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        shape.model_validate(fields)
    return sentence_of(raised.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": 7}, "id is not valid: it must be text, not a number: put it in quotes."),
        ({"id": True}, "id is not valid: it must be text, not true or false."),
        ({"id": ["a"]}, "id is not valid: it must be text, not a list."),
        ({"id": None}, "id is not valid: it must be text, not null."),
        ({"body": '{"model": "SECRET"}'},
         "body is not valid: it must be a JSON object, not text: leave out the quotes around it."),
        ({"body": "SECRET"}, "body is not valid: it must be a JSON object, not text."),
        ({"endpoint": "/v1/chat/completions"}, ("endpoint is not valid: it must be chat.completions, responses or "
         "embeddings (did you mean chat.completions?).")),
        ({"endpoint": 7}, "endpoint is not valid: it must be chat.completions, responses or embeddings."),
        ({"tenant": ""}, "tenant is not valid: it must not be empty."),
        ({"tenant": "SECRET" * 50}, "tenant is not valid: it must be text of at most 256 characters."),
        ({"reply_to": "no topic!"}, "reply_to is not valid: it must be 1 to 249 letters, digits, dots, - and _."),
        ({"stream": "yes"}, "stream is not valid: it must be true or false, not text."),
        ({"deadline": 5}, "deadline is not valid: a time is a text like 2026-12-01T09:00:00Z."),
        ({"metadata": []}, "metadata is not valid: it must be a JSON object, not a list."),
    ],
)  # fmt: skip
def test_a_request_is_told_which_field_and_what_it_must_be(fields: dict[str, Any], said: str) -> None:
    assert sentence(GenerationRequest, {"id": "a", "body": BODY} | fields) == f"The field {said}"


def test_a_field_that_is_missing_is_said_to_be() -> None:
    assert sentence(GenerationRequest, {"id": "a"}) == "The field body is missing."


class Part(BaseModel):
    """A shape in a shape."""

    there: int


class Odd(BaseModel):
    """Every type there is in a shape of ours."""

    model_config = ConfigDict(strict=True)

    whole: int = 0
    more: Annotated[int, Field(gt=1)] = 2
    least: Annotated[float, Field(ge=1)] = 1.0
    most: Annotated[int, Field(le=3)] = 1
    less: Annotated[int, Field(lt=3)] = 1
    amount: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    several: list[int] = Field(default_factory=list)
    pair: tuple[int, int] = (1, 2)
    word: Literal["a"] = "a"
    parts: dict[str, Part] = Field(default_factory=dict)
    when: date = date(2026, 1, 1)
    many: Annotated[list[int], Field(max_length=1)] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"whole": "SECRET"}, "whole is not valid: it must be a whole number, not text."),
        ({"whole": 1.5}, "whole is not valid: it must be a whole number."),
        ({"more": 1}, "more is not valid: it must be more than 1."),
        ({"least": 0.5}, "least is not valid: it must be at least 1.0."),
        ({"most": 4}, "most is not valid: it must be at most 3."),
        ({"less": 3}, "less is not valid: it must be less than 3."),
        ({"amount": float("nan")}, "amount is not valid: it must be a finite number."),
        ({"several": {}}, "several is not valid: it must be a list, not an object."),
        ({"pair": 5}, "pair is not valid: it must be a list, not a number."),
        ({"parts": {"SECRET": {}}}, "parts is not valid: a part of it is missing."),
        ({"word": "b"}, "word is not valid: it must be a."),
        ({"when": 1}, "when is not valid: it must be something else, not a number."),
        ({"many": [1, 2]}, "many is not valid: it must be shorter: at most 1."),
    ],
)
def test_any_shape_is_told_in_words_of_ours(fields: dict[str, Any], said: str) -> None:
    told = sentence(Odd, fields)
    assert told == f"The field {said}"
    assert not LIBRARY.search(told)
    assert "SECRET" not in told


def test_what_is_no_json_at_all_is_said_to_be_none() -> None:
    with pytest.raises(ValidationError) as raised:
        Odd.model_validate_json(b"{SECRET")
    assert sentence_of(raised.value, "value") == "The value is not valid: it is not JSON."


def test_what_json_does_not_have_has_a_name_too() -> None:
    assert kind_of({1}) == "something that JSON does not have"
