"""Wrong usages of the verbs that read and wait: one helpful sentence, the right exit code, no word of a library."""

import re
from pathlib import Path

import pytest

from broker.cli.main import main

NO_KAFKA = "No Kafka listens at 127.0.0.1:1: start it, or check kafka.bootstrap_servers."
NO_REDIS = "No Redis listens at 127.0.0.1:1: start it, or check redis.url."
NO_ID = "is no id: it has 1 to 128 characters of printable ASCII."
A_MOMENT = "a span such as 15m or 2h, or 2026-12-01T09:00:00Z"
WHICH = "That is every dead letter there is: say which"

ROWS = (
    # ------------------------------------------------------------------ a service that is away
    ("topics check", 3, NO_KAFKA),
    ("topics check --json", 3, NO_KAFKA),
    ("topics create", 3, NO_KAFKA),
    ("results", 3, NO_KAFKA),
    ("results --json --failed", 3, NO_KAFKA),
    ("results --topic mails --id lead-1", 3, NO_KAFKA),
    ("dead-letters list", 3, NO_KAFKA),
    ("dead-letters list --json --limit 0", 3, NO_KAFKA),
    ("dead-letters show lead-1", 3, NO_KAFKA),
    ("dead-letters replay --reason rejected", 3, NO_KAFKA),
    ("dead-letters replay --yes --dry-run", 3, NO_KAFKA),
    ("submit LEADS", 3, NO_KAFKA),
    ("submit LEADS --wait", 3, NO_KAFKA),
    ("submit LEADS --json", 3, NO_KAFKA),
    ("cancel lead-1", 3, NO_KAFKA),
    ("cancel lead-1 --wait", 3, NO_KAFKA),
    ("status", 3, f"Nothing of Headrace runs here. {NO_REDIS} No dispatcher listens at http://127.0.0.1:1 either."),
    ("status --json", 3, "To try it on this machine: `headrace local up`, then `headrace topics create`"),
    ("status --id lead-1", 3, f"{NO_REDIS} Ask the leader itself: --url http://HOST:PORT."),
    ("status --url http://127.0.0.1:1", 3, "127.0.0.1:1 cannot be asked: nothing listens there."),
    ("status --id lead-1 --url 127.0.0.1:1", 3, "127.0.0.1:1 cannot be asked: nothing listens there."),
    # ------------------------------------------------------------------ what was asked for in the wrong words
    ("results --from yesterday", 2, f"use earliest, latest, {A_MOMENT}"),
    ("results --from 2026-12-01T09:00:00", 2, f"use earliest, latest, {A_MOMENT}"),
    ("dead-letters list --since soon", 2, f"use {A_MOMENT}"),
    ("dead-letters list --until 5", 2, f"use {A_MOMENT}"),
    ("dead-letters replay", 2, WHICH),
    ("dead-letters replay --lane bulk", 2, WHICH),
    ("dead-letters replay --yes --rate fast", 2, "'fast' is no rate: use 50, 90/min or 1200/h"),
    ("dead-letters replay --yes --rate 0", 2, "'0' is no rate: use 50, 90/min or 1200/h"),
    ("dead-letters replay --yes --deadline never", 2, f"use {A_MOMENT}"),
    ("dead-letters replay --yes --deadline 2020-01-01T00:00:00Z", 2, "The deadline has passed"),
    ("status --run 1", 2, "--run belongs to --id: say which request is meant."),
    ("status --id lead\u00e4", 2, NO_ID),
    ("status --url ftp://host", 2, "--url takes an address such as http://dispatcher-0:8080."),
    ("cancel lead\u00e4", 2, NO_ID),
    ("submit NOWHERE", 2, "cannot be read: No such file or directory."),
    ("submit DIRECTORY", 2, "cannot be read: Is a directory."),
    ("results --config NOWHERE", 2, "cannot be read: No such file or directory."),
)
LIBRARIES = re.compile(r"pydantic|aiokafka|redis-py|httpx|urllib|typer|Errno|Error \d|Traceback|Exception")


@pytest.mark.parametrize(("words", "code", "sentence"), ROWS, ids=[row[0] for row in ROWS])
def test_a_wrong_usage_is_one_sentence_and_the_right_exit_code(  # noqa: PLR0917  # a row and three fixtures
    words: str,
    code: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("HEADRACE_REDIS__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("HEADRACE_DISPATCHER__HTTP_PORT", "1")
    leads = tmp_path / "leads.jsonl"
    leads.write_text('{"id": "lead-1", "body": {"model": "gpt-4o-mini", "messages": []}}\n')
    places = {"LEADS": str(leads), "NOWHERE": str(tmp_path / "nowhere"), "DIRECTORY": str(tmp_path)}
    given = [places.get(word, word) for word in words.split()]
    assert main([*given, "--timeout", "0.6"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert sentence in said.err
    assert not LIBRARIES.search(said.err)


@pytest.mark.parametrize(
    "verb",
    [
        "demo",
        "local up",
        "local down",
        "local status",
        "config check",
        "config show",
        "topics create",
        "topics check",
        "submit",
        "cancel",
        "results",
        "dead-letters list",
        "dead-letters show",
        "dead-letters replay",
        "status",
        "explain",
        "simulate",
        "schemas export",
        "upstream",
    ],
)
def test_each_verb_that_tells_something_tells_it_to_machines_too(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb.split(), "--help"]) == 0
    assert "--json" in capsys.readouterr().out
