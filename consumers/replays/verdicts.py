"""Verdict on a selected dead letter: put it back as which run of which id, on which lane, or why not.

Arbitrary bytes never raise here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from headrace.consumers.dead_letters import GENEROUS, Found, original_of
from headrace.consumers.replays.filters import LetterFilters
from headrace.consumers.replays.job import ReplayRequest
from headrace.schemas.record import Record
from headrace.schemas.replay_codec import encode_renamed, encode_replay, new_id_of
from headrace.schemas.request_codec import RUN_MAX, DecodedRequest, Undecodable, decode_request
from headrace.schemas.topics import requests_topic

ID_CONFLICT = "id_conflict"
CRASHED = "crashed"
CANCELLED = "cancelled"
LOST = "lost_by_retention"


class Skip(StrEnum):
    """Reason why a selected dead letter is not put back."""

    ANSWERED = "answered"  # completed, or that run was answered or put back already
    ID_CONFLICT = "id_conflict"  # its id belongs to another request
    CRASHED = "crashed"  # it crashed dispatchers; only a filter that names that reason selects it
    CANCELLED = "cancelled"  # its producer no longer wants an answer
    CUT = "cut"  # only the beginning of its value was kept
    UNREADABLE = "unreadable"  # it is no request, or has no value
    NO_LANE = "no_lane"  # its original lane does not exist
    TOO_LARGE = "too_large"  # its lane accepts no record of this size
    REFUSED = "refused"  # Kafka refused it, though it should fit
    RUNS_USED_UP = "runs_used_up"  # it was replayed as often as can be counted


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane's default deadline for its requests, and its largest record."""

    deadline: timedelta
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Replayable:
    """A dead letter that can be put back, with its target.

    Attributes:
        renamed: The decoded value, if it goes under another id than the one in it.
    """

    found: Found
    lane: str
    request_id: str
    run: int
    renamed: DecodedRequest | None = None

    def record(self, deadline: datetime) -> Record:
        """Encode it as the lane takes it."""
        if self.renamed is not None:
            return encode_renamed(self.found.letter, self.renamed, self.request_id, deadline=deadline)
        return encode_replay(self.found.letter, self.request_id, run=self.run, deadline=deadline)


class Judge:
    """Judge of dead letters for one pass of a job."""

    def __init__(
        self, asked: ReplayRequest, filters: LetterFilters, topic_prefix: str, lanes: Mapping[str, Lane]
    ) -> None:
        """`lanes` are those of the settings, by name."""
        self._asked = asked
        self._filters = filters
        self._lanes = lanes
        self._lane_of = {requests_topic(topic_prefix, lane): lane for lane in lanes}

    def judge(self, found: Found) -> Replayable | Skip | None:
        """Judge a dead letter; None: it is not selected."""
        if not self._filters.may_hold(found):
            return None
        letter = found.letter
        decoded = decode_request(letter.value, letter.headers, GENEROUS)
        if not self._filters.holds(original_of(letter, decoded)):
            return None
        hopeless = self._hopeless(found)
        if hopeless is not None:
            return hopeless
        if isinstance(decoded, Undecodable):
            return Skip.UNREADABLE
        return self._placed(found, decoded)

    def _hopeless(self, found: Found) -> Skip | None:
        """Return why it could not be put back whatever its value says."""
        letter = found.letter
        if letter.original_length is not None:
            return Skip.CUT
        if letter.value is None or letter.reason == LOST:
            return Skip.UNREADABLE
        if letter.reason == CANCELLED:
            return Skip.CANCELLED
        if letter.reason == CRASHED and CRASHED not in self._filters.reasons:
            return Skip.CRASHED
        if letter.reason == ID_CONFLICT and not self._asked.new_id:
            return Skip.ID_CONFLICT
        return None

    def _placed(self, found: Found, decoded: DecodedRequest) -> Replayable | Skip:
        came_from = self._lane_of.get(found.letter.origin.topic)
        lane = self._asked.lane or came_from
        if lane is None:
            return Skip.NO_LANE
        replayable = _named(found, decoded, lane)
        if replayable.run > RUN_MAX:
            return Skip.RUNS_USED_UP
        record = replayable.record(found.letter.failed_at)  # any instant has the same length
        if record.bytes_max > self._lanes[lane].bytes_max:
            return Skip.TOO_LARGE
        read = decode_request(record.value, record.headers, GENEROUS)
        is_itself = isinstance(read, DecodedRequest) and read.request.id == replayable.request_id
        return replayable if is_itself else Skip.UNREADABLE


def _named(found: Found, decoded: DecodedRequest, lane: str) -> Replayable:
    """Name the next run of its id; or, where the id belongs to another request, the first run of a new one."""
    if found.letter.reason != ID_CONFLICT:
        return Replayable(found, lane, decoded.request.id, found.letter.run + 1)
    return Replayable(found, lane, new_id_of(decoded.request.id, found.place), 0, renamed=decoded)
