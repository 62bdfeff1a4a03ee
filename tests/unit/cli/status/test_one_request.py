"""`headrace status --id` against a dispatcher at an address, and everything that may answer in its place."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from headrace.broker.cli.main import main
from headrace.broker.cli.status.one_request import leader_url
from headrace.broker.errors import Unreachable
from tests.unit.cli.status.test_sources import answering
from tests.unit.service.status.specimens import report, said

KNOWN = {"id": "lead-1", "run": 0, "topic_prefix": "generation", "role": "leader", "state": "answered"}
ANSWERED = KNOWN | {"outcome": {"status": "completed", "reason": None}}


@contextmanager
def telling(told: dict[str, Any], status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A server that says so whatever it is asked, and its questions."""
    asked: list[str] = []
    with answering(json.dumps(told).encode(), status, asked) as place:
        yield place, asked


def test_the_id_and_the_run_are_asked_for_and_the_answer_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with telling(ANSWERED) as (place, asked):
        assert main(["status", "--url", place, "--id", "lead 1&x", "--run", "2"]) == 0
        assert capsys.readouterr().out == "lead-1 was answered: completed.\n"
        assert main(["status", "--url", f"http://{place}/status?x=1", "--id", "lead-1", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == ANSWERED
    queries = [parse_qs(urlsplit(each).query) for each in asked]
    assert queries == [{"id": ["lead 1&x"], "run": ["2"]}, {"id": ["lead-1"]}]
    assert {urlsplit(each).path for each in asked} == {"/status"}


@pytest.mark.parametrize(
    "told",
    [
        KNOWN | {"state": "unknown", "dedupe_window_s": 60, "lanes_without_room": []},
        KNOWN | {"state": "elsewhere", "role": "standby", "sentence": "This dispatcher does not lead."},
    ],
)
def test_what_nobody_knows_is_exit_1(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with telling(told) as (place, _):
        assert main(["status", "--url", place, "--id", "lead-1"]) == 1
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("told", "status", "code", "sentence"),
    [
        (said(), 200, 3, "is of an older release, which does not report single requests: upgrade it."),
        ({"status": "ok"}, 200, 3, "is not a dispatcher of Headrace: check the address and the port."),
        ({"error": "A retrier knows no request."}, 400, 2, "headrace: A retrier knows no request.\n"),
        ({"error": "\x1b[2J"}, 400, 2, "\\x1b[2J"),
        ({"error": ["?"]}, 400, 3, "answers with HTTP 400"),
        ({"error": "away"}, 503, 3, "answers with HTTP 503"),
    ],
)
def test_whoever_else_answers_is_one_sentence(
    told: dict[str, Any], status: int, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with telling(told, status) as (place, _):
        assert main(["status", "--url", place, "--id", "lead-1"]) == code
    caught = capsys.readouterr()
    assert (caught.out, caught.err.count("\n")) == ("", 1)
    assert sentence in caught.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--id", ""], "'' is not an id: an id is 1 to 128 printable ASCII characters."),
        (["--id", "Zürich"], "'Zürich' is not an id"),
        (["--run", "1"], "--run needs --id: name the request."),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anybody_is(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--url", "127.0.0.1:1", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_the_leader_is_asked_where_its_status_says() -> None:
    assert leader_url(report(said(url="http://10.0.0.7:8080")), "generation") == "http://10.0.0.7:8080"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            report(None),
            (
                "No dispatcher of generation has reported recently, so nothing is known of the request: "
                "`headrace status` says"
            ),
        ),
        (report(said(url="http://10.0.0.7:8080"), age_s=9.0), "No dispatcher of generation has reported recently"),
        (report(said(url=None)), "The leader, on pod-7, has not reported its address yet: try again in a second"),
        (report(said()), "The leader, on pod-7, has not reported its address yet"),
    ],
)
def test_without_a_leader_that_says_where_it_is_asked_nobody_is(found: Any, sentence: str) -> None:
    with pytest.raises(Unreachable, match=sentence.replace("`", ".")):
        leader_url(found, "generation")


# ---------------------------------------------------------------------------------------------------- without Redis


@pytest.fixture
def _redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_REDIS__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")


@pytest.mark.usefixtures("_redis_is_away")
def test_without_redis_the_dispatcher_on_this_machine_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with telling(ANSWERED) as (place, _):
        monkeypatch.setenv("HEADRACE_DISPATCHER__HTTP_PORT", place.rpartition(":")[2])
        assert main(["status", "--id", "lead-1", "--timeout", "0.1"]) == 0
        assert capsys.readouterr().out == "lead-1 was answered: completed.\n"
        assert main(["status", "--id", "lead-1", "--timeout", "0.1", "--topic-prefix", "eu"]) == 3, "another's"


@pytest.mark.usefixtures("_redis_is_away")
def test_with_nobody_there_either_it_is_exit_3_and_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_DISPATCHER__HTTP_PORT", "1")
    assert main(["status", "--id", "lead-1", "--timeout", "0.1"]) == 3
    assert capsys.readouterr().err.endswith("Ask the leader directly: --url http://HOST:PORT.\n")
