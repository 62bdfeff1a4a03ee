import base64
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from headrace.broker.core.bounds import BLAMED_AFTER_MS, STRIKES_MAX
from headrace.broker.core.identity import outcome_index as fates
from headrace.broker.core.progress.offset_map import METADATA_CHARS_MAX
from headrace.consumers import narrowing
from headrace.consumers.retries import releases
from headrace.schemas import ledger, request_codec
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import (
    AwaitedEntry,
    LedgerEntry,
    LedgerKind,
    LedgerRecord,
    LedgerState,
    LedgerUnreadable,
    Level,
    StartedEntry,
    WaitingCancel,
    decode_ledger,
    encode_ledger,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
HASH = id_hash("lead-1")
STEP = LedgerRecord(
    LedgerKind.STEP,
    term=7,
    owner="a-token",
    levels=(
        Level("gpt-4o-mini", "tokens", -50, 200_000, 60_000, NOW, charged=900, pause_ms=250, markup_ppm=1_100_000),
    ),
    settled=(LedgerEntry(HASH, 2, 3, LedgerState.PARKED, b"12345678"),),
    started=(StartedEntry(HASH, 2, 4),),
    cancels=(WaitingCancel(HASH, 1_700_000_000_000),),
    suspects=("generation.requests.bulk/0/17",),
    awaited=(AwaitedEntry(HASH, 2, False, 1_800_000_000, "lead-1"), AwaitedEntry(b"h" * 16, 0, True, 0, "")),
)


def test_a_step_is_written_as_the_protocol_says() -> None:
    value = json.loads(encode_ledger(STEP))
    assert base64.b64decode(value["settled"]) == HASH + b"\x00\x02\x03\x03" + b"12345678"
    assert base64.b64decode(value["started"]) == HASH + b"\x00\x02\x04"
    assert {name: value[name] for name in ("v", "kind", "term", "owner", "levels")} == {
        "v": 1,
        "kind": "step",
        "term": 7,
        "owner": "a-token",
        "levels": [
            {"limit": "gpt-4o-mini", "metric": "tokens", "level": -50, "capacity": 200_000, "period_ms": 60_000,
             "at": "2026-01-02T03:04:05.678Z", "charged": 900, "pause_ms": 250, "markup_ppm": 1_100_000}
        ],
    }  # fmt: skip
    assert decode_ledger(encode_ledger(STEP)) == STEP


def test_the_laws_that_were_believed_are_written_where_there_are_any() -> None:
    level = Level("gpt-4o-mini", "tokens", 5, 9, 60_000, NOW, laws={"chat.completions": "chat-2025"})
    record = LedgerRecord(LedgerKind.STEP, term=7, owner="a-token", levels=(level,))
    assert json.loads(encode_ledger(record))["levels"][0]["laws"] == {"chat.completions": "chat-2025"}
    assert decode_ledger(encode_ledger(record)) == record


def test_how_much_a_limit_bears_at_once_is_handed_on() -> None:
    (level,) = STEP.levels
    record = replace(STEP, levels=(replace(level, borne=1_200, ceiling=0), replace(level, borne=7)))
    assert decode_ledger(encode_ledger(record)) == record
    assert {"borne", "ceiling"}.isdisjoint(json.loads(encode_ledger(STEP))["levels"][0])


def test_a_measured_rate_is_written_where_there_is_one() -> None:
    (level,) = STEP.levels
    record = replace(STEP, levels=(replace(level, measured=20_000), level))
    written = json.loads(encode_ledger(record))["levels"]
    assert (written[0]["measured"], "measured" in written[1]) == (20_000, False)
    assert decode_ledger(encode_ledger(record)) == record


def test_fields_of_a_later_release_do_not_disturb_in_a_level_either() -> None:
    """So does the release before read `measured`."""
    value = json.loads(encode_ledger(STEP))
    value["levels"][0] |= {"moon": 20_000}
    assert decode_ledger(json.dumps(value).encode()) == STEP


@pytest.mark.parametrize("kind", list(LedgerKind))
def test_what_is_empty_takes_no_room(kind: LedgerKind) -> None:
    record = LedgerRecord(kind, term=1, owner="x")
    assert set(json.loads(encode_ledger(record))) == {"v", "kind", "term", "owner", "levels"}
    assert decode_ledger(encode_ledger(record)) == record


def test_an_attempt_above_what_fits_is_written_as_the_highest() -> None:
    record = LedgerRecord(
        LedgerKind.STEP, 1, "x", settled=(LedgerEntry(HASH, 0, 300, LedgerState.COMPLETED, bytes(8)),)
    )
    assert decode_ledger(encode_ledger(record)).settled[0].attempt == 255


@pytest.mark.parametrize(
    "changed",
    [{"v": 2}, {"kind": "coup"}, {"settled": "AAAA"}, {"settled": "not base64"}, {"term": -1}, {"owner": None},
     {"settled": base64.b64encode(HASH + b"\x00\x00\x00\x09" + bytes(8)).decode()}],
)  # fmt: skip
def test_what_this_release_does_not_know_is_never_guessed(changed: dict[str, object]) -> None:
    value = json.dumps(json.loads(encode_ledger(STEP)) | changed).encode()
    with pytest.raises(LedgerUnreadable):
        decode_ledger(value)


def test_bytes_that_are_no_record_are_unreadable() -> None:
    for value in (b"", b"\xff", b"[]"):
        with pytest.raises(LedgerUnreadable):
            decode_ledger(value)


def test_fields_of_a_later_release_do_not_disturb() -> None:
    value = json.dumps(json.loads(encode_ledger(STEP)) | {"moon": 1}).encode()
    assert decode_ledger(value) == STEP


def test_copies_on_their_way_are_written_as_the_protocol_says() -> None:
    packed = base64.b64decode(json.loads(encode_ledger(STEP))["awaited"])
    first = HASH + b"\x00\x02\x00" + (1_800_000_000).to_bytes(8, "big") + b"\x06lead-1"
    assert packed == first + b"h" * 16 + b"\x00\x00\x01" + bytes(8) + b"\x00"


def test_marks_of_tenants_stand_apart_where_a_former_release_passes_over_them() -> None:
    marked = LedgerRecord(
        LedgerKind.STEP,
        1,
        "me",
        cancels=(WaitingCancel(HASH, 5), WaitingCancel(HASH, 6, b"acme....")),
        awaited=(AwaitedEntry(HASH, 0, False, 5, "x", b"zenith.."),),
    )
    value = json.loads(encode_ledger(marked))
    assert base64.b64decode(value["cancels_of"]) == bytes(8) + b"acme...."
    assert base64.b64decode(value["awaited_of"]) == b"zenith.."
    assert decode_ledger(encode_ledger(marked)) == marked
    del value["cancels_of"], value["awaited_of"]
    former = decode_ledger(json.dumps(value).encode())
    assert former.cancels == (WaitingCancel(HASH, 5), WaitingCancel(HASH, 6))
    assert former.awaited == (AwaitedEntry(HASH, 0, False, 5, "x"),)


def test_a_line_with_fewer_marks_than_entries_is_unreadable() -> None:
    record = LedgerRecord(LedgerKind.STEP, 1, "me", cancels=(WaitingCancel(HASH, 5, b"acme...."),) * 2)
    value = json.loads(encode_ledger(record))
    value["cancels_of"] = base64.b64encode(b"acme....").decode()
    with pytest.raises(LedgerUnreadable):
        decode_ledger(json.dumps(value).encode())


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_copies_that_are_cut_off_make_a_line_unreadable(cut: int) -> None:
    record = LedgerRecord(LedgerKind.STEP, 1, "me", awaited=(AwaitedEntry(HASH, 0, False, 5, "lead-1"),))
    value = json.loads(encode_ledger(record))
    value["awaited"] = base64.b64encode(base64.b64decode(value["awaited"])[:-cut]).decode()
    with pytest.raises(LedgerUnreadable):
        decode_ledger(json.dumps(value).encode())


def test_an_id_that_is_no_text_makes_a_line_unreadable() -> None:
    record = LedgerRecord(LedgerKind.STEP, 1, "me", awaited=(AwaitedEntry(HASH, 0, False, 5, "x"),))
    value = json.loads(encode_ledger(record))
    value["awaited"] = base64.b64encode(base64.b64decode(value["awaited"])[:-1] + b"\xff").decode()
    with pytest.raises(LedgerUnreadable):
        decode_ledger(json.dumps(value).encode())


def test_the_core_and_the_wire_agree_on_the_largest_numbers() -> None:
    """They share no code, so each states them."""
    assert (fates.ATTEMPT_MAX, fates._DEADLINE_MAX_S) == (ledger.ATTEMPT_MAX, ledger.DEADLINE_MAX_S)
    assert fates.RUN_MAX == request_codec.RUN_MAX
    assert (releases.METADATA_CHARS_MAX, narrowing.BLAMED_AFTER_MS, narrowing.STRIKES_MAX) == (
        METADATA_CHARS_MAX,
        BLAMED_AFTER_MS,
        STRIKES_MAX,
    )
