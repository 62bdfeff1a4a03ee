"""The largest records and commits, which must fit into one batch of Kafka however busy a process is.

A ledger line or a commit that is too large fails each time, and with it every leader. So the largest of each follows
here from its parts, and settings that leave less room are refused before anything starts.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from headrace.broker.core import bounds
from headrace.broker.core.identity.outcome_index import RENEWALS_MAX, REWRITES_MAX
from headrace.broker.core.progress.offset_map import METADATA_CHARS_MAX
from headrace.schemas.codec import DEAD_LETTER_KEPT_BYTES
from headrace.schemas.ledger import packed_bytes_max
from headrace.schemas.topics import BATCH_OVERHEAD_BYTES, MESSAGE_BYTES_MAX

_TOPIC_CHARS_MAX: Final = 249
_POSITION_BYTES_MAX: Final = _TOPIC_CHARS_MAX + 32
"""`topic/partition/offset` in quotes, with its comma."""
_TOPIC_ID_BYTES: Final = _TOPIC_CHARS_MAX + 32
_HEAD_BYTES: Final = 1_024
"""Head of a ledger line, or of any record of Headrace: kind, term, owner, key and the names of its fields."""
_TOTALS_BYTES_MAX: Final = 2_048
"""Thirty-two kinds of outcomes, forty characters each, and a count of twenty digits."""
_DECIDED_MAX: Final = bounds.OUTCOMES_PER_TRANSACTION_MAX + bounds.OVERDUE_MAX
_STEP_BYTES_MAX: Final = (
    packed_bytes_max(
        settled=_DECIDED_MAX + REWRITES_MAX,
        awaited=_DECIDED_MAX + RENEWALS_MAX,
        started=2 * bounds.STARTED_A_LINE_MAX,
        cancels=bounds.OUTCOMES_PER_TRANSACTION_MAX + RENEWALS_MAX,
    )
    + bounds.LEVELS_BYTES_A_LINE_MAX
    + _TOTALS_BYTES_MAX
    + bounds.CAUTIOUS_BATCH_MAX * _POSITION_BYTES_MAX
)
_CLAIM_BYTES_MAX: Final = bounds.STANDS_A_CLAIM_MAX * _POSITION_BYTES_MAX

OUTCOME_BYTES_MIN: Final = 32 * 1024
"""Half of it is kept free beside an answer; with less no answer would fit."""
PARKED_BYTES_MIN: Final = 80 * 1024
"""64 KiB are kept free beside a parked request; with less no request could be parked."""
DEAD_LETTER_BYTES_MIN: Final = DEAD_LETTER_KEPT_BYTES + 16 * 1024
CHUNK_BYTES_MIN: Final = 64 * 1024 + BATCH_OVERHEAD_BYTES
"""A batch of chunks, as the client gathers them."""
CONTROL_BYTES_MIN: Final = 16 * 1024
TOTALS_BYTES_MIN: Final = 32 * 1024
"""A sum: three labels of 256 characters, each of up to 12 bytes, and the counts of its sizes."""
CALL_BYTES_MIN: Final = 16 * 1024
BATCHES_BYTES_MIN: Final = 80 * 1024
"""A part of a file has 64 KiB at least; the rest is for its head."""

OFFSETS_BYTES_MAX: Final = MESSAGE_BYTES_MAX
"""The largest commit of a group's offsets: Kafka makes one batch of it, and applies `message.max.bytes` to that.

Measured: 2,200 partitions with 4,090 characters each are refused whole by a node that takes 8 MiB.

The value is Kafka's default, also where an operator has raised `message.max.bytes`. Settings are checked without a
Kafka; the bound that counts is `max.message.bytes` of Kafka's own topic `__consumer_offsets`, and a dispatcher has no
right to read that. Nor may its start depend on it: after it was lowered again no leader could commit. With three lanes
there is room for some 1,900 partitions each.
"""
_OFFSET_BYTES: Final = 128
"""Bytes of one partition, beside the names of group and topic, with a map of few open offsets."""
_OPEN_BYTES: Final = 1
"""Bytes of a map for each record that is held.

In base64 it is a third of it where every second one is done, and more only for the few that outlast thousands behind
them.
"""


def ledger_line_bytes_max(lanes: int) -> int:
    """Return the size of the largest ledger record, with its batch."""
    step = _STEP_BYTES_MAX + (lanes + 1) * _TOPIC_ID_BYTES
    claim = _CLAIM_BYTES_MAX + (lanes + 1) * _TOPIC_ID_BYTES
    return max(step, claim) + _HEAD_BYTES + BATCH_OVERHEAD_BYTES


class GroupTopic(NamedTuple):
    """One topic of a group: its name, its partitions, and how many of its records are held at once."""

    topic: str
    partitions: int
    open_max: int


def offsets_bytes_max(group: str, committed: Iterable[GroupTopic]) -> int:
    """Return the size of a group's largest commit, of all partitions, as each first transaction of a term has."""
    return sum(
        each.partitions * (_OFFSET_BYTES + len(group) + len(each.topic))
        + min(each.open_max * _OPEN_BYTES, each.partitions * METADATA_CHARS_MAX)
        for each in committed
    )
