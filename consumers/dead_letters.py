"""Reader of dead letters, for people and services that inspect them: `async for found in letters`, oldest first.

One pass, from the beginning or a time to where the topic ended when the reader was opened. It joins no group and stores
nothing, so it disturbs no other reader, and it holds no more than a fetch of each partition. Dead letters hold
arbitrary bytes: a value may be null, not JSON, or only the beginning of the original. None of them raises here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace.broker.adapters.kafka.client import client_doors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client_ports import ClientDoors, StoredRecord
from headrace.consumers.fragments import fragment
from headrace.consumers.oldest_first import OldestFirstReader
from headrace.schemas.codec import WireError, decode_dead_letter
from headrace.schemas.dead_letter import DeadLetter, Origin
from headrace.schemas.ids import is_valid_id
from headrace.schemas.request_codec import DecodedRequest, InputLimits, Undecodable, decode_request
from headrace.schemas.topics import dead_letters_topic

GENEROUS = InputLimits(request_bytes_max=64 * 1024 * 1024, nesting_max=512, values_max=1_000_000)
"""Limits for reading an original: more generous than a dispatcher's."""
_WORD_CHARS_MAX = 256


@dataclass(frozen=True, slots=True)
class Original:
    """Known properties of the request that became a dead letter; None where unknown."""

    id: str | None
    tenant: str | None
    model: str | None
    endpoint: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A dead letter, with its own position and the time when it was written there."""

    place: Origin
    written_at: datetime
    letter: DeadLetter

    def original(self) -> Original:
        """Read the original's properties from headers and value, as far as possible. It takes time: call it once."""
        return original_of(self.letter)


def original_of(letter: DeadLetter, read: DecodedRequest | Undecodable | None = None) -> Original:
    """Read an original's properties from its headers and value. Never raises; `read` is them decoded already."""
    decoded = decode_request(letter.value, letter.headers, GENEROUS) if read is None else read
    if isinstance(decoded, DecodedRequest):
        request = decoded.request
        return Original(request.id, request.tenant, request.model, request.endpoint)
    told = fragment(letter.value) if letter.original_length is not None or decoded.request_id is None else {}
    body = told.get("body")
    own_id = told.get("id")
    return Original(
        id=own_id if isinstance(own_id, str) and is_valid_id(own_id) else decoded.request_id,
        tenant=decoded.tenant or _word(told.get("tenant")),
        model=decoded.model or (_word(body.get("model")) if isinstance(body, dict) else None),
        endpoint=decoded.endpoint or _word(told.get("endpoint")),
    )


def _word(candidate: Any) -> str | None:
    return candidate if isinstance(candidate, str) and len(candidate) <= _WORD_CHARS_MAX else None


class DeadLetterReader(OldestFirstReader):
    """Iterator over dead letters, committed ones only, oldest first.

    Args:
        bootstrap_servers: `host:port`, several separated by commas.
        topic_prefix: Which budget.
        connection: Address and credentials, where more than an address is needed; or a `MemoryBroker`'s, in a test.
        since: Nothing that was written before this instant; None: from the beginning.
        topic: A service's own dead letters; default: those of the prefix.

    Attributes:
        topic: The topic it reads.
        unreadable: Records of the topic that were no dead letters and were skipped.
    """

    def __init__(
        self,
        bootstrap_servers: str = "",
        *,
        topic_prefix: str = "generation",
        connection: KafkaConnection | ClientDoors | None = None,
        since: datetime | None = None,
        topic: str | None = None,
    ) -> None:
        self.topic = topic or dead_letters_topic(topic_prefix)
        self.unreadable = 0
        super().__init__(client_doors(bootstrap_servers, connection).scan(self.topic, since=since))

    async def __anext__(self) -> Found:
        """Return the next dead letter.

        Raises:
            Unreachable: Kafka is away; letters already returned stay valid, and a new reader begins anew.
            RightsError: Kafka does not let us read.
        """
        while (standing := await self.next()) is not None:
            found = found_in(standing)
            if found is not None:
                return found
            self.unreadable += 1
        raise StopAsyncIteration

    async def at(self, partition: int, offset: int) -> Found | None:
        """Return the dead letter at that offset; None if there is none. For a reader that is not iterated over."""
        standing = await self._scan.at(partition, offset)
        return None if standing is None else found_in(standing)


def found_in(standing: StoredRecord) -> Found | None:
    """Decode a record as a dead letter; None if it is none."""
    record = standing.record
    try:
        letter = decode_dead_letter(record.key, record.value, record.headers)
    except WireError:
        return None
    written_at = datetime.fromtimestamp(max(0, standing.timestamp_ms) / 1_000, UTC)
    return Found(Origin(standing.topic, standing.partition, standing.offset), written_at, letter)
