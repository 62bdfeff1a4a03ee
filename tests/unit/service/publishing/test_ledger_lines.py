"""What a leader writes into the ledger, its successor reads out of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.budget import Budget, Checkpoint
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.shown_buckets import PROJECT_UNSHOWN_MAX
from headrace.broker.core.commands import AttemptEntry, Batch, SettledEntry
from headrace.broker.core.endpoints import Law
from headrace.broker.core.events import LedgerRead
from headrace.broker.core.identity.dedupe import Awaited, Fate, Identity
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.units import PPM
from headrace.broker.service.intake.grants import GrantKey
from headrace.broker.service.publishing.ledger_lines import claim_record, ledger_read, left_record, step_record
from headrace.schemas import ledger
from headrace.schemas.ledger import LedgerKind, decode_ledger, encode_ledger
from tests.unit.core.budgets import SETTINGS, answer, full

NOW = datetime(2026, 12, 1, 9, 0, 0, 123_000, tzinfo=UTC)
IDENTITY = Identity(b"i" * 16, 3, b"f" * 8)


def read_back(batch: Batch) -> LedgerRead:
    return ledger_read(decode_ledger(encode_ledger(step_record(batch, 7, "me", NOW))), 5)


@pytest.mark.parametrize("fate", list(Fate))
def test_every_fate_survives(fate: Fate) -> None:
    batch = Batch(1, (), {}, (SettledEntry(IDENTITY, 2, fate),), (), ())
    read = read_back(batch)
    assert read.at_ms == 5
    assert read.settled == [SettledEntry(IDENTITY, 2, fate)]


def test_cancels_that_wait_survive() -> None:
    waiting = (
        CancelRecord(b"i" * 16, 1_760_000_000_000),
        CancelRecord(b"j" * 16, 0),
        CancelRecord(b"i" * 16, 5, b"acme...."),
    )
    read = read_back(Batch(1, (), {}, (), (), (), waiting))
    assert tuple(read.cancels) == waiting


def test_copies_that_are_on_their_way_survive() -> None:
    awaited = (
        Awaited(IDENTITY, 1_800_000_000, "lead-1"),
        Awaited(IDENTITY, 1 << 60, "", overdue=True),
        Awaited(IDENTITY, -1, "lead-2", tenant_mark=b"acme...."),
    )
    read = read_back(Batch(1, (), {}, (), (), (), awaited=awaited))
    told = [(each.identity.id_hash, each.identity.run, *each[1:]) for each in read.awaited]
    assert told == [
        (b"i" * 16, 3, 1_800_000_000, "lead-1", False, b""),
        (b"i" * 16, 3, (1 << 40) - 1, "", True, b""),
        (b"i" * 16, 3, 0, "lead-2", False, b"acme...."),
    ]


def test_attempts_begun_survive_but_for_the_content_nobody_asks_about() -> None:
    batch = Batch(1, (), {}, (), (AttemptEntry(IDENTITY, 2),), ())
    read = read_back(batch)
    assert [(each.identity.id_hash, each.identity.run, each.attempt) for each in read.started] == [(b"i" * 16, 3, 2)]
    assert not read.ended


def test_attempts_that_ended_survive() -> None:
    read = read_back(Batch(1, (), {}, (), (), (), ended=(AttemptEntry(IDENTITY, 2),)))
    assert [(each.identity.id_hash, each.identity.run, each.attempt) for each in read.ended] == [(b"i" * 16, 3, 2)]
    assert not read.started


@pytest.mark.parametrize("attempt", [255, 256, 100_000])
def test_an_attempt_beyond_the_wire_is_written_as_the_highest(attempt: int) -> None:
    batch = Batch(1, (), {}, (SettledEntry(IDENTITY, attempt, Fate.PARKED),), (AttemptEntry(IDENTITY, attempt),), ())
    read = read_back(batch)
    assert (read.settled[0].attempt, read.started[0].attempt) == (255, 255)


def test_levels_survive_by_limit_at_the_wall_clock_of_their_writing() -> None:
    tokens = LevelBounds(LimitMetric.TOKENS, -5, 70, 1_000, 60_000)
    requests = LevelBounds(LimitMetric.REQUESTS, 3, 3, 500, 86_400_000)
    one = Checkpoint("gpt-4o", 1, (tokens, requests), charged_last_minute=9, pause_ms=40, markup_ppm=1_200_000)
    one = replace(one, tolerated_burst_tokens=300, burst_ceiling_tokens=700)
    two = Checkpoint("gpt-5", 1, (tokens,), charged_last_minute=0, pause_ms=0, markup_ppm=1_000_000)
    read = read_back(Batch(1, (), {}, (), (), (one, two)))
    first, second = read.levels
    assert (first.limit, second.limit) == ("gpt-4o", "gpt-5")
    assert first.at_ms == int(NOW.timestamp() * 1_000)
    assert [(level.metric, level.low, level.capacity, level.period_ms) for level in first.levels] == [
        (LimitMetric.TOKENS, -5, 1_000, 60_000),
        (LimitMetric.REQUESTS, 3, 500, 86_400_000),
    ]
    assert all(level.high == level.low for level in first.levels), "a successor believes the lower end"
    assert (first.charged_last_minute, first.pause_ms, first.markup_ppm) == (9, 40, 1_200_000)
    assert (first.tolerated_burst_tokens, first.burst_ceiling_tokens) == (300, 700)
    assert (second.tolerated_burst_tokens, second.burst_ceiling_tokens) == (0, None)


def test_a_projects_buckets_are_the_projects_to_a_successor_which_drops_them_where_no_answer_shows_them() -> None:
    """One that had lost its mark would stay for good: no answer would correct it, and none would drop it."""
    levels = [LevelBounds(metric, 300, 300, 60_000, MINUTE_MS) for metric in LimitMetric]
    projects = [replace(level, low=200, high=200, capacity=30_000, project=True) for level in levels]
    leader = full(SETTINGS, *levels, *projects)
    (read,) = read_back(Batch(1, (), {}, (), (), (leader.checkpoint(0),))).levels
    successor = Budget(SETTINGS, 0, read)
    assert [replace(level, high=level.low) for level in successor.levels(0)] == [*levels, *projects]
    for attempt in range(PROJECT_UNSHOWN_MAX):
        successor.reserve(attempt, 1, 0)
        successor.record_answer(attempt, 0, answer((60_000, 300, "59.7s"), (60_000, 300, "59.7s")))
    assert [(level.metric, level.capacity) for level in successor.levels(0)] == [
        (level.metric, level.capacity) for level in levels
    ]


def test_laws_survive_and_those_of_a_newer_release_are_left_out() -> None:
    tokens = LevelBounds(LimitMetric.TOKENS, 5, 5, 1_000, 60_000)
    laws = {"chat.completions": Law.CHAT_2025, "responses": Law.USAGE}
    one = Checkpoint("gpt-4o", 1, (tokens,), charged_last_minute=0, pause_ms=0, markup_ppm=1_000_000, laws=laws)
    assert read_back(Batch(1, (), {}, (), (), (one,))).levels[0].laws == laws
    level = ledger.Level("m", "tokens", 5, 9, 60_000, NOW, laws={"responses": "by-the-moon", "embeddings": "usage"})
    record = ledger.LedgerRecord(ledger.LedgerKind.STEP, 1, "me", levels=(level,))
    assert ledger_read(decode_ledger(encode_ledger(record)), 5).levels[0].laws == {"embeddings": Law.USAGE}


def test_a_term_begins_with_a_claim_and_ends_in_peace_with_left() -> None:
    for record, kind in ((claim_record(4, "me"), LedgerKind.CLAIM), (left_record(4, "me"), LedgerKind.LEFT)):
        line = decode_ledger(encode_ledger(record))
        assert (line.kind, line.term, line.owner) == (kind, 4, "me")
        read = ledger_read(line, 5)
        assert (read.term, read.owner, read.at_ms) == (4, "me", 5)
        assert (list(read.settled), list(read.started), list(read.levels)) == ([], [], [])
        assert read.left is (kind is LedgerKind.LEFT)
    assert not read_back(Batch(1, (), {}, (), (), ())).left


def test_a_claim_says_the_key_of_grants_and_the_ids_of_topics() -> None:
    line = decode_ledger(encode_ledger(claim_record(4, "me", topic_ids={"t": "id"}, key=GrantKey("a2V5", 7))))
    assert (line.key, line.key_since_s, line.topics) == ("a2V5", 7, {"t": "id"})
    assert claim_record(4, "me").topics == {}


def test_a_claim_says_what_is_suspected_what_is_proved_and_how_many_outcomes_there_were() -> None:
    place = ("t.requests.bulk/0/7",)
    record = claim_record(4, "me", place, proved="0123456789abcdef", totals={"completed": 7})
    line = decode_ledger(encode_ledger(record))
    assert (line.suspects, line.proved, line.totals) == (place, "0123456789abcdef", {"completed": 7})
    bare = claim_record(4, "me")
    assert (bare.suspects, bare.proved, bare.totals) == ((), "", {})


def test_a_step_says_the_key_of_grants_where_it_is_given() -> None:
    batch = Batch(1, (), {}, (), (), ())
    lines = (step_record(batch, 7, "me", NOW, key=GrantKey("a2V5", 7)), step_record(batch, 7, "me", NOW))
    said = [decode_ledger(encode_ledger(line)) for line in lines]
    assert [(line.key, line.key_since_s) for line in said] == [("a2V5", 7), ("", 0)]


def test_only_a_step_names_a_record_that_is_about_to_be_read() -> None:
    place = ("t.requests.bulk/0/7",)
    batch = Batch(1, (), {}, (), (), ())
    step = step_record(batch, 7, "me", NOW, suspects=place)
    assert [ledger_read(line, 5).named for line in (step, claim_record(7, "me", place))] == [True, False]
    assert not read_back(batch).named


def test_a_measured_rate_survives_for_each_limit_that_follows_one() -> None:
    (level,) = full().levels(0)
    measuring = Checkpoint("one", 0, (level, replace(level, metric=LimitMetric.REQUESTS)), 0, 0, PPM)
    measuring = replace(measuring, measured_tokens_per_minute=20_000)
    read = read_back(
        Batch(1, (), {}, (), (), (measuring, replace(measuring, limit="two", measured_tokens_per_minute=None)))
    )
    assert [(each.limit, each.measured_tokens_per_minute) for each in read.levels] == [("one", 20_000), ("two", None)]
    assert Budget(SETTINGS, 0, replace(read.levels[0], limit=SETTINGS.name)).guide.rate == 20_000
    assert not Budget(SETTINGS, 0, replace(read.levels[1], limit=SETTINGS.name)).guide.measures


def test_levels_of_input_tokens_and_images_survive_and_older_lines_have_none() -> None:
    tokens = LevelBounds(LimitMetric.TOKENS, 5, 5, 1_000, 60_000)
    sides = (
        LevelBounds(LimitMetric.TOKENS, -3, -3, 6_000, 10_000, kind="input-tokens"),
        LevelBounds(LimitMetric.TOKENS, 9, 9, 10, 60_000, kind="input-images"),
    )
    read = read_back(Batch(1, (), {}, (), (), (Checkpoint("m", 0, (tokens,), 0, 0, PPM, sides=sides),)))
    assert read.levels[0].sides == sides
    assert read_back(Batch(1, (), {}, (), (), (Checkpoint("m", 0, (tokens,), 0, 0, PPM),))).levels[0].sides == ()


def test_what_kinds_of_references_carry_survives() -> None:
    tokens = LevelBounds(LimitMetric.TOKENS, 5, 5, 1_000, 60_000)
    one = Checkpoint("gpt-4o", 1, (tokens,), 0, 0, 1_000_000, unshown={"file": 9_000, "response": 40_000})
    one = replace(one, factors={"chat.completions": 1_430_000})
    two = replace(one, limit="gpt-5", unshown={}, factors={})
    first, second = read_back(Batch(1, (), {}, (), (), (one, two))).levels
    assert (first.unshown, second.unshown) == ({"file": 9_000, "response": 40_000}, {})
    assert (first.factors, second.factors) == ({"chat.completions": 1_430_000}, {})
