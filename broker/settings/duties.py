"""Settings of the processes' work: dispatching, input, retries, recognition of repeats."""

from pydantic import ByteSize, Field

from broker.settings.group import LIFETIME_MAX_S, Group, Share, Size
from schemas.bounded_json import NESTING_MAX, VALUES_MAX


class DispatcherSettings(Group):
    """One dispatcher process. `name` is a label for people; `grace_s` is what the platform grants for leaving."""

    name: str = Field("default", min_length=1)
    inflight_max: int = Field(512, ge=1, le=10_000)
    http_host: str = "127.0.0.1"
    http_port: int = Field(8080, ge=0, le=65_535)
    grace_s: int = Field(30, ge=10, le=LIFETIME_MAX_S)
    lease_ttl_s: float = Field(2, ge=2, le=60)
    held_bytes_max: Size = ByteSize(64 * 1024 * 1024)
    transaction_timeout_s: float = Field(15, ge=1, le=900)


class RetrierSettings(Group):
    """One retrier process. What waits is kept in memory up to `held_bytes_max`, and read again beyond it.

    A lane takes back no more retries than `fresh_share` of the fresh requests that come to it, and `floor_per_s`.
    What a lane has earned lasts ten seconds, so a floor far below one in that time would never let a retry through.
    """

    http_host: str = "127.0.0.1"
    http_port: int = Field(8081, ge=0, le=65_535)
    held_bytes_max: Size = ByteSize(32 * 1024 * 1024)
    fresh_share: Share = 0.2
    floor_per_s: float = Field(10, ge=0.2, le=10_000)


class ModelsSettings(Group):
    """The models a producer may ask for: patterns as in file names."""

    allow: tuple[str, ...] = Field(("*",), min_length=1)


class ToolsSettings(Group):
    """The tools a producer may ask for beside those that it carries out itself: patterns as in file names."""

    allow: tuple[str, ...] = Field((), max_length=100)


class RepliesSettings(Group):
    """Topics of producers' own that a request may name in `reply_to`, by their exact names; none unless listed."""

    allow: tuple[str, ...] = Field((), max_length=100)


class InputSettings(Group):
    """What a request may weigh, how deep it may nest and how many values it may hold.

    Readers take 200 levels, and an outcome or a retry adds some around the body. In `values_max` a list or an object
    counts as four values, since it takes more memory than a number.
    """

    request_bytes_max: Size = ByteSize(900_000)
    nesting_max: int = Field(64, ge=4, le=NESTING_MAX)
    values_max: int = Field(VALUES_MAX, ge=1_000, le=10_000_000)


class RetrySettings(Group):
    """Waits up to `in_place_max_s` stay in the dispatcher; what must wait longer goes to the retrier."""

    in_place_max_s: int = Field(60, ge=1, le=LIFETIME_MAX_S)
    attempts_max: int = Field(8, ge=1, le=100)


class DedupeSettings(Group):
    """How long, and for how many ids, a repeat is recognised."""

    window_s: int = Field(3_600, ge=60, le=LIFETIME_MAX_S)
    ids_max: int = Field(2_000_000, ge=1_000, le=20_000_000)
