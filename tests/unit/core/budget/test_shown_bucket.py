"""What is remembered of one bucket that headers show."""

from headrace.broker.core.answers.refill_detection import Refill, RefillEvidence, RefillPattern
from headrace.broker.core.budget.shown_bucket import ShownBucket


def test_a_pattern_is_known_until_mirrors_change() -> None:
    bucket = ShownBucket(60_000, 0, RefillEvidence())
    pattern = RefillPattern(Refill.BUCKET, 60_000)
    assert not bucket.knows(pattern, 0)
    bucket.known, bucket.made = pattern, 3
    assert bucket.knows(pattern, 3)
    assert not bucket.knows(pattern, 4)
    assert not bucket.knows(RefillPattern(Refill.BUCKET, 60_000), 3), (
        "it is asked for each answer, and compares no fields"
    )
