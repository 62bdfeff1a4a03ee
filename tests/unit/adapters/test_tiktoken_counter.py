"""Counting without a network, for models known and unknown."""

from collections.abc import Callable

import pytest
from tiktoken.model import MODEL_TO_ENCODING

from headrace.broker.adapters.tiktoken_counter import TEXT_MAX, TiktokenCounter, encoding_name

pytestmark = pytest.mark.timeout(60)  # an encoding takes up to 2.6 s to load on two busy cores


@pytest.fixture(scope="module")
def counter() -> TiktokenCounter:
    counter = TiktokenCounter()
    counter.warm(["gpt-4o", "gpt-4"])
    return counter


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "text", "tokens"),
    [
        ("gpt-4o-mini", "", 0),
        ("gpt-4o-mini", "hello world", 2),
        # The examples of OpenAI's cookbook, "How to count tokens with tiktoken".
        ("gpt-4o-mini", "antidisestablishmentarianism", 6),
        ("gpt-4", "antidisestablishmentarianism", 6),
        ("gpt-4o-mini", "2 + 2 = 4", 7),
        ("gpt-4", "2 + 2 = 4", 7),
        ("gpt-4o-mini", "お誕生日おめでとう", 8),
        ("gpt-4", "お誕生日おめでとう", 9),
        ("gpt-4o-mini", "<|endoftext|>", 7),
        ("gpt-6-luna", "hello world", 2),
        ("some-deployment", "hello world", 2),
    ],
)
def test_a_text_has_the_tokens_that_openai_sees(counter: TiktokenCounter, model: str, text: str, tokens: int) -> None:
    assert counter.count(model, text) == tokens


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4.1-mini-2025-04-14", "o200k_base"),
        ("ft:gpt-4.1-mini-2025-04-14:acme::1", "o200k_base"),
        ("ft:gpt-4o-mini:acme::1", "o200k_base"),
        ("ft:gpt-4-0613:acme::1", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("gpt-6.1-sol", "o200k_base"),
        ("", "o200k_base"),
    ],
)
def test_a_model_is_counted_in_its_own_encoding(model: str, name: str) -> None:
    assert encoding_name(model) == name


def test_our_rule_agrees_with_tiktoken_wherever_it_knows_one_of_both_encodings() -> None:
    theirs = {model: name for model, name in MODEL_TO_ENCODING.items() if name in {"o200k_base", "cl100k_base"}}
    assert {model: encoding_name(model) for model in theirs} == theirs


@pytest.mark.slow
def test_a_tokenizer_that_panics_cannot_tell(counter: TiktokenCounter, capfd: pytest.CaptureFixture[str]) -> None:
    assert counter.count("gpt-4o", " " * 1_100_000) is None
    assert "panicked" in capfd.readouterr().err  # Rust's own words; if they are gone, so may be this rule


@pytest.mark.slow
def test_a_text_beyond_the_bound_is_not_counted(counter: TiktokenCounter) -> None:
    assert counter.count("gpt-4o", "a" * (TEXT_MAX + 1)) is None


def test_an_interrupt_is_never_swallowed() -> None:
    class _Interrupting(TiktokenCounter):
        def _encoding(self, name: str) -> "_Interrupting":  # type: ignore[override] # a tokenizer that is interrupted
            return self

        def encode_ordinary(self, text: str) -> list[int]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _Interrupting().count("gpt-4o", "x")


def test_a_lone_surrogate_is_counted(counter: TiktokenCounter) -> None:
    assert counter.count("gpt-4o", "\ud800") is not None


def test_an_encoding_is_loaded_once(counter: TiktokenCounter) -> None:
    load: Callable[[str], object] = counter._encoding
    assert load("o200k_base") is load("o200k_base")
