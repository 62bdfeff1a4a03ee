"""Any JSON a producer sends can be priced."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.core.endpoints import Law, facts_of
from headrace.broker.core.pricing.laws import charge, framing_tokens, measure, texts

TEXT = st.text(st.characters(codec=None, categories=["L", "N", "Cs", "Zs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "name", "output"]), inner, max_size=4)
    ),
    max_leaves=12,
)
BODIES = st.dictionaries(
    st.sampled_from(["messages", "input", "instructions", "n", "max_tokens", "max_output_tokens", "tools", "model"]),
    JSON,
    max_size=6,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    endpoint=st.sampled_from(["chat.completions", "responses", "embeddings", "unknown"]),
    body=BODIES,
    law=st.sampled_from(Law),
)
def test_any_body_has_a_size_texts_and_a_charge_of_at_least_one(
    endpoint: str, body: dict[str, object], law: Law
) -> None:
    size = measure(endpoint, body, 7)
    assert charge(law, size) >= 1
    assert charge(facts_of(endpoint).recorded_law, size) >= 1
    assert all(isinstance(text, str) for text in texts(endpoint, body))
    assert framing_tokens(endpoint, body) >= 0


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(contents=st.lists(TEXT, min_size=1, max_size=6), more=TEXT)
def test_more_text_never_costs_less(contents: list[str], more: str) -> None:
    def cost(texts_: list[str]) -> int:
        body = {"messages": [{"role": "user", "content": text} for text in texts_]}
        return charge(Law.CHAT_2025, measure("chat.completions", body, 0))

    assert cost([*contents, more]) > cost(contents)
