"""Lines of OpenAI's Batch API as requests."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.cli.batch_line import translated
from headrace.broker.cli.request_lines import checked, submissions
from headrace.broker.errors import InvalidRequest

BODY = {"model": "gpt-4o-mini", "messages": []}
LINE = {"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": BODY}


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [("/v1/chat/completions", "chat.completions"), ("/v1/responses", "responses"), ("/v1/embeddings", "embeddings")],
)
def test_id_endpoint_and_body_are_those_of_the_line(url: str, endpoint: str) -> None:
    assert translated(LINE | {"url": url}) == {"id": "request-1", "endpoint": endpoint, "body": BODY}


def test_fields_of_ours_may_stand_beside_them() -> None:
    told = translated(LINE | {"lane": "bulk", "tenant": "acme", "metadata": {"lead": 1}})
    assert (told["lane"], told["tenant"], told["metadata"]) == ("bulk", "acme", {"lead": 1})


def test_what_it_does_not_know_stays_for_others_to_refuse() -> None:
    assert translated(LINE | {"colour": 1})["colour"] == 1


def test_a_line_of_ours_stays_as_it_is() -> None:
    fields = {"id": "a", "body": BODY}
    assert translated(fields) == fields


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (LINE | {"method": "GET"}, "The field method is not valid: it must be POST, not GET."),
        (LINE | {"method": 1}, "The field method is not valid: it must be POST, not a number."),
        (LINE | {"url": "/v1/completions"}, ("The field url is not valid: it must be /v1/chat/completions, "
         "/v1/responses or /v1/embeddings (did you mean /v1/chat/completions?).")),
        (LINE | {"url": 1}, "The field url is not valid: it must be /v1/chat/completions, "),
        (LINE | {"custom_id": 7}, ("The field custom_id is not valid: it must be text of 1 to 128 printable ASCII "
         "characters, not a number.")),
        (LINE | {"custom_id": "\u00fc"}, "printable ASCII characters."),
        (LINE | {"id": "a"}, "It has both custom_id, of OpenAI's Batch format, and id, of Headrace's: leave one out."),
        (LINE | {"endpoint": "responses"}, "It has both url, of OpenAI's Batch format, and endpoint"),
        ({"custom_id": "a", "body": BODY}, "It has custom_id, of OpenAI's Batch format, but no url: add it"),
        ({"method": "POST", "url": "/v1/responses"}, ("It has method and url, of OpenAI's Batch format, but "
            "no custom_id: add it")),
        ({"custom_id": "a", "id": "batch_req_1", "response": {}, "error": None}, "from the output of a Batch"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_here_is_refused_by_its_name(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        translated(fields)
    assert said in str(raised.value)


def test_the_example_file_is_read_and_nothing_of_it_is_dropped() -> None:
    file = Path(__file__).parents[3] / "examples" / "batch.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    with file.open("rb") as given:
        read = list(submissions(given, lane="standard", tenant=None, source=str(file)))
    assert [(one.request.id, one.request.body) for one in read] == [(line["custom_id"], line["body"]) for line in lines]
    assert [one.request.endpoint for one in read] == ["chat.completions", "responses", "embeddings"]
    assert [one.lane for one in read] == ["standard", "standard", "bulk"]
    assert checked(str(file), lane="standard", tenant=None).count == 3
