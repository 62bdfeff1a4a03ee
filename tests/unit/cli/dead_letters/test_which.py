"""Which dead letters a listing is about, and how one is named."""

from datetime import timedelta
from typing import Any

import pytest

from headrace.broker.cli.dead_letters.verb import place_of
from headrace.broker.cli.main import main
from headrace.consumers.dead_letters import Original
from headrace.consumers.replays.filters import LetterFilters
from headrace.schemas.dead_letter import Origin
from tests.unit.cli.dead_letters.specimens import AT, found, request

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ({}, True),
        ({"reasons": ("exhausted", "rejected")}, True),
        ({"reasons": ("exhausted",)}, False),
        ({"since": AT}, True),
        ({"since": AT + SECOND}, False),
        ({"until": AT + SECOND}, True),
        ({"until": AT}, False),
    ],
)
def test_headers_are_enough_for_reason_and_time(fields: dict[str, Any], held: bool) -> None:  # noqa: FBT001  # a table's column
    assert LetterFilters(**fields).may_hold(found(request())) is held


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ({}, True),
        ({"models": ("gpt-4o*",)}, True),
        ({"models": ("gpt-4.1", "gpt-4o-mini")}, True),
        ({"models": ("gpt-4o",)}, False),
        ({"models": ("GPT-4O*",)}, False),
        ({"tenant": "acme"}, True),
        ({"tenant": "acm"}, False),
        ({"tenant": "acme", "models": ("gpt-4.1",)}, False),
    ],
)
def test_model_and_tenant_are_the_originals(fields: dict[str, Any], held: bool) -> None:  # noqa: FBT001  # as above
    assert LetterFilters(**fields).holds(Original("lead-1", "acme", "gpt-4o-mini", None)) is held


def test_what_does_not_tell_its_model_is_of_no_model() -> None:
    bare = Original(None, None, None, None)
    assert LetterFilters().holds(bare)
    assert not LetterFilters(models=("*",)).holds(bare)
    assert not LetterFilters(tenant="").holds(bare)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("generation.requests.bulk/3/12", Origin("generation.requests.bulk", 3, 12)),
        ("a/b/3/12", Origin("a/b", 3, 12)),
        ("lead-1", None),
        ("lead/1", None),
        ("lead/x/1", None),
        ("/3/12", None),
        ("t/-1/2", None),
        ("t/²/2", None),
    ],
)
def test_a_place_is_recognised(text: str, place: Origin | None) -> None:
    assert place_of(text) == place


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_time_that_is_none_is_usage(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dead-letters", "list", option, "yesterday"]) == 2
    assert "a span such as 15m or 2h, or 2026-12-01T09:00:00Z" in capsys.readouterr().err


def test_without_kafka_it_is_exit_3_and_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (["list"], ["show", "lead-1"]):
        assert main(["dead-letters", *verb, "--bootstrap-servers", "127.0.0.1:1", "--timeout", "0.1"]) == 3
        assert capsys.readouterr().err.startswith("headrace: No Kafka listens at 127.0.0.1:1")
