"""A mistake has one sentence, whether the client refuses it, `headrace submit` or the dispatcher."""

import json
from typing import Any

import pytest

from headrace.broker.cli.request_lines import submissions
from headrace.broker.client import submission
from headrace.broker.core.ticket import Candidate, Garbage
from headrace.broker.errors import InvalidRequest
from headrace.schemas.record import Record
from tests.unit.service.intake.test_pricer import pricer, read

BODY = {"model": "gpt-4o-mini"}

WRONG: dict[str, dict[str, Any]] = {
    "an id that is a number": {"id": 7},
    "an id that is no ASCII": {"id": "M\u00fcller"},
    "no body": {"body": None},
    "a body that is text": {"body": json.dumps(BODY)},
    "a body without a model": {"body": {"messages": []}},
    "a body with a time-out": {"body": BODY | {"timeout": 1}},
    "a body that streams": {"body": BODY | {"stream": True}},
    "a response in the background": {"endpoint": "responses", "body": BODY | {"background": True}},
    "an endpoint that there is not": {"endpoint": "completions"},
    "a deadline without a zone": {"deadline": "2999-01-01T00:00:00"},
    "a tenant without a letter": {"tenant": ""},
    "a stream that is text": {"stream": "yes"},
    "metadata that is a list": {"metadata": []},
    "a topic that none can be": {"reply_to": "a b"},
}


def of_the_dispatcher(value: bytes) -> str:
    """The sentence of its Failed."""
    _, known = read(Record(None, value), priced=pricer())
    if isinstance(known, Garbage):
        return known.sentence
    assert isinstance(known, Candidate)
    assert known.refusal is not None
    return known.refusal[1]


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
def test_client_command_and_dispatcher_say_the_same(fields: dict[str, Any]) -> None:
    given = {"id": "lead-1", "body": BODY} | fields
    value = json.dumps(given).encode()
    with pytest.raises(InvalidRequest) as of_the_client:
        submission(given, lane="bulk")
    with pytest.raises(InvalidRequest) as of_the_command:
        list(submissions([value], lane="bulk", tenant=None, source="-"))
    sentence = str(of_the_client.value)
    assert str(of_the_command.value) == f"Line 1 of standard input: {sentence}"
    assert of_the_dispatcher(value) == sentence
