"""Hostile records beside good ones: which comes next, by seed, and where each stands once Kafka has taken it."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from headrace.broker.adapters.kafka.batches import UNPACKED_BYTES_MAX
from headrace.broker.simulator.upstream import Scripted
from tests.hostile.fates import BROKEN_BATCH, Sown
from tests.hostile.raw_producer import RawProducer
from tests.hostile.records import MODEL, NAMES, Specimen, specimen
from tests.integration.fleet import LANES
from tests.unit.adapters.raw_batches import ZSTD, one

PARTITIONS: Final = 6
PREFIX, RAW_PREFIX = "hostile", "raw"
BOMBS: Final = ("bomb", "bomb with an id")
HEAVY: Final = (
    *("heavy header", "long trace", "odd key", "too heavy headers", "too heavy key", "text of commas"),
    *("digits with an id", "too deep with an id", "token numbers", "many headers", "too many headers"),
)
_USUAL: Final = tuple(name for name in NAMES if name not in (*BOMBS, *HEAVY))


@dataclass(frozen=True, slots=True)
class Mix:
    """How many of the hostile records are of what.

    Attributes:
        bombs, heavy: Shares.
        raw_every: So many records, and then a batch that no client of ours can read as a whole.
        raw_bomb_every: So many such batches, and the last of them unpacks to more than is read.
    """

    bombs: float = 0.001
    heavy: float = 0.1
    raw_every: int = 200
    raw_bomb_every: int = 5


@dataclass
class Sowing:
    """Hostile records of one run.

    Attributes:
        topic_prefix: Of the lanes.
        sown: What Kafka has taken, by position.
    """

    seed: int
    topic_prefix: str
    mix: Mix = field(default_factory=Mix)
    sown: dict[str, Sown] = field(default_factory=dict)
    _dice: Random = field(init=False)
    _drawn: int = 0
    _raw_drawn: int = 0

    def __post_init__(self) -> None:
        self._dice = Random(f"hostile {self.seed}")

    def next(self) -> tuple[Specimen, dict[str, Any]]:
        """The next record, and what aiokafka's `send` is to be called with."""
        draw = self._dice.random()
        kinds: Sequence[str] = _USUAL
        if draw < self.mix.bombs + self.mix.heavy:
            kinds = BOMBS if draw < self.mix.bombs else HEAVY
        odd = specimen(self._dice, self._drawn, prefix=PREFIX, kinds=kinds)
        self._drawn += 1
        topic, partition = self._place()
        key = b"" if odd.key is None and odd.value is None else odd.key  # aiokafka sends nothing of both
        return odd, {
            "topic": topic,
            "value": odd.value,
            "key": key,
            "partition": partition,
            "headers": list(odd.headers),
        }

    def took(self, odd: Specimen, placed: Any) -> None:
        """Kafka has taken it, and says where it stands."""
        self.sown[f"{placed.topic}/{placed.partition}/{placed.offset}"] = Sown(odd.kind, odd.fate, odd.id)

    @property
    def is_raw_due(self) -> bool:
        """Whether a raw batch comes next."""
        return self._drawn // self.mix.raw_every > self._raw_drawn

    async def raw(self, producer: RawProducer) -> None:
        """A good record behind one whose header's name breaks the client; now and then in front of a bomb instead."""
        number, self._raw_drawn = self._raw_drawn, self._raw_drawn + 1
        name, (topic, partition) = f"{RAW_PREFIX}-{number}", self._place()
        content = [{"role": "user", "content": f"Write to {name}."}]
        good = one(json.dumps({"id": name, "body": {"model": MODEL, "messages": content}}).encode())
        if is_bomb := number % self.mix.raw_bomb_every == self.mix.raw_bomb_every - 1:
            records = [good, one(b"\0" * (2 * UNPACKED_BYTES_MAX)), good]
        else:
            records = [one(b"\xff", headers=[(b"\xff\xfe", b"x")]), good]
        at_ms = round(time.time() * 1_000)
        offset = await producer.append(topic, partition, records, codec=ZSTD if is_bomb else 0, at_ms=at_ms)
        kind = "raw batch with a bomb" if is_bomb else "raw batch with a broken header"
        self.sown[f"{topic}/{partition}/{offset + is_bomb}"] = Sown(kind, BROKEN_BATCH, name)

    def _place(self) -> tuple[str, int]:
        return f"{self.topic_prefix}.requests.{self._dice.choice(LANES)}", self._dice.randrange(PARTITIONS)


def is_hostile(request_id: str) -> bool:
    """Whether an outcome of this id is of a record that was sown."""
    return request_id.startswith((f"{PREFIX}-", f"{RAW_PREFIX}-"))


def answered_anyway(body: Mapping[str, Any], delay_s: float) -> Scripted:
    """An answer to what OpenAI would refuse as well: what must become of a hostile record is not the server's word."""
    model = body.get("model")
    if str(model).startswith("text-embedding"):
        vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
        return Scripted(200, {"object": "list", "model": model, "data": [vector]}, delay_s=delay_s)
    choices = [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]
    return Scripted(200, {"object": "chat.completion", "model": model, "choices": choices}, delay_s=delay_s)
