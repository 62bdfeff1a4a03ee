"""A request is priced alike by both sides, each by its own code."""

import pytest

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.laws import RequestSize as CoreSize
from headrace.broker.core.pricing.laws import charge
from headrace.broker.planner.arrivals import ENDPOINTS, chat_sizes, embedding_sizes, responses_sizes
from headrace.broker.simulator.pricing import ChatLaw as PlayedLaw
from headrace.broker.simulator.pricing import Size, charge_at


@pytest.mark.parametrize("law", ["chat-2025", "chat-legacy", "documented"])
@pytest.mark.parametrize("text_bytes", [0, 1, 4, 1_234])
def test_a_chat_costs_what_openai_takes(law: str, text_bytes: int) -> None:
    size, asked = chat_sizes(text_bytes, messages=3, choices=2, answer_max=77)
    assert charge(Law(law), size) == charge_at(ENDPOINTS["chat.completions"], asked, PlayedLaw(law))


@pytest.mark.parametrize(
    ("endpoint", "law", "sizes"),
    [
        ("responses", Law.RESPONSES, responses_sizes(500)),
        ("responses", Law.RESPONSES, responses_sizes(500, function_tools=True)),
        ("embeddings", Law.EMBEDDINGS, embedding_sizes(800)),
    ],
)
def test_other_endpoints_as_well(endpoint: str, law: Law, sizes: tuple[CoreSize, Size]) -> None:
    size, asked = sizes
    assert charge(law, size) == charge_at(ENDPOINTS[endpoint], asked, PlayedLaw.CHAT_2025)
