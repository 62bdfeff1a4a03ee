"""What must fit into one batch of Kafka, and settings that leave less."""

from datetime import UTC, datetime

import pytest

from headrace.broker.core.bounds import (
    CAUTIOUS_BATCH_MAX,
    LEVEL_BYTES,
    LEVEL_NAME_CHAR_BYTES,
    LEVELS_BYTES_A_LINE_MAX,
    OUTCOMES_PER_TRANSACTION_MAX,
    OVERDUE_MAX,
    SIDE_LEVEL_BYTES,
    STANDS_A_CLAIM_MAX,
    STARTED_A_LINE_MAX,
)
from headrace.broker.core.identity.outcome_index import RENEWALS_MAX, REWRITES_MAX
from headrace.broker.core.pricing.references import ReferenceKind
from headrace.broker.errors import SettingsError
from headrace.broker.service.publishing.outcome_counts import KIND_CHARS_MAX, KINDS_MAX
from headrace.broker.settings.fitting import (
    BATCHES_BYTES_MIN,
    CALL_BYTES_MIN,
    CHUNK_BYTES_MIN,
    CONTROL_BYTES_MIN,
    DEAD_LETTER_BYTES_MIN,
    OUTCOME_BYTES_MIN,
    PARKED_BYTES_MIN,
    GroupTopic,
    ledger_line_bytes_max,
    offsets_bytes_max,
)
from headrace.broker.settings.load import load_settings
from headrace.broker.settings.whole import Settings
from headrace.schemas.ids import ID_LENGTH_MAX
from headrace.schemas.ledger import (
    DEADLINE_MAX_S,
    AwaitedEntry,
    LedgerEntry,
    LedgerKind,
    LedgerRecord,
    LedgerState,
    Level,
    SideLevel,
    StartedEntry,
    WaitingCancel,
    encode_ledger,
    position,
)

HASH, FINGERPRINT, TOPIC = b"\xff" * 16, b"\xff" * 8, "t" * 249
DECIDED = OUTCOMES_PER_TRANSACTION_MAX + OVERDUE_MAX
SUSPECT = position(TOPIC, 9_999, 2**63 - 1)
LANES = 10
FACES = "\U0001f600" * 256


UNSHOWN = {kind.value: 10**9 for kind in ReferenceKind}
SIDE = SideLevel(kind="uncached-input-tokens", level=-(10**15), capacity=10**15, period_ms=31 * 86_400_000)


def level(name: str, *sides: SideLevel) -> Level:
    laws = {"chat.completions": "chat-legacy", "responses": "responses", "embeddings": "embeddings"}
    most, now = 10**15, datetime(2026, 1, 1, 12, 30, 15, 123_456, tzinfo=UTC)
    return Level(
        name,
        "requests",
        most,
        most,
        31 * 86_400_000,
        now,
        most,
        86_400_000,
        10**9,
        laws,
        most,
        most,
        unshown=UNSHOWN,
        sides=sides,
    )


