"""What is read of a topic, and what is said of its progress."""

from datetime import datetime, timedelta

import pytest

from headrace.broker.cli.report.reading import read_results
from headrace.broker.range_ports import RangeLog
from headrace.broker.spending.question import ReportPeriod, ReportQuestion
from headrace.broker.spending.tally import SpendingTally
from headrace.schemas.codec import encode_outcome
from tests.unit.cli.report.world import NOW, RESULTS, TOTALS, World, completed, failed, told, world

__all__ = ["world"]
DAY = timedelta(days=1)


class Counting:
    def __init__(self) -> None:
        self.expected = self.passed = 0

    def expect(self, offsets: int) -> None:
        self.expected += offsets

    def pass_by(self, offsets: int) -> None:
        self.passed += offsets


def tally() -> SpendingTally:
    return SpendingTally(ReportQuestion(ReportPeriod(NOW - 7 * DAY, NOW), ("lane",)))


async def opened(world: World) -> RangeLog:
    log = world.doors.range_log(RESULTS)
    await log.open()
    return log


async def test_all_offsets_that_are_expected_are_passed(world: World) -> None:
    world.publish(*(completed(run=number) for number in range(250)), partition=0)
    world.publish(*(completed(run=number) for number in range(7)), partition=2)
    progress = Counting()
    assert await read_results(await opened(world), tally(), progress) is None
    assert progress.expected == progress.passed == 257


async def test_a_topic_without_a_part_of_the_period_is_not_read_where_only_the_whole_counts(world: World) -> None:
    world.publish(completed(5 * DAY), completed(3 * DAY))
    world.kafka.logs(RESULTS)[0].trim(1)
    progress, counted = Counting(), tally()
    assert await read_results(await opened(world), counted, progress, whole_only=True) == NOW - 3 * DAY
    assert (progress.expected, counted.groups.groups) == (0, {})
    assert await read_results(await opened(world), counted, progress) == NOW - 3 * DAY
    assert progress.passed == 1


@pytest.mark.parametrize(
    ("kept", "back_to"),
    [(7 * DAY, None), (3 * DAY, NOW - 3 * DAY - timedelta(minutes=10)), (None, NOW)],
    ids=["as long as the period", "shorter", "unknown"],
)
async def test_a_partition_without_any_record_left_lacks_what_is_older_than_retention(
    world: World, kept: timedelta | None, back_to: datetime | None
) -> None:
    world.publish(completed(5 * DAY))
    world.publish(completed(4 * DAY), partition=1)
    world.kafka.logs(RESULTS)[0].trim(1)
    kept_since = None if kept is None else NOW - kept
    assert await read_results(await opened(world), tally(), Counting(), kept_since=kept_since) == back_to


def test_a_report_beyond_the_retention_of_an_emptied_topic_says_from_when_on_it_is_complete(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.publish(completed(9 * DAY))
    assert told(capsys, "--since", "30d")["reaches_back_to"] is None
    world.kafka.logs(RESULTS)[0].trim(1)
    assert told(capsys, "--since", "30d")["reaches_back_to"] is not None
    assert told(capsys, "--since", "6d")["reaches_back_to"] is None


async def test_an_outcome_without_a_call_counts_when_it_was_published_and_not_when_kafka_stamped_it(
    world: World,
) -> None:
    """As with LogAppendTime, or a topic that was copied: the header is what totals go by."""
    world.publish(failed())
    slot = world.kafka.logs(RESULTS)[0].slots[0]
    world.kafka.logs(RESULTS)[0].slots[0] = type(slot)(slot.at_ms + 3_000_000, slot.record, None)
    counted = tally()
    await read_results(await opened(world), counted, Counting())
    assert counted.groups.whole().outcomes == 1


def test_totals_that_lack_a_part_of_the_earlier_period_are_not_compared_with(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.publish(completed())
    world.total([completed(13 * DAY), completed(10 * DAY), completed(9 * DAY)])
    assert told(capsys)["compared_with"]["topic"] == TOTALS
    world.kafka.logs(TOTALS)[0].trim(1)
    assert told(capsys)["compared_with"] is None


@pytest.mark.parametrize("until", ["now", "then"])
def test_a_record_with_a_date_in_the_future_hides_no_outcome_behind_it(
    world: World, capsys: pytest.CaptureFixture[str], until: str
) -> None:
    """As of a leader whose clock was wrong for a while."""
    ended = 0 * DAY if until == "now" else 3 * DAY
    for ago, dated in ((5 * DAY, 5 * DAY), (4 * DAY, ended - DAY), (3.5 * DAY, 3.5 * DAY)):
        world.at = NOW - dated
        world.kafka.append(RESULTS, encode_outcome(completed(ago), time=world.at), partition=0)
    assert told(capsys, "--until", f"{NOW - ended:%Y-%m-%dT%H:%M:%SZ}")["total"]["outcomes"] == 3


def test_a_topic_of_which_retention_has_left_nothing_is_not_called_complete(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.publish(completed(9 * DAY), completed(8 * DAY))
    world.kafka.logs(RESULTS)[0].trim(2)
    found = told(capsys, "--since", "10d")
    assert (found["total"]["outcomes"], found["reaches_back_to"] is None) == (0, False)
    assert "--from totals" in " ".join(found["notes"])
