"""Every verb that shows what others have written, against names that would act on a terminal."""

import io
import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.cli.demo.inside import Inside
from headrace.broker.cli.demo.strip import strip
from headrace.broker.cli.main import main
from headrace.broker.cli.screen import screen
from headrace.broker.cli.status.page import page
from headrace.broker.client_ports import ClientDoors
from headrace.broker.service.status.findings import findings
from headrace.broker.service.status.request_sentences import lines as waiting_lines
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.codec import encode_dead_letter, encode_outcome
from headrace.schemas.outcome import Completed, Failed, Outcome, Timings, Usage
from headrace.schemas.record import Record
from tests.unit.service.status.specimens import lane, limit, look, said

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
ACTS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
NAMES = {
    "escape": "x\x1b]0;owned\x07\x1b[2J\x1b[31m",
    "C1": "x\x9b31m\x85\x90q",
    "bidi": "x\u202egpj.exe\u2066\u200f",
    "lines": "x\r\nfaked: all is well\x0b\x0c\u2028\u2029",
    "backspace": "x\x08\x08\x7f\x00",
    "invisible": "x\u200b\ufeff\u00ad\U000e0041",
    "surrogate": "x\udcff",
    "wide": "漢字" * 60,
    "markup": "[red]x[/red][/] :skull: {x} %s",
}
OURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
"""Colours, and the cursor of a bar."""


