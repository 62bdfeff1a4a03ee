import json
from dataclasses import replace
from typing import Any

import pytest

from headrace.broker.simulator.answers import AnswerIngredients, answer_body
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.streams import AnswerStream, Break, Delta, Manner, spelled, stream_of

ODD = [
    "",
    "a",
    " ",
    "\n\n\n",
    "no" * 40,
    '{"subject":"x"}',
    "one  two\tthree \n",
    "naïve — “quoted” ünïcödé",
    "A\ud800b",
]


def answered(*texts: str) -> dict[str, Any]:
    return {"choices": [{"index": index, "message": {"content": text}} for index, text in enumerate(texts)]}


def streamed(*texts: str, seed: int = 1, **asked: Any) -> AnswerStream:
    return stream_of(Endpoint.CHAT, asked, answered(*texts), seed)


def real(seed: int) -> AnswerStream:
    body = {"messages": [{"role": "user", "content": "Company: Acme"}]}
    whole = answer_body(Endpoint.CHAT, AnswerIngredients(body, "m", seed, "1"))
    return stream_of(Endpoint.CHAT, body, whole, seed)


@pytest.mark.parametrize("text", ODD)
def test_the_deltas_put_together_are_the_text_whatever_it_is(text: str) -> None:
    for seed in range(20):
        assert "".join(delta.text for delta in streamed(text, seed=seed).deltas) == text


def test_deltas_are_of_varying_size_and_differ_by_seed() -> None:
    texts = [delta.text for delta in real(1).deltas]
    assert len(texts) > 15
    assert {len(text.split()) for text in texts} >= {1, 2, 3, 4}
    assert max(len(text) for text in texts) <= 4 * 13
    assert texts != [delta.text for delta in real(2).deltas]
    assert texts == [delta.text for delta in real(1).deltas]


def test_choices_take_turns_until_the_shorter_is_told() -> None:
    stream = streamed("a" * 120, "b")
    assert [delta.choice for delta in stream.deltas][:4] == [0, 1, 0, 0]
    assert Delta(1, "b") in stream.deltas


def test_the_first_token_takes_its_time_and_the_rest_come_at_an_even_rate() -> None:
    for seed in range(30):
        stream = real(seed)
        shares = stream.shares()
        assert 0.1 <= shares[0] == stream.first_share <= 0.3
        assert shares == sorted(shares)
        assert shares[-1] == stream.end_share == 1.0
        rates = [
            (later - sooner) / len(delta.text)
            for sooner, later, delta in zip(shares[:-1], shares[1:], stream.deltas, strict=True)
        ]
        assert max(rates) == pytest.approx(min(rates))
    assert len({real(seed).first_share for seed in range(30)}) == 30


@pytest.mark.parametrize(("after", "told"), [(0, 0), (2, 2), (10_000, None)])
def test_a_broken_stream_ends_where_its_next_delta_would_have_come(after: int, told: int | None) -> None:
    whole = real(1)
    broken = replace(whole, broken=Break(Manner.CUT, after))
    told = len(whole.deltas) if told is None else told
    assert (broken.told, broken.end_share) == (told, whole.shares()[told])


def test_padding_makes_sizes_alike_and_can_be_declined() -> None:
    stream = streamed("Hello there, and again")
    for place, text in enumerate(("", "Hello", " company answer their leads", "x" * 16)):
        padded = len(text) + len(stream.padding(place, text)["obfuscation"])
        assert padded % 16 == 0
        assert padded > len(text)
    assert streamed("Hello", stream_options={"include_obfuscation": False}).padding(0, "Hello") == {}


@pytest.mark.parametrize(
    ("options", "with_usage"),
    [({}, False), ({"stream_options": None}, False), ({"stream_options": 3}, False),
     ({"stream_options": {"include_usage": True}}, True), ({"stream_options": {"include_usage": False}}, False)],
)  # fmt: skip
def test_usage_is_told_to_whoever_asks_for_it(options: dict[str, Any], with_usage: bool) -> None:  # noqa: FBT001
    assert streamed("a", **options).with_usage is with_usage


def test_events_are_one_line_in_utf_8_unless_that_cannot_be() -> None:
    assert spelled({"a": "ü\n\u2028"}) == '{"a":"ü\\n\u2028"}'
    odd = spelled({"a": "\ud800"})
    assert odd.encode().isascii()
    assert json.loads(odd) == {"a": "\ud800"}
