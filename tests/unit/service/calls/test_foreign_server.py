"""What is told of an answer that OpenAI's API has not written: enough to find the server, nothing of the request."""

import pytest

from headrace.broker.service.calls.foreign_server import WORDS_CHARS_MAX, response_facts, shown

URL = "https://gw/v1"
ASKED = {"messages": [{"content": "Dear  Mr Müller, about your quote"}], "model": "m"}


def says(text: str) -> str | None:
    return response_facts(URL, {}, text, ASKED).get("says")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("404 page not found\n", "404 page not found"),
        ("", None),
        ("  \n", None),
        ("<!DOCTYPE html><title> Sign\n in </title><body>x", "Sign in"),
        ("<html><title></title><style>p {}</style><p>It <b>works</b>!</p><!-- no -->", "It works !"),
        ("<html><title>cut off", "cut off"),
        ('{"timestamp": 1, "path": "/v1/secret", "bad key": 2}', "JSON with timestamp, path"),
        ("[1, 2]", "JSON"),
        ('{"cut": "off', None),
        ("[" * 4_000, None),
        ("\x1b[31mred\u202e", "\\x1b[31mred\\u202e"),
        ("x" * 500, "x" * WORDS_CHARS_MAX),
        ("POST: Dear Mr Müller, about", None),
        ("about Mr M", "about Mr M"),
        ("Mr  Müller", None),
        ("Not found", "Not found"),
    ],
)
def test_its_first_words_are_told_unless_they_are_the_requests(text: str, words: str | None) -> None:
    assert says(text) == words


@pytest.mark.parametrize(
    "text",
    [
        'no: say "hi" to "Bob" and "Al" at "9"',
        r"no: say \"hi\" to \"Bob\" and \"Al\"",
        "no: say &quot;hi&quot; to &quot;Bob&quot; and &quot;Al&quot;",
        r'bad JSON: {"m":"gpt","c":"say \"hi\" to \"B',
        "no: SAY HI TO BOB AND AL",
        "no: say+%22hi%22+to+%22Bob%22+and",
        "+49 171 12",
    ],
)
def test_words_of_the_request_are_known_however_they_are_written(text: str) -> None:
    asked = {"m": "gpt", "c": 'say "hi" to "Bob" and "Al" at "9", +49 171 1234'}
    assert "says" not in response_facts(URL, {}, text, asked)


def test_of_a_request_that_cannot_be_written_nothing_is_told() -> None:
    assert "says" not in response_facts(URL, {}, "a long enough text", {"odd": object()})


def test_type_and_target_are_told_without_what_may_be_secret() -> None:
    headers = {"Content-Type": "text/html; charset=utf-8", "Location": "https://me:pw@sign.in/a?token=secret"}
    expected = {"url": URL, "content_type": "text/html; charset=utf-8", "leads_to": "https://sign.in"}
    assert response_facts(URL, headers, "", {}) == expected
    assert response_facts(URL, {"location": "/v1/"}, "", {}) == {"url": URL}


def test_a_base_url_is_shown_without_login_and_values() -> None:
    assert shown("https://me:pw@gw/v1?key=secret") == "https://me:***@gw/v1?key=***"
    assert "pw" not in shown("gw:pw@")
