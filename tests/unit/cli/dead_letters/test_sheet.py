"""One dead letter whole; its value only for whoever asked for it, and never raw on a terminal."""

import base64
import hashlib
import json

from headrace.broker.cli.dead_letters.reasons import explained
from headrace.broker.cli.dead_letters.sheet import as_object, sheet
from headrace.schemas.dead_letter import Origin
from tests.unit.cli.dead_letters.specimens import NOTE, PROMPT, found, request

HOSTILE = b"\xff\xfe\x1b[2J\n\tconfidential-prompt"


def text(each: object, *, body: bool = False, older: tuple[Origin, ...] = ()) -> str:
    return "\n".join(sheet(each, each.original(), older, body=body))  # type: ignore[attr-defined, arg-type]


def test_it_says_what_happened_where_and_what_to_do() -> None:
    told = text(found(request(), headers=[("ce_id", b"lead-1"), ("traceparent", b"00-1")]))
    for line in (
        "dead letter   generation.dead-letters/0/7",
        "id            lead-1",
        f"reason        rejected: {explained('rejected', attempts=2).why}",
        f"to do         {explained('rejected', attempts=2).advice}",
        "origin        generation.requests.bulk/3/12",
        "headers       ce_id: lead-1",
        "              traceparent: 00-1",
    ):
        assert line in told.splitlines()


def test_it_says_what_was_wrong_with_that_very_record() -> None:
    said = "The topic 'mails' is not on this dispatcher's list replies.allow."
    each = found(request(), message=said)
    told = text(each)
    assert {"reason        rejected", f"why           {said}"} <= set(told.splitlines())
    assert as_object(each, each.original(), (), body=False)["sentence"] == said


def test_advice_about_an_answer_of_openai_is_given_only_where_openai_was_called() -> None:
    called, refused_here = found(request(), attempts=1), found(request(), attempts=0)
    assert "OpenAI's own error" in text(called)
    assert "OpenAI" not in text(refused_here)
    told = as_object(refused_here, refused_here.original(), (), body=False)
    assert "models.allow" in told["advice"]
    assert "OpenAI" not in told["sentence"] + told["advice"]


def test_the_value_is_given_away_to_nobody_who_did_not_ask() -> None:
    each = found(request())
    told = text(each) + json.dumps(as_object(each, each.original(), (), body=False))
    assert PROMPT not in told
    assert NOTE not in told
    assert hashlib.sha256(request()).hexdigest() in told
    assert PROMPT in text(each, body=True)
    assert as_object(each, each.original(), (), body=True)["value"] == request().decode()


def test_hostile_bytes_are_shown_as_escapes_everywhere() -> None:
    each = found(HOSTILE, key=b"\x1b]0;title\x07", headers=[("\x1b[31m", b"\x1b[0m\xff")], reason="undecodable")
    told = text(each, body=True)
    assert not {letter for letter in told if not letter.isprintable()} - {"\n", "\t"}
    assert told.endswith("\\xff\\xfe\\x1b[2J\n\tconfidential-prompt")


def test_a_machine_gets_bytes_that_are_no_text_as_base64() -> None:
    each = found(HOSTILE, key=b"\xff", headers=[("x", b"\xfe")])
    told = as_object(each, each.original(), (), body=True)
    assert base64.b64decode(told["value_base64"]) == HOSTILE
    assert base64.b64decode(told["key_base64"]) == b"\xff"
    assert told["headers"] == [{"name": "x", "value_base64": base64.b64encode(b"\xfe").decode()}]
    json.dumps(told)


def test_null_is_not_the_same_as_nothing_in_it() -> None:
    told = text(found(None, key=None), body=True)
    assert "key           null" in told
    assert "value         null" in told
    assert "value         0 bytes; sha256 e3b0c442" in text(found(b"", key=b""))
    each = found(None, key=None)
    assert as_object(each, each.original(), (), body=True)["value"] is None


def test_what_was_cut_names_the_length_and_digest_of_the_whole() -> None:
    each = found(b"x" * 65_536, original_length=5_000_140, sha256="74bc")
    assert "the first 65,536 of 5,000,140 bytes; sha256 of the whole 74bc (--body shows it)" in text(each)
    told = as_object(each, each.original(), (), body=False)
    assert (told["bytes"], told["bytes_kept"], told["sha256"], told["cut"]) == (5_000_140, 65_536, "74bc", True)


def test_older_ones_of_the_same_are_named_in_bounds() -> None:
    older = tuple(Origin("t", 0, number) for number in range(12))
    assert "12 dead letters of the same: t/0/2, t/0/3" in text(found(request()), older=older)
    assert "t/0/11 and 2 more" in text(found(request()), older=older)
