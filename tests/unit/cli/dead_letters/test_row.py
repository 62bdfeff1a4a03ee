"""A line of a listing: enough to act upon, and nothing of a prompt, an answer or metadata."""

import json
from dataclasses import replace

import pytest

from headrace.broker.cli.dead_letters.reasons import EXPLANATIONS
from headrace.broker.cli.dead_letters.row import lines, row_of
from headrace.schemas.outcome import FailureReason
from tests.unit.cli.dead_letters.specimens import NOTE, PROMPT, found, request


def line(value: bytes | None, **fields: object) -> str:
    each = found(value, **fields)  # type: ignore[arg-type]  # whatever a test changes
    [text] = lines([row_of(each, each.original())], title=False)
    return text


def test_a_line_says_when_which_why_and_where_from() -> None:
    assert line(request()) == (
        "2026-12-01T09:00:00.000Z  lead-1  rejected  generation.requests.bulk/3/12  2  OpenAI refused it, or this "
        "dispatcher does not allow its model, a tool or its reply_to."
    )


def test_a_line_says_what_was_wrong_with_that_very_record() -> None:
    said = "The topic 'mails' is not on this dispatcher's list replies.allow."
    text = line(request(), message=said)
    assert text.endswith(f"  rejected  generation.requests.bulk/3/12  2  {said}")
    assert "OpenAI" not in text


def test_openai_is_not_blamed_for_a_request_that_was_never_sent_to_it() -> None:
    assert line(request(), attempts=0).endswith(
        "  0  This dispatcher does not allow its model, a tool or its reply_to."
    )


def test_columns_stand_below_each_other_with_titles_above() -> None:
    each = found(request())
    other = found(request(id="a-much-longer-id"), attempts=10)
    head, first, second = lines([row_of(each, each.original()), row_of(other, other.original())])
    assert head.index("REASON") == first.index("rejected") == second.index("rejected")
    assert head.startswith("FAILED AT ")


@pytest.mark.parametrize(
    "value", [request(), request(body=PROMPT, metadata=NOTE), f"no JSON {PROMPT} {NOTE}".encode(), None]
)
def test_neither_prompt_nor_metadata_is_in_a_listing(value: bytes | None) -> None:
    each = found(value, headers=[("x-note", NOTE.encode())])
    row = row_of(each, each.original())
    told = "\n".join(lines([row])) + json.dumps(row.as_object())
    assert PROMPT not in told
    assert NOTE not in told


def test_a_replay_that_failed_again_shows_its_run() -> None:
    assert "  lead-1#2  " in line(request(), run=2)


def test_what_was_cut_and_what_has_no_value_is_said() -> None:
    assert line(b"x" * 65_536, original_length=5_000_140, sha256="00").endswith(". 64 KiB of 4.8 MiB are kept.")
    assert line(None).endswith(". It has no value.")
    assert line(b"", reason="lost_by_retention").endswith("below this offset before they were taken.")


def test_nothing_a_stranger_wrote_moves_the_cursor() -> None:
    text = line(request(id="ok"), reason="\x1b[2J" + "x" * 300)
    assert text.isprintable()
    assert r"\x1b[2Jxxx" in text
    assert len(text) < 400


def test_a_machine_gets_the_same_with_its_place_and_size() -> None:
    each = found(request())
    told = row_of(each, each.original()).as_object()
    assert (told["place"], told["tenant"], told["model"]) == ("generation.dead-letters/0/7", "acme", "gpt-4o-mini")
    assert (told["bytes"], told["cut"]) == (len(request()), False)
    cut = replace(each, letter=replace(each.letter, original_length=9_000_000))
    told = row_of(cut, cut.original()).as_object()
    assert (told["bytes"], told["cut"]) == (9_000_000, True)


def test_every_reason_there_is_is_explained() -> None:
    ours = {"id_conflict", "undecodable", "lost_by_retention"}
    assert set(EXPLANATIONS) == ({reason.value for reason in FailureReason} - {"cancelled"}) | ours
    assert "does not know" in line(request(), reason="brand_new")
