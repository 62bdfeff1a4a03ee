"""Outcomes that stand in a topic: by time over all partitions, whatever else stands there, and once."""

from datetime import UTC, datetime, timedelta

import pytest

from headrace.broker.cli.columns import Columns
from headrace.broker.cli.outcome_rows import COLUMNS
from headrace.broker.cli.results import Chosen, DisplayOptions, _looked_back, _StartPoint
from headrace.broker.cli.screen import screen
from headrace.broker.errors import Unreachable
from headrace.broker.settings.load import load_settings
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.consumers.past_outcomes import PastOutcomes
from headrace.schemas.codec import encode_dead_letter, encode_outcome
from headrace.schemas.outcome import Completed, Failed, Outcome
from headrace.schemas.record import Record

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
RESULTS = "generation.results"


class World:
    def __init__(self) -> None:
        self.now_ms = int(NOW.timestamp() * 1_000)
        self.kafka = MemoryKafka(lambda: self.now_ms)
        self.kafka.create(RESULTS, 3)
        self.link = KafkaLink(self.kafka)
        self.doors = MemoryClientDoors(self.kafka, self.link)

    def add(self, outcome: Outcome | Record, topic: str = RESULTS) -> None:
        record = outcome if isinstance(outcome, Record) else encode_outcome(outcome, time=NOW)
        self.kafka.append(topic, record)
        self.now_ms += 1_000

    async def read(self, since: datetime | None = None, topic: str | None = None) -> tuple[list[str], int]:
        async with PastOutcomes(connection=self.doors, since=since, topic=topic) as past:
            return [outcome.id async for outcome in past], past.skipped

    async def shown(self, chosen: Chosen, manner: DisplayOptions) -> bool:
        settings = load_settings(None, {}, {})
        return await _looked_back(_StartPoint(settings, self.doors, "earliest", None), chosen, manner, timeout_s=5)


@pytest.fixture
def world() -> World:
    made = World()
    for number in range(9):
        who = {"lane": "bulk" if number % 2 else "urgent", "tenant": "acme" if number < 5 else "zenith"}
        if number % 3:
            made.add(Completed(id=f"lead-{number}", response={}, **who))
        else:
            made.add(Failed(id=f"lead-{number}", reason="rejected", message="No.", **who))
    return made


async def test_they_come_by_time_whatever_their_partition(world: World) -> None:
    assert await world.read() == ([f"lead-{number}" for number in range(9)], 0)
    assert await world.read(NOW + timedelta(seconds=6)) == (["lead-6", "lead-7", "lead-8"], 0)


async def test_what_is_no_outcome_is_skipped_and_what_cannot_be_read_is_told(world: World) -> None:
    world.add(Record(b"k", b"{", ()))
    headers = encode_outcome(Completed(id="deep", response={}), time=NOW).headers
    world.add(Record(b"deep", b"{", headers))
    ids, skipped = await world.read(NOW + timedelta(seconds=8))
    assert (ids, skipped) == (["lead-8", "deep"], 1)


async def test_a_services_own_dead_letters_are_read_as_outcomes(world: World) -> None:
    world.kafka.create("mailer.dead-letters", 1)
    record = encode_outcome(Completed(id="lead-1", response={}), time=NOW)
    letter = encode_dead_letter(
        record.key,
        record.value,
        record.headers,
        reason="handler_failed",
        origin=(RESULTS, 0, 1),
        attempts=1,
        run=0,
        failed_at=NOW,
        max_bytes=10**6,
    )
    world.add(letter, "mailer.dead-letters")
    assert await world.read(topic="mailer.dead-letters") == (["lead-1"], 0)


async def test_a_kafka_that_goes_away_ends_it(world: World) -> None:
    async with PastOutcomes(connection=world.doors) as past:
        await anext(past)
        world.kafka.stop()
        with pytest.raises(Unreachable):
            [outcome async for outcome in past]  # what is in hand may come first


@pytest.mark.parametrize(
    ("chosen", "limit", "ids", "all_well"),
    [
        (Chosen(), 0, "012345678", False),
        (Chosen(), 2, "78", False),
        (Chosen(ids=frozenset({"lead-4", "lead-7"})), 0, "47", True),
        (Chosen(lane="bulk"), 0, "1357", False),
        (Chosen(tenant="zenith"), 0, "5678", False),
        (Chosen(failed=True), 1, "6", False),
        (Chosen(tenant="acme", lane="bulk", failed=True), 0, "3", False),
        (Chosen(ids=frozenset({"no"})), 0, "", True),
    ],
)
async def test_those_that_are_chosen_are_shown_in_a_pipe_a_line_each(  # noqa: PLR0917  # a row each
    world: World,
    chosen: Chosen,
    limit: int,
    ids: str,
    all_well: bool,  # noqa: FBT001
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await world.shown(chosen, DisplayOptions(limit=limit)) is all_well
    said = capsys.readouterr()
    assert [line.split("  ")[1] for line in said.out.splitlines()] == [f"lead-{number}" for number in ids]
    assert said.err == ""


async def test_an_outcome_without_an_end_of_its_own_is_shown_with_the_time_at_which_kafka_took_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.shown(Chosen(ids=frozenset({"lead-3"})), DisplayOptions())
    assert capsys.readouterr().out.startswith("2026-12-01T09:00:03.000Z  lead-3")
    await world.shown(Chosen(ids=frozenset({"lead-3"})), DisplayOptions(table=Columns(screen(), COLUMNS)))
    assert capsys.readouterr().out.splitlines()[1].startswith("12-01 09:00:03  lead-3")


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (Chosen(), "9 outcomes in"),
        (Chosen(lane="bulk"), "4 of 9 outcomes in"),
        (Chosen(tenant="no"), "0 of 9 outcomes in"),
    ],
)
async def test_a_choice_says_of_how_many(
    world: World, chosen: Chosen, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.shown(chosen, DisplayOptions(table=Columns(screen(), COLUMNS)))
    assert capsys.readouterr().err == f"{said} generation.results.\n"
