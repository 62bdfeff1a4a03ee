"""Whatever is pasted, `headrace explain` says something about it, promptly, and never what was pasted."""

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.cli.explain.answers import answers_in
from headrace.broker.cli.explain.page import page
from headrace.broker.cli.explain.pieces import LINE_CHARS_MAX, pieces
from headrace.broker.cli.explain.verb import as_object
from headrace.broker.core.answers.verdict import judge
from tests.property.test_verdict import mangled
from tests.unit.core import recorded

PASTES = 2_000


def explained(pasted: bytes) -> str:
    """Everything both forms say."""
    told: list[str] = []
    for piece in pieces(pasted.splitlines(keepends=True)):
        for answer in answers_in(piece.text):
            verdict = judge(answer)
            told += page(answer, verdict, where="", width=80)
            told.append(json.dumps(as_object(answer, verdict)))
    return "\n".join(told)


@pytest.mark.slow
def test_two_thousand_mangled_pastes_are_explained_and_none_is_shown_again() -> None:
    dice = random.Random(11)
    errors, sets = recorded.errors(), recorded.header_sets()
    for _ in range(PASTES):
        row, headers = dice.choice(errors), dice.choice(sets)["headers"]
        text = mangled(row["message"], dice)
        error = {"message": text, "type": dice.choice([row["type"], text]), "code": dice.choice([row["code"], text])}
        head = "".join(f"{name}: {value}\n" for name, value in headers.items())
        forms = [
            json.dumps({"status": row["status"], "headers": headers, "body": {"error": error}}, ensure_ascii=False),
            json.dumps({"error": error}, indent=2, ensure_ascii=False),
            f"HTTP/1.1 {row['status']} x\n{head}\n{json.dumps({'error': error}, ensure_ascii=False)}",
            f"event: error\ndata: {json.dumps({'type': 'error', 'error': error}, ensure_ascii=False)}\n\n",
            f"openai.RateLimitError: Error code: {row['status']} - {{'error': {error}}}",
            error["message"],
        ]
        told = explained(mangled(dice.choice(forms), dice).encode())
        assert not any(word in told for word in ("«", "»", "geheim")), told


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(
    pasted=st.one_of(
        st.binary(max_size=300), st.text(alphabet="{}[]\":,\n'0129 HTP/.datevnro<\\", max_size=200).map(str.encode)
    )
)
def test_no_bytes_make_it_raise(pasted: bytes) -> None:
    explained(pasted)


@pytest.mark.slow
@pytest.mark.parametrize(
    "filler", ["a", "a_", "{", "[", "(", "-", "{'", '"', "\\", "1", " ", "Error", "RateLimitError: ", "data: \n"]
)
def test_a_million_characters_of_anything_take_moments(filler: str) -> None:
    began = time.process_time()
    for start in ("", "{", "Error code: 429 - {", "HTTP/1.1 429 x\n\n", "event: error\ndata: "):
        explained((start + filler * (LINE_CHARS_MAX // 5 // len(filler))).encode())
    assert time.process_time() - began < 3
