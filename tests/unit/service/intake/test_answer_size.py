"""Vectors that cannot fit a record are known before they are paid for."""

import base64
import json
import math
import random
import struct
from typing import Any

import pytest

from headrace.broker.core.endpoints import ENDPOINT_TABLE
from headrace.broker.service.intake.answer_size import inputs_max

MIB = 2**20


def body(inputs: int, **fields: Any) -> dict[str, Any]:
    return {"model": "text-embedding-3-small", "input": ["text"] * inputs} | fields


def answer_of(asked: dict[str, Any], numbers: int) -> bytes:
    """An answer such as OpenAI writes, of vectors of length one with eight digits."""
    dice = random.Random(numbers)
    raw = [dice.gauss(0, 1) for _ in range(numbers)]
    length = math.sqrt(sum(each * each for each in raw))
    vector: Any = [float(f"{each / length:.8g}") for each in raw]
    if asked.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack(f"<{numbers}f", *vector)).decode()
    data = [{"object": "embedding", "index": at, "embedding": vector} for at in range(len(asked["input"]))]
    told = {"object": "list", "data": data, "model": asked["model"], "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    return json.dumps(told, separators=(",", ":")).encode()


@pytest.mark.parametrize("packed", [{"encoding_format": "base64"}, {"encoding_format": "float"}, {}])
@pytest.mark.parametrize(
    ("model", "fields", "numbers"),
    [
        ("text-embedding-3-small", {}, 1_536),
        ("text-embedding-3-large", {}, 3_072),
        ("text-embedding-3-large", {"dimensions": 256}, 256),
        ("text-embedding-ada-002", {}, 1_536),
    ],
)
def test_what_is_refused_would_not_have_fitted_and_what_is_advised_fits(
    model: str, fields: dict[str, Any], numbers: int, packed: dict[str, str]
) -> None:
    least = next(count for count in range(1, 2_000) if inputs_max("embeddings", _of(model, count, fields, packed), MIB))
    assert len(answer_of(_of(model, least, fields, packed), numbers)) > MIB
    advised = inputs_max("embeddings", _of(model, least, fields, packed), MIB)
    assert advised is not None
    assert len(answer_of(_of(model, advised, fields, packed), numbers)) <= MIB


def _of(model: str, inputs: int, fields: dict[str, Any], packed: dict[str, str]) -> dict[str, Any]:
    return body(inputs, model=model) | fields | packed


def test_packed_vectors_are_refused_from_the_first_that_does_not_fit() -> None:
    packed = {"encoding_format": "base64"}
    counts = [count for count in range(1, 300) if inputs_max("embeddings", body(count, **packed), MIB) is None]
    largest = counts[-1]
    assert len(answer_of(body(largest + 2, **packed), 1_536)) > MIB
    assert len(answer_of(body(largest, **packed), 1_536)) < MIB + 1_000


@pytest.mark.parametrize(
    "asked",
    [
        body(1_000, model="bge-m3"),
        body(1_000, model=None),
        body(1_000, model=["text-embedding-3-small"]),
        body(0) | {"input": list(range(100_000))},
        body(0) | {"input": "text" * 100_000},
        body(0) | {"input": None},
        body(0),
        body(100, dimensions=1),
        {"input": ["text"] * 10_000},
    ],
)
def test_what_is_not_known_is_not_refused(asked: dict[str, Any]) -> None:
    assert inputs_max("embeddings", asked, MIB) is None


@pytest.mark.parametrize("dimensions", [True, 0, -4, 1e9, "1", None, [1], 10**400])
def test_odd_dimensions_count_as_none_given(dimensions: object) -> None:
    assert inputs_max("embeddings", body(1_000, dimensions=dimensions), MIB) == inputs_max(
        "embeddings", body(1_000), MIB
    )


@pytest.mark.parametrize("endpoint", [name for name in ENDPOINT_TABLE if name != "embeddings"])
def test_other_endpoints_have_answers_of_no_known_size(endpoint: str) -> None:
    assert inputs_max(endpoint, body(1_000), MIB) is None