def full_step() -> LedgerRecord:
    started = (StartedEntry(HASH, 65_535, 255),) * STARTED_A_LINE_MAX
    return LedgerRecord(
        LedgerKind.STEP,
        2**53,
        "f" * 16,
        levels=(level(FACES),) * (LEVELS_BYTES_A_LINE_MAX // (LEVEL_BYTES + LEVEL_NAME_CHAR_BYTES * len(FACES))),
        settled=(LedgerEntry(HASH, 65_535, 255, LedgerState.WITHDRAWN, FINGERPRINT),) * (DECIDED + REWRITES_MAX),
        started=started,
        ended=started,
        cancels=(WaitingCancel(HASH, 2**63 - 1),) * (OUTCOMES_PER_TRANSACTION_MAX + RENEWALS_MAX),
        suspects=(SUSPECT,) * CAUTIOUS_BATCH_MAX,
        topics={f"{lane:0>249}": "i" * 22 for lane in range(LANES + 1)},
        awaited=(AwaitedEntry(HASH, 65_535, True, DEADLINE_MAX_S, "n" * ID_LENGTH_MAX),) * (DECIDED + RENEWALS_MAX),
        key="k" * 64,
        key_since_s=2**40,
        totals={f"{number:0>{KIND_CHARS_MAX}}": 2**63 for number in range(KINDS_MAX)},
        proved="f" * 16,
    )


def test_a_full_line_fits_and_the_bound_is_no_larger_than_it_must_be() -> None:
    weight = len(encode_ledger(full_step()))
    assert 0.9 * ledger_line_bytes_max(LANES) < weight <= ledger_line_bytes_max(LANES) - 1_024


def test_a_claim_of_all_suspects_that_it_may_name_fits() -> None:
    claim = LedgerRecord(LedgerKind.CLAIM, 2**53, "f" * 16, suspects=(SUSPECT,) * STANDS_A_CLAIM_MAX)
    assert len(encode_ledger(claim)) <= ledger_line_bytes_max(0) - 1_024


def test_a_level_weighs_no_more_than_the_core_takes_it_for() -> None:
    for name in ("m", FACES, '"' * 256):
        two = LedgerRecord(LedgerKind.STEP, 1, "o", levels=(level(name),) * 2)
        one = LedgerRecord(LedgerKind.STEP, 1, "o", levels=(level(name),))
        weight = len(encode_ledger(two)) - len(encode_ledger(one))
        assert weight <= LEVEL_BYTES + LEVEL_NAME_CHAR_BYTES * len(name)
        three = LedgerRecord(LedgerKind.STEP, 1, "o", levels=(level(name, SIDE, SIDE), level(name, SIDE)))
        both = LedgerRecord(LedgerKind.STEP, 1, "o", levels=(level(name, SIDE), level(name, SIDE)))
        assert len(encode_ledger(three)) - len(encode_ledger(both)) <= SIDE_LEVEL_BYTES


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("ledger", ledger_line_bytes_max(3)),
        ("results", OUTCOME_BYTES_MIN),
        ("failures", PARKED_BYTES_MIN),
        ("dead_letters", DEAD_LETTER_BYTES_MIN),
        ("chunks", CHUNK_BYTES_MIN),
        ("control", CONTROL_BYTES_MIN),
        ("calls", CALL_BYTES_MIN),
        ("batches", BATCHES_BYTES_MIN),
    ],
)
def test_a_topic_that_takes_less_than_must_fit_is_refused(kind: str, least: int) -> None:
    name = f"HEADRACE_TOPICS__{kind.upper()}__MAX_MESSAGE_BYTES"
    load_settings(environ={name: str(least)})
    with pytest.raises(SettingsError) as raised:
        load_settings(environ={name: str(least - 1)})
    assert str(raised.value).startswith(f"topics.{kind}.max_message_bytes {least - 1} is below {least}: ")


@pytest.mark.parametrize(
    ("kind", "partitions", "process"), [("requests", 1_900, "dispatcher"), ("failures", 6_300, "retrier")]
)
def test_more_partitions_than_one_commit_can_carry_are_refused(kind: str, partitions: int, process: str) -> None:
    name = f"HEADRACE_TOPICS__{kind.upper()}__PARTITIONS"
    load_settings(environ={name: str(partitions)})
    with pytest.raises(SettingsError, match=f"no {process} could start, so lower topics.{kind}.partitions"):
        load_settings(environ={name: "10000"})


def test_large_buffers_on_many_partitions_are_no_reason_to_refuse() -> None:
    lanes = {name: {"order": order, "buffer_max": 100_000} for order, name in enumerate("abc", start=1)}
    Settings.model_validate({"lanes": lanes, "topics": {"requests": {"partitions": 200}}})


def test_progress_weighs_what_its_partitions_and_what_is_open_in_them_do() -> None:
    assert offsets_bytes_max("group", [GroupTopic("topic", 10, 0), GroupTopic("t", 1, 50)]) == 10 * 138 + 134 + 50
    assert offsets_bytes_max("", [GroupTopic("", 1, 1_000_000)]) == 128 + 4_096
