"""Settings of a retrier, as an operator decides them."""

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.consumers.retries.retry_budget import RetryBudgetRules
from headrace.schemas.topics import BATCH_OVERHEAD_BYTES, MESSAGE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class RetrierRules:
    """Settings of a retrier; `lanes` in their order.

    Attributes:
        retry_budget: Retries that each lane takes back.
        from_start: The operator allows missing offsets to be read as zero.
        recommit_every_ms: Interval at which offsets are stored again, because those of a group without members expire.
        lane_bytes_max: A larger record is not put back.
    """

    topic_prefix: str
    lanes: Sequence[str]
    dead_letter_bytes_max: int
    held_bytes_max: int
    retry_budget: RetryBudgetRules
    from_start: bool = False
    recommit_every_ms: int = 3_600_000
    lane_bytes_max: int = MESSAGE_BYTES_MAX - BATCH_OVERHEAD_BYTES
