"""A report over any split of outcomes into partitions equals the plain sum of those that belong to it."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.cli.report.gathering import Gathered, Gathering
from headrace.broker.spending.breakdown import Values
from headrace.broker.spending.question import NameFilters, ReportPeriod, ReportQuestion
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed, Cost, Failed, Outcome, Timings, Usage
from headrace.schemas.record import Record
from headrace.schemas.topics import results_topic

UNTIL = datetime(2026, 12, 1, 9, 17, tzinfo=UTC)
PERIOD = ReportPeriod(UNTIL - timedelta(hours=30), UNTIL)
PARTITIONS = 3
NAMES = st.sampled_from([None, "", "a", "b", "(others)"])
TOKENS = st.integers(0, 10**6)


class Unwatched:
    def expect(self, offsets: int) -> None:
        pass

    def pass_by(self, offsets: int) -> None:
        pass


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    finished_at = draw(st.none() | st.integers(-60, 34 * 3_600).map(lambda ago_s: UNTIL - timedelta(seconds=ago_s)))
    told: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "lane": draw(NAMES),
        "tenant": draw(NAMES),
        "template": draw(NAMES),
        "model": draw(NAMES),
        "tier_asked": draw(NAMES),
        "attempts": draw(st.integers(0, 9)),
        "timings": Timings(finished_at=finished_at),
    }
    if draw(st.booleans()):
        told["usage"] = Usage(input_tokens=draw(TOKENS), output_tokens=draw(TOKENS), cached_tokens=draw(TOKENS))
        pico_usd = draw(st.none() | st.integers(0, 10**13))
        told["cost"] = draw(st.sampled_from([None, Cost(micro_usd=None if pico_usd is None else pico_usd / 10**6)]))
    if draw(st.booleans()):
        return Failed(**told, reason="exhausted")
    tier_served, charge = draw(NAMES), draw(st.none() | TOKENS)
    return Completed(**told, response={}, tier_served=tier_served, charge_tokens=charge)


def plain(published: Sequence[tuple[Outcome, datetime]], lane: str | None) -> dict[Values, list[int]]:
    """Outcomes, calls, charge, input, cached, output and pico-dollars by tenant and tier, without any of our sums."""
    found: dict[Values, list[int]] = defaultdict(lambda: [0] * 7)
    for outcome, at in published:
        when = outcome.timings.finished_at or at
        if not PERIOD.since <= when < PERIOD.until or (lane is not None and (outcome.lane or "") != lane):
            continue
        tier = getattr(outcome, "tier_served", None) or outcome.tier_asked or "default"
        usage, cost = outcome.usage or Usage(), outcome.cost
        amounts = (
            1,
            outcome.attempts,
            getattr(outcome, "charge_tokens", None) or 0,
            usage.input_tokens,
            usage.cached_tokens,
            usage.output_tokens,
            0 if cost is None or cost.micro_usd is None else round(cost.micro_usd * 10**6),
        )
        sums = found[outcome.tenant or "", tier]
        found[outcome.tenant or "", tier] = [one + more for one, more in zip(sums, amounts, strict=True)]
    return found


async def reported(published: Sequence[tuple[Outcome, datetime, int]], lane: str | None) -> Gathered:
    now = [UNTIL]
    kafka = MemoryKafka(lambda: int(now[0].timestamp() * 1_000))
    topic = results_topic("t")
    kafka.create(topic, PARTITIONS)
    for outcome, at, partition in sorted(published, key=lambda each: each[1]):
        now[0] = at
        kafka.append(topic, encode_outcome(outcome, time=at), partition=partition)
        kafka.append(topic, Record(b"k", b"{}"), partition=partition)
    filters = NameFilters({} if lane is None else {"lane": [lane]})
    doors = MemoryClientDoors(kafka, KafkaLink(kafka))
    asked = Gathering(doors, "t", ReportQuestion(PERIOD, ("tenant", "tier"), filters, by_hour=True))
    return await asked.gather(Unwatched(), None)


@given(
    st.lists(st.tuples(outcomes(), st.integers(0, 600), st.integers(0, PARTITIONS - 1)), max_size=30),
    st.sampled_from([None, "", "a"]),
)
def test_a_report_equals_the_plain_sum_however_outcomes_are_split(
    drawn: list[tuple[Outcome, int, int]], lane: str | None
) -> None:
    published = [
        (outcome, (outcome.timings.finished_at or UNTIL - timedelta(hours=1)) + timedelta(seconds=late_s), partition)
        for outcome, late_s, partition in drawn
    ]
    found = asyncio.run(reported(published, lane))
    rows = {
        values: [
            sums.outcomes,
            sums.calls,
            sums.charge_tokens,
            sums.input_tokens,
            sums.cached_tokens,
            sums.output_tokens,
            sums.pico_usd,
        ]
        for values, sums in found.tally.groups.groups.items()
    }
    assert rows == plain([(outcome, at) for outcome, at, _ in published], lane)
    timeline, whole = found.tally.timeline, found.tally.groups.whole()
    assert timeline is not None
    assert sum(sum(row.pico_usd) for row in timeline.rows.values()) == whole.pico_usd
    assert sum(sum(row.tokens) for row in timeline.rows.values()) == whole.input_tokens + whole.output_tokens
    read = sum(PERIOD.since <= at for _, at, _ in published)
    assert found.tally.notes.unreadable >= read