@pytest.fixture(params=list(NAMES.values()), ids=list(NAMES))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def show(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> Callable[..., tuple[int, str]]:
    """Runs a verb on topics that hold such names, in a pipe and with --json; its exit code and all it said."""
    name = name.replace(
        "\udcff", "?"
    )  # no record of ours holds half a pair; tests.unit.cli.test_extreme_records has them
    kafka = MemoryKafka(lambda: int(NOW.timestamp() * 1_000))
    for topic in ("generation.results", "generation.dead-letters"):
        kafka.create(topic, 2)
    for record in outcomes(name):
        kafka.append("generation.results", record)
    for record in letters(name):
        kafka.append("generation.dead-letters", record)
    doors: ClientDoors = MemoryClientDoors(kafka, KafkaLink(kafka))
    monkeypatch.setattr(KafkaConnection, "of", lambda settings: doors)

    def shown(*words: str, watched: bool = False) -> tuple[int, str]:
        for module in ("results", "dead_letters.verb"):
            monkeypatch.setattr(f"headrace.broker.cli.{module}.is_person_watching", lambda: watched)
        code = main([*words, "--debug"])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return shown


def outcomes(name: str) -> list[Record]:
    timings = Timings(submitted_at=NOW - timedelta(seconds=4), finished_at=NOW)
    who = {"lane": name, "tenant": name, "model": name, "metadata": {name: name}, "timings": timings}
    answer = {"choices": [{"message": {"content": name}}], name: name}
    error = {"message": name, "code": name}
    made: list[Outcome] = [
        Completed(id="lead-1", response=answer, finish=name, usage=Usage(total_tokens=1), **who),
        Failed(id="lead-2", reason=name, message=name, error=error, **who),
    ]
    return [encode_outcome(each, time=NOW) for each in made]


def letters(name: str) -> list[Record]:
    body = {"model": name, "messages": []}
    value = json.dumps({"id": "lead-1", "tenant": name, "body": body, "metadata": {name: name}}).encode()
    raw = name.encode(errors="surrogatepass")
    told: dict[str, Any] = {"attempts": 1, "run": 0, "failed_at": NOW, "max_bytes": 10**6}
    return [
        encode_dead_letter(
            raw,
            value,
            ((name, raw),),
            reason="rejected",
            message=name,
            origin=("t", 0, 1),
            **told,
        ),
        encode_dead_letter(b"k", raw, (), reason="undecodable", message=name, origin=("t", 0, 2), **told),
    ]


def is_harmless(text: str) -> bool:
    return all(letter in "\n\t" or unicodedata.category(letter) not in ACTS for letter in OURS.sub("", text))


VERBS = (
    "results",
    "results --text",
    "results --failed",
    "results --json",
    "dead-letters list",
    "dead-letters list --json",
    "dead-letters show lead-1",
    "dead-letters show lead-1 --body",
    "dead-letters show lead-1 --body --json",
    "dead-letters show generation.dead-letters/1/0 --body",
)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_reads_topics_shows_names_as_letters(verb: str, show: Callable[..., tuple[int, str]]) -> None:
    for watched in (False, True):
        code, printed = show(*verb.split(), watched=watched)
        assert code in {0, 1}
        assert printed
        assert "Traceback" not in printed
        assert is_harmless(printed)
    if "--json" in verb:
        for line in printed.splitlines():
            json.loads(line)


def test_json_is_the_same_for_a_parser(show: Callable[..., tuple[int, str]], name: str) -> None:
    _, printed = show("results", "--json", "--id", "lead-2")
    [told] = [json.loads(line) for line in printed.splitlines()]
    assert (told["tenant"], told["message"]) == (name.replace("\udcff", "?"),) * 2


def test_a_status_shows_names_as_letters(name: str) -> None:
    reasons = {"kind": "model", "name": name, "minutes": 5, "reasons": {name: 4}}
    status = said(
        host=name,
        lanes={name: lane(waiting=3, waiting_seconds=99.0)},
        limits={name: limit(breaker=f"open: {name}", tripped={"code": name, "request_id": name})},
        models={name: {"requests": 1}},
        outcomes={name: 3},
        trouble=name,
        failed_lately={"seconds": 60, "dead_letters": {name: 3}, "all_failing": [reasons]},
    )
    found = look(status, place=name)
    for width in (80, 160):
        console = screen()
        shown = console.file = io.StringIO()
        console.width = width
        console.print(page(found, findings(found), NOW, width=width))
        assert is_harmless(shown.getvalue())
    told = {"state": "waiting", "id": name, "lane": name, "tenant": name, "waits_for": [{"kind": name}]}
    assert all(is_harmless(line) for line in waiting_lines(told))


def test_the_demos_page_shows_names_as_letters(name: str) -> None:
    console = screen()
    shown = console.file = io.StringIO()
    console.width = 100
    console.print(strip(Inside(leader=name, standbys=(name,), term=3, waiting={name: 3})))
    assert is_harmless(shown.getvalue())


WORDS: tuple[tuple[str, ...], ...] = (
    ("NAME",),
    ("--NAME",),
    ("results", "--NAME"),
    ("results", "--from", "NAME"),
    ("results", "--limit", "NAME"),
    ("dead-letters", "list", "--since", "NAME"),
    ("dead-letters", "replay", "--rate", "NAME", "--yes"),
    ("dead-letters", "replay", "--lane", "NAME", "--yes"),
    ("submit", "NAME"),
    ("cancel", "NAME", "--timeout", "1.5"),
    ("status", "--id", "NAME"),
    ("status", "--url", "NAME"),
    ("status", "--url", "http://127.0.0.1:1/NAME"),
    ("explain", "NAME"),
    ("explain", "429 NAME", "--json"),
    ("config", "check", "--config", "NAME"),
    ("config", "check", "--bootstrap-servers", "NAME"),
    ("config", "show", "--changed", "--topic-prefix", "NAME"),
    ("config", "show", "--changed", "--json", "--bootstrap-servers", "NAME"),
    ("simulate", "NAME"),
    ("simulate", "--rate", "NAME"),
    ("simulate", "--plot", "NAME"),
    ("schemas", "export", "/dev/null/NAME"),
    ("upstream", "--behaviour", "NAME"),
    ("local", "down", "--data", "/nonexistent/NAME"),
)


@pytest.mark.slow
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_what_a_person_gave_is_said_back_as_letters(
    words: tuple[str, ...],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    main([word.replace("NAME", name.replace("\x00", "")) for word in words])
    printed = capsys.readouterr()
    assert printed.out + printed.err
    assert is_harmless(printed.out + printed.err)
    assert "unexpected: " not in printed.err
