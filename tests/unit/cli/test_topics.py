"""`headrace topics check` as an operator reads it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import Cluster
from headrace.broker.cli.main import main

NODE = {
    "transaction.max.timeout.ms": "900000",
    "message.max.bytes": "1048588",
    "socket.request.max.bytes": "104857600",
    "offset.metadata.max.bytes": "4096",
    "offsets.retention.minutes": "10080",
    "transactional.id.expiration.ms": "604800000",
    "auto.create.topics.enable": "false",
}


@pytest.fixture(autouse=True)
def _an_empty_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(_connection: KafkaConnection, _names: Sequence[str]) -> Cluster:
        return Cluster({}, dict.fromkeys((1, 2, 3), NODE))

    monkeypatch.setattr("headrace.broker.cli.topics.look", look)
    monkeypatch.delenv("HEADRACE_CONFIG", raising=False)


def test_the_command_that_creates_the_topics_has_the_options_of_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "two words.toml"
    file.write_text("")
    for options, expected in (
        ([], "headrace topics create"),
        (["--topic-prefix", "eu"], "headrace topics create --prefix eu"),
        (["--bootstrap-servers", "a:1,b:2"], "headrace topics create --bootstrap-servers a:1,b:2"),
        (["--prefix", "eu", "--config", str(file)], f"headrace topics create --config '{file}' --prefix eu"),
    ):
        assert main(["topics", "check", *options]) == 1
        assert capsys.readouterr().out.splitlines()[0] == f"missing topics (create them with {expected})"
        assert main(["topics", "check", "--json", *options]) == 1
        differences = json.loads(capsys.readouterr().out)["differences"]
        assert {one["mend"] for one in differences} == {expected}
