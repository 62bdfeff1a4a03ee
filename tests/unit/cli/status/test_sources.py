"""A dispatcher that is asked itself, and everything that may answer in its place."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from headrace.broker.cli.main import main
from headrace.broker.cli.status.sources import look_at_url, own_url, status_url
from headrace.broker.errors import SettingsError, Unreachable
from headrace.broker.settings.load import load_settings
from headrace.broker.settings.whole import Settings
from tests.unit.service.status.specimens import said

SETTINGS = load_settings(None, {}, {})


@contextmanager
def answering(body: bytes, status: int = 200, asked: list[str] | None = None) -> Iterator[str]:
    """A server that answers so at `/status`; `asked` takes the questions."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if asked is not None:
                asked.append(self.path)
            self.send_response(status if self.path.partition("?")[0] == "/status" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("pod-7:8080", "http://pod-7:8080/status"),
        ("http://pod-7:8080", "http://pod-7:8080/status"),
        ("http://pod-7:8080/", "http://pod-7:8080/status"),
        ("https://pod-7/status", "https://pod-7/status"),
        ("https://proxy/headrace", "https://proxy/headrace/status"),
    ],
)
def test_an_address_is_taken_as_people_write_it(given: str, url: str) -> None:
    assert status_url(given) == url


@pytest.mark.parametrize("given", ["file:///etc/passwd", "ftp://pod-7", "http://", "", "http://[::1", "]x["])
def test_what_is_no_address_of_a_web_server_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="--url takes an address"):
        status_url(given)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1"])  # noqa: S104  # nothing is bound here
def test_a_dispatcher_that_listens_everywhere_is_found_on_its_own_machine(host: str) -> None:
    settings = load_settings(None, {"dispatcher.http_host": host}, {})
    assert own_url(settings) == "http://127.0.0.1:8080"


def test_a_dispatcher_says_how_it_is() -> None:
    with answering(json.dumps(said(topic_prefix="eu")).encode()) as place:
        look = asyncio.run(look_at_url(SETTINGS, place, timeout_s=5))
    assert (look.prefix, look.dispatcher.age_s, look.dispatcher.kind) == ("eu", 0.0, "url")
    assert look.dispatcher.said == said(topic_prefix="eu")


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{}", 503, "answers with HTTP 503: check that it is a dispatcher's port."),
        (b"<html>", 200, "answers, but not with a status"),
        (b"[1]", 200, "answers, but not with a status"),
        (b'{"status": "ok"}', 200, "is not a dispatcher of Headrace"),
    ],
)
def test_whoever_else_answers_is_recognised(body: bytes, status: int, sentence: str) -> None:
    with (
        answering(body, status) as place,
        pytest.raises(Unreachable, match=r"^127\.0\.0\.1:\d+ |^The server at ") as caught,
    ):
        asyncio.run(look_at_url(SETTINGS, place, timeout_s=5))
    assert sentence in str(caught.value)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(Unreachable) as caught:
        asyncio.run(look_at_url(SETTINGS, "http://ops:secret@127.0.0.1:1", timeout_s=1))
    assert str(caught.value) == "127.0.0.1:1 cannot be reached: nothing listens there."


def test_the_verb_shows_it_and_its_exit_code_says_whether_something_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with answering(json.dumps(said()).encode()) as place:
        assert main(["status", "--url", place]) == 0
        assert "✓ Nothing is wrong." in capsys.readouterr().out
        assert main(["status", "--url", place, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
    assert told["role"] == "leader"
    assert told["source"] == {"kind": "url", "place": f"http://{place}/status"}
    assert (told["age_s"], told["findings"], told["retrier"]) == (0.0, [], None)
    trouble = said(ready={"kafka": False, "redis": True}, trouble="Kafka does not answer.")
    with answering(json.dumps(trouble).encode()) as place:
        assert main(["status", "--url", place, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["findings"][0] == {"grave": True, "sentence": "Kafka does not answer."}


def test_nobody_there_is_exit_3_and_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--url", "127.0.0.1:1"]) == 3
    assert capsys.readouterr() == ("", "headrace: 127.0.0.1:1 cannot be reached: nothing listens there.\n")


# ---------------------------------------------------------------------------------------------------- a token

TOKEN = "0123456789abcdef-token"


@contextmanager
def guarded(moved_to: str = "") -> Iterator[tuple[str, list[str | None]]]:
    """A server that asks for the token, or sends on to another place; beside it the headers that it was sent."""
    sent: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(self.headers["Authorization"])
            if moved_to:
                self.send_response(302)
                self.send_header("Location", f"http://{moved_to}/status")
            else:
                self.send_response(200 if sent[-1] == f"Bearer {TOKEN}" else 401)
            self.end_headers()
            self.wfile.write(json.dumps(said()).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield f"127.0.0.1:{server.server_port}", sent
        finally:
            server.shutdown()
            serving.join()


def with_token(token: str) -> Settings:
    return load_settings(None, {"dispatcher.http_token": token}, {})


def test_the_token_of_the_settings_is_sent_to_the_dispatcher_that_is_asked() -> None:
    with guarded() as (place, sent):
        look = asyncio.run(look_at_url(with_token(TOKEN), place, timeout_s=5))
    assert (look.prefix, sent) == ("generation", [f"Bearer {TOKEN}"])


def test_without_the_token_and_with_another_one_it_is_said_what_to_set() -> None:
    with guarded() as (place, _):
        with pytest.raises(Unreachable, match=r"asks for a token: set dispatcher\.http_token, or"):
            asyncio.run(look_at_url(SETTINGS, place, timeout_s=5))
        with pytest.raises(Unreachable, match=r"dispatcher\.http_token is not the one that it has") as refused:
            asyncio.run(look_at_url(with_token("another-token-of-24-letters"), place, timeout_s=5))
    assert "another-token" not in str(refused.value)


def test_the_token_does_not_follow_to_another_server() -> None:
    with guarded() as (other, sent), guarded(moved_to=other) as (place, first), pytest.raises(Unreachable):
        asyncio.run(look_at_url(with_token(TOKEN), place, timeout_s=5))
    assert (first, sent) == ([f"Bearer {TOKEN}"], [None])
