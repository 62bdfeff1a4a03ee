import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from headrace.broker.core.endpoints import DEFAULT_ENDPOINT, ENDPOINT_TABLE, UNKNOWN_ENDPOINT, Law, Shape, facts_of
from headrace.broker.settings.limits import ChargeLaw
from headrace.broker.simulator.pricing import Endpoint as Served
from headrace.schemas.outcome import Finish
from headrace.schemas.request import ENDPOINTS, UNSTREAMED, GenerationRequest

ROOT = Path(__file__).parents[3]
TELL_ENDPOINTS_APART = {
    "broker/core/endpoints.py",
    "broker/observability/spans.py",  # an operation of OpenTelemetry's GenAI conventions has the name of an endpoint
    "broker/settings/limits.py",  # laws of the same names, to be chosen by an operator
    "schemas/refusals.py",  # one field of one endpoint; schemas import nothing of ours
    "schemas/request.py",
    "schemas/sdk_types.py",  # the SDK's type of each answer, by the name of its endpoint; the same
}


def test_producers_may_ask_for_every_row_and_for_nothing_else() -> None:
    assert tuple(ENDPOINT_TABLE) == ENDPOINTS
    assert GenerationRequest.model_fields["endpoint"].default == DEFAULT_ENDPOINT


def test_producers_may_stream_what_can_be_streamed() -> None:
    assert {name for name, facts in ENDPOINT_TABLE.items() if not facts.is_streamed} == UNSTREAMED
    assert not any(facts.stream_options for facts in ENDPOINT_TABLE.values() if not facts.is_streamed)
    assert facts_of("chat.completions").stream_options == {"include_usage": True}, "else a stream states no usage"


def test_the_path_below_the_base_url_is_openais_and_the_simulator_serves_it() -> None:
    paths = {name: facts.path for name, facts in ENDPOINT_TABLE.items()}
    assert paths == {
        "chat.completions": "/chat/completions",
        "responses": "/responses",
        "embeddings": "/embeddings",
    }
    assert {path.removeprefix("/") for path in paths.values()} == set(Served)


def test_each_endpoint_has_the_law_that_records_support_and_an_unknown_one_the_documented() -> None:
    assert facts_of("chat.completions").recorded_law is Law.CHAT_2025
    assert facts_of("responses").recorded_law is Law.RESPONSES
    assert facts_of("embeddings").recorded_law is Law.EMBEDDINGS
    assert facts_of("something.new") is UNKNOWN_ENDPOINT
    assert UNKNOWN_ENDPOINT.laws == (UNKNOWN_ENDPOINT.recorded_law,) == (Law.DOCUMENTED,)


def test_the_recorded_law_may_hold_and_usage_and_documentation_may_hold_everywhere() -> None:
    for facts in ENDPOINT_TABLE.values():
        assert {facts.recorded_law, Law.DOCUMENTED, Law.USAGE} <= set(facts.laws)


def test_an_operator_may_choose_every_law() -> None:
    assert set(get_args(ChargeLaw)) == {"auto", *Law}


def test_every_finish_reason_is_one_that_outcomes_have() -> None:
    known = {ours for facts in ENDPOINT_TABLE.values() for ours in facts.finish_reasons.values()}
    assert known < set(Finish), "no word of the API says that the model refused: that stands beside it"
    assert not any(facts.finish_reasons for facts in ENDPOINT_TABLE.values() if facts.shape is Shape.VECTORS)


@pytest.mark.slow
@pytest.mark.interpreted  # it reads the sources
def test_what_tells_endpoints_apart_stands_in_one_table() -> None:
    words = {word for name, facts in ENDPOINT_TABLE.items() for word in (name, facts.path)}
    assert {path for path in product() if words & texts((ROOT / path).read_text(encoding="utf-8"), words)} == (
        TELL_ENDPOINTS_APART
    )


def product() -> Iterator[str]:
    for package in ("broker", "consumers", "schemas"):
        for file in (ROOT / package).rglob("*.py"):
            path = file.relative_to(ROOT).as_posix()
            if not path.startswith("broker/simulator/"):  # it shares no code with the core
                yield path


def texts(code: str, words: set[str]) -> set[object]:
    """The constants of a module; of one without the words nothing, as parsing takes most of the time."""
    if not any(word in code for word in words):
        return set()
    return {node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)}
