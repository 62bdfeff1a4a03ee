"""Whether anything that the processes write holds what people asked and were answered, a key, or metadata.

What is confidential is learned from Kafka itself when a fleet ends: every text in the requests, outcomes, failures,
chunks and dead letters of its prefix. So a test need not say what it sent; garbage, without fields, is known by its
mark. All that the processes of the fleet wrote is then searched for it: logs, the pages of those that still live,
listings of dead letters. What is found fails the run at its end, with file and line, and never with the text itself.

Left out, by name:

- what `dead-letters show --body`, `--raw`, `results`, `submit --wait` and `cancel --wait` print: content is what they
  are asked for;
- `headrace demo`, which writes made-up e-mails on a screen; `local`, `upstream` and `topics`, which are given none;
- ids, tenants, models, lanes and topics: they are names, and logs may hold them;
- texts below `SHINGLE` characters and numbers: they are found everywhere.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

MARKS = {
    "a prompt": "confidential-prompt",
    "metadata": "confidential-metadata",
    "an answer": "confidential-answer",
    "a key": "sk-secret-of-the-tests",
    "a password": "of-dispatcher",
}
SHINGLE, STRIDE = 16, 8
"""Whoever writes 23 characters in a row of a text, from anywhere in it, is caught; or its first 16."""
TEXT_CHARS_MAX = 4_000
READ_WITHIN_S = 20.0

_CONTENT = ("body", "metadata", "response", "delta", "request")
_NAMES = frozenset({"model", "role", "object", "id", "type", "finish_reason", "system_fingerprint", "name"})


@dataclass
class Secrets:
    """Texts that nobody may write, as the pieces by which they are recognised."""

    pieces: dict[str, str] = field(default_factory=dict)

    def learn(self, kind: str, text: str, *, names: Iterable[str] = ()) -> None:
        """A text, both as it is and as JSON escapes it; the names in it are no secret."""
        for name in names:
            text = text.replace(name, "\n")
        for part in text[:TEXT_CHARS_MAX].splitlines():
            for form in {part, json.dumps(part)[1:-1]}:
                for at in range(0, len(form) - SHINGLE + 1, STRIDE):
                    if len(set(piece := form[at : at + SHINGLE])) > 3:  # a row of blanks or dashes is nobody's
                        self.pieces.setdefault(piece, kind)

    def learn_value(self, value: bytes | None) -> None:
        """The texts in a record's value, if it is one of ours."""
        try:
            found = json.loads(value or b"")
        except ValueError:  # garbage: only a mark can tell it
            return
        if isinstance(found, dict):
            names = [str(found[name]) for name in ("id", "tenant") if found.get(name)]
            for name in _CONTENT:
                for kind, text in _texts(name, found.get(name)):
                    self.learn(kind, text, names=names)

    def found_in(self, line: str) -> str | None:
        """What kind of secret a line holds, if any."""
        for kind, mark in MARKS.items():
            if mark in line:
                return kind
        for at in range(len(line) - SHINGLE + 1):
            if line[at : at + SHINGLE] in self.pieces:
                return self.pieces[line[at : at + SHINGLE]]
        return None


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and name not in _NAMES:
        yield f"text of `{name}`", value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(str(key), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(name, inner)


@dataclass
class Privacy:
    """One worker's findings. `is_on` only in the integration run: others end fleets whose Kafka is gone."""

    is_on: bool = False
    leaks: list[str] = field(default_factory=list)
    searched: int = 0
    """Lines so far."""

    def search(self, where: str, text: str, secrets: Secrets) -> None:
        """Note each line that holds a secret."""
        for number, line in enumerate(text.splitlines(), 1):
            self.searched += 1
            if (kind := secrets.found_in(line)) is not None:
                self.leaks.append(f"{where}, line {number}: {kind}")

    def search_files(self, files: Iterable[Path], secrets: Secrets) -> None:
        """The same of files."""
        for file in files:
            self.search(str(file), file.read_text(errors="replace"), secrets)


PRIVACY = Privacy()


async def learned(bootstrap_servers: str, topics: Iterable[str]) -> tuple[Secrets, dict[str, int]]:
    """What stands in these topics, and how many records of each were read; whatever Kafka still tells in time."""
    secrets, read = Secrets(), dict.fromkeys(topics, 0)
    with suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(READ_WITHIN_S):
            consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=None, enable_auto_commit=False)
            try:
                await consumer.start()
                await _learn(consumer, secrets, read)
            finally:
                await consumer.stop()
    return secrets, read


async def _learn(consumer: AIOKafkaConsumer, secrets: Secrets, read: dict[str, int]) -> None:
    known = await consumer._client.fetch_all_metadata()  # it asks for no topic without a subscription
    places = [TopicPartition(topic, number) for topic in read for number in known.partitions_for_topic(topic) or ()]
    begin, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    consumer.assign(open_places := [place for place in places if begin[place] < ends[place]])
    for place in open_places:
        consumer.seek(place, begin[place])
    while open_places:
        for place, records in (await consumer.getmany(*open_places, timeout_ms=200)).items():
            for record in records:
                secrets.learn_value(record.value)
            read[place.topic] += len(records)
        open_places = [place for place in open_places if await consumer.position(place) < ends[place]]
