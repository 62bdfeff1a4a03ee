"""`headrace topics`, `submit` and `results` as a person at a terminal and a script use them."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.cli.main import main
from headrace.broker.local.services import LocalServices
from headrace.schemas.outcome import Failed, Outcome
from headrace.schemas.record import Record
from headrace.schemas.topics import results_topic
from tests.integration.dispatching import completed, create_topics, publishing

BODY = {"model": "gpt-4o-mini", "messages": []}


@pytest.fixture
def connection(services: LocalServices, monkeypatch: pytest.MonkeyPatch) -> KafkaConnection:
    servers = services.endpoints.bootstrap_servers
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", servers)
    return KafkaConnection(servers)


@pytest.fixture
def prefix(connection: KafkaConnection, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001  # sets where Kafka is
    named = f"verbs-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("HEADRACE_KAFKA__TOPIC_PREFIX", named)
    return named


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def leads(path: Path, *lines: object) -> str:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return str(path)


def test_topics_are_created_once_and_checked(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "check", "--json"]) == 1
    differences = json.loads(capsys.readouterr().out)["differences"]
    assert [one["setting"] for one in differences] == ["exists"] * 10
    assert differences[0]["sentence"] == (f"{prefix}.requests.urgent does not exist; to fix it: headrace topics create")
    assert main(["topics", "check"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("missing topics (create them with headrace topics create)\n  ")
    assert said.err == "10 differences; nothing was changed.\n"
    assert main(["topics", "create"]) == 0
    said = capsys.readouterr()
    assert f"created {prefix}.requests.urgent" in said.out.splitlines()
    assert "Warning: with 1 replica a lost disk" in said.err
    assert main(["topics", "create", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["created"], len(again["present"])) == ([], 10)
    assert main(["topics", "check"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("caution  the cluster has 1 node instead of 3: a lost disk")
    assert said.err == "All topics are as the settings want them.\n"


def test_submit_prints_one_receipt_a_line_in_order(
    connection: KafkaConnection, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(create_topics(connection, prefix))
    file = leads(
        tmp_path / "leads.jsonl",
        {"id": "a", "body": BODY},
        "",
        {"id": "b", "body": BODY, "lane": "urgent"},
        {"body": BODY},
    )
    assert main(["submit", file, "--lane", "bulk", "--tenant", "acme"]) == 0
    said = capsys.readouterr()
    receipts = objects(said.out)
    assert [(receipt["id"], receipt["lane"]) for receipt in receipts[:2]] == [("a", "bulk"), ("b", "urgent")]
    assert receipts[2]["topic"] == f"{prefix}.requests.bulk"
    assert receipts[0]["submitted_at"].endswith("Z")
    assert said.err == ""


def test_submit_sends_nothing_of_a_file_with_a_line_that_is_invalid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = leads(tmp_path / "leads.jsonl", {"id": "a", "body": BODY}, {"id": "b", "body": {**BODY, "timeout": 1}})
    assert main(["submit", file]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"headrace: Line 2 of {file}: The field body is not valid")
    assert main(["submit", str(tmp_path / "none.jsonl")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_submit_tells_which_lanes_there_are_before_it_sends_a_line(
    connection: KafkaConnection, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(create_topics(connection, prefix))
    lanes = ("urgnt", "bulk", None, "high")
    file = leads(tmp_path / "leads.jsonl", *({"id": f"{lane}", "body": BODY, "lane": lane} for lane in lanes))
    assert main(["submit", file]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"headrace: Line 1 of {file}: There is no lane urgnt, only bulk, standard and urgent: did you mean urgent?",
        (
            f"headrace: Line 4 of {file}: There is no lane high, only bulk, standard and urgent: "
            "`headrace topics create` adds those of the settings."
        ),
        "headrace: 2 of 4 lines are invalid: nothing was sent.",
    ]
    assert main(["submit", file, "--lane", "blk"]) == 2
    assert capsys.readouterr().err == (
        "headrace: There is no lane blk, only bulk, standard and urgent: did you mean bulk?\n"
    )
    assert main(["submit", file, "--prefix", f"{prefix}x"]) == 2
    assert f"did you mean the prefix {prefix}?" in capsys.readouterr().err


def test_a_topic_of_outcomes_that_is_not_there_comes_with_the_one_that_was_meant(
    connection: KafkaConnection, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(create_topics(connection, prefix))
    assert main(["results", "--topic", f"{prefix}.result"]) == 2
    assert capsys.readouterr().err == (f"headrace: There is no topic {prefix}.result: did you mean {prefix}.results?\n")
    assert main(["results", "--topic", "quite-another"]) == 2
    assert f"There is no topic quite-another: outcomes are in {prefix}.results, and in" in capsys.readouterr().err


def test_submit_reads_a_pipe_as_it_comes(connection: KafkaConnection, prefix: str) -> None:
    asyncio.run(create_topics(connection, prefix))
    command = [sys.executable, "-W", "error", "-m", "headrace.broker.cli.main", "submit", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"id": "first", "body": BODY}) + "\n")
        process.stdin.flush()
        process.stdin.write(json.dumps({"id": "second", "body": BODY}) + "\nnot JSON\n")
        out, err = process.communicate()
    assert process.returncode == 2
    assert [receipt["id"] for receipt in objects(out)] == ["first", "second"]
    assert "Line 3 of standard input, column 1: It is not JSON: a value is missing here." in err


def test_submit_sends_what_a_named_pipe_holds(connection: KafkaConnection, prefix: str, tmp_path: Path) -> None:
    """As `headrace submit <(…)` gives it: it can be read once, and was read to be checked before."""
    asyncio.run(create_topics(connection, prefix))
    pipe = tmp_path / "leads"
    os.mkfifo(pipe)
    command = [sys.executable, "-W", "error", "-m", "headrace.broker.cli.main", "submit", str(pipe)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        pipe.write_text(json.dumps({"id": "first", "body": BODY}) + "\n", encoding="utf-8")
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert [receipt["id"] for receipt in objects(out)] == ["first"]


def test_submit_waits_for_outcomes_and_leaves_with_1_if_one_failed(
    connection: KafkaConnection, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def answer() -> None:
        await create_topics(connection, prefix)
        async with publishing(connection, prefix) as dispatcher:
            outcomes: list[Outcome | Record] = [completed("a"), Failed(id="b", reason="rejected", message="No.")]
            await dispatcher.publish(results_topic(prefix), outcomes)

    asyncio.run(answer())
    file = leads(tmp_path / "leads.jsonl", *({"id": request_id, "body": BODY} for request_id in ("a", "b")))
    assert main(["submit", file, "--wait", "--wait-timeout", "30"]) == 1
    outcomes = objects(capsys.readouterr().out)
    assert sorted((outcome["id"], outcome["status"]) for outcome in outcomes) == [("a", "completed"), ("b", "failed")]
    file = leads(tmp_path / "more.jsonl", {"id": "a", "body": BODY}, {"id": "never", "body": BODY})
    assert main(["submit", file, "--wait", "--wait-timeout", "6"]) == 1
    said = capsys.readouterr()
    assert [outcome["id"] for outcome in objects(said.out)] == ["a"]
    assert "No outcome of never within 6 s" in said.err


def test_results_shows_what_is_there_and_ends(
    connection: KafkaConnection, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def answer() -> None:
        await create_topics(connection, prefix)
        async with publishing(connection, prefix) as dispatcher:
            await dispatcher.publish(results_topic(prefix), [completed("a")])
            await dispatcher.publish(results_topic(prefix), [completed("b")], commit=False)

    asyncio.run(answer())
    assert main(["results", "--json"]) == 0
    assert [outcome["id"] for outcome in objects(capsys.readouterr().out)] == ["a"]
    assert main(["results"]) == 0
    assert "a  urgent" in capsys.readouterr().out
    assert main(["results", "--from", "latest", "--json"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["results", "--from", "yesterday"]) == 2


def test_without_kafka_a_verb_says_so_in_time_and_leaves_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = leads(tmp_path / "leads.jsonl", {"id": "a", "body": BODY})
    for verb in (["topics", "check"], ["topics", "create"], ["submit", file], ["submit", file, "--wait"], ["results"]):
        assert main([*verb, "--bootstrap-servers", "127.0.0.1:1", "--timeout", "0.5"]) == 3, verb
        assert "No Kafka listens at 127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.usefixtures("prefix")
def test_a_missing_topic_is_exit_2_and_names_the_verb_that_creates_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = leads(tmp_path / "leads.jsonl", {"id": "a", "body": BODY})
    for verb in (["submit", file], ["submit", file, "--wait"], ["results"]):
        assert main(verb) == 2, verb
        assert "headrace topics create" in capsys.readouterr().err
