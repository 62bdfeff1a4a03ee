"""What the core is told beside who, until when and how much; and what of a record that is no request."""

import hashlib
from typing import Any

import pytest

from headrace.broker.core.endpoints import Law
from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.pricing.laws import framing_tokens
from headrace.broker.core.ticket import Garbage
from headrace.broker.testing.counter import RoughCounter
from headrace.schemas.headers import CE_PARTITIONKEY
from headrace.schemas.ids import fingerprint, id_hash, tenant_mark
from headrace.schemas.record import Record
from headrace.schemas.request_codec import HEADERS_BYTES_MAX, DecodedRequest, Undecodable
from tests.unit.service.intake.test_pricer import candidate, pricer, read, record

STATED = (("headrace-attempt", b"2"), ("headrace-identity", b"00112233aabbccdd 4 lead-1"))


class SevenEach(RoughCounter):
    """Counts seven tokens for every text."""

    def count(self, model: str, text: str) -> int | None:
        return None if super().count(model, text) is None else 7


def garbage(taken: Record) -> tuple[DecodedRequest | Undecodable, Garbage]:
    told, known = read(taken)
    assert isinstance(known, Garbage)
    return told, known


def body_of(content: str) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]}


def test_a_request_tells_its_id_its_tenant_and_the_hash_of_its_ordering_key() -> None:
    known = candidate(record(((CE_PARTITIONKEY, "größe".encode()),), tenant="acme"))
    order = hashlib.blake2b("größe".encode(), digest_size=16).digest()
    assert (known.name, known.tenant, known.order) == ("lead-1", "acme", order)
    assert known.tenant_mark == tenant_mark("acme")
    plain = candidate(record())
    assert (plain.tenant, plain.order) == ("", b"")


def test_a_law_is_that_of_the_limit_and_not_of_the_model_that_draws_on_it() -> None:
    priced = pricer(limits={"gpt-4o-mini": {"charge_law": Law.CHAT_LEGACY.value}})
    body = body_of("x") | {"model": "gpt-4o-mini-2024-07-18"}
    assert candidate(record(body=body), priced=priced).prices.laws == (Law.CHAT_LEGACY,)


def test_images_may_make_a_context_long() -> None:
    """Their tokens count in the server's figure of the input."""
    pictures = [{"type": "image_url", "image_url": {"url": "https://x.example/1.png"}}] * 2
    body = {"model": "own", "messages": [{"role": "user", "content": pictures}]}
    known = candidate(record(body=body), priced=pricer(limits={"own": {"long_context_tokens": 1_000}}))
    assert known.limit == "own:long-context"


@pytest.mark.parametrize(
    ("content", "tokens"),
    [("x" * 40, 7), ("x" * 65_536, 7), ("x" * 65_537, 65_537 // 4 + 1), ("ü" * 65_537, 2 * 65_537 // 4 + 1)],
    ids=["counted", "the longest that is counted", "by bytes", "of which each is two"],
)
def test_each_text_is_counted_or_weighed_once(content: str, tokens: int) -> None:
    told, _ = read(record(body=body_of(content)))
    assert isinstance(told, DecodedRequest)
    framing = framing_tokens("chat.completions", told.request.body)
    of_the_role = 7
    assert pricer(SevenEach()).input_tokens(told.request, "gpt-4o-mini") == framing + of_the_role + tokens


def test_what_the_tokenizer_cannot_tell_is_weighed() -> None:
    told, _ = read(record(body=body_of("x" * 40)))
    assert isinstance(told, DecodedRequest)
    framing = framing_tokens("chat.completions", told.request.body)
    unknown = pricer(SevenEach(unknown=frozenset({"strange"})))
    assert unknown.input_tokens(told.request, "strange") == framing + (4 // 4 + 1) + (40 // 4 + 1)


def test_a_tool_is_allowed_by_a_pattern() -> None:
    body = {"model": "gpt-4o-mini", "input": "x", "tools": [{"type": "web_search_preview"}]}
    for allowed, is_refused in (([], True), (["web_*"], False), (["web_search"], True)):
        known = candidate(record(endpoint="responses", body=body), priced=pricer(tools={"allow": allowed}))
        assert (known.refusal is not None) is is_refused


# ---------------------------------------------------------------------------------------------------- no request


def test_a_copy_that_became_garbage_is_known_by_what_the_retrier_wrote_beside_it() -> None:
    told, known = garbage(Record(None, b"{", STATED))
    assert isinstance(told, Undecodable)
    assert (told.request_id, told.run) == ("lead-1", 4)
    identity = Identity(id_hash("lead-1"), 4, bytes.fromhex("00112233aabbccdd"))
    assert (known.identity, known.reason, known.attempt) == (identity, "invalid_request", 2)


def test_what_nothing_identifies_says_why_it_was_not_read() -> None:
    assert garbage(Record(None, b"{"))[1].reason == "undecodable"
    assert pricer().unread(Record(None, b"{"))[1].reason == "crashed"


def test_a_defect_tells_all_that_can_be_decoded() -> None:
    taken = record((("headrace-attempt", b"3"),), tenant="acme", reply_to="acme.answers", endpoint="responses")
    told, known = pricer().defect(taken)
    assert (told.request_id, told.tenant, told.endpoint, told.reply_to) == (
        "lead-1",
        "acme",
        "responses",
        "acme.answers",
    )
    mark = fingerprint("acme", "responses", body_of("12345678"))
    assert (known.identity, known.reason, known.attempt) == (Identity(id_hash("lead-1"), 0, mark), "crashed", 3)


def test_a_key_that_cannot_be_carried_on_makes_it_no_request_for_a_defect_either() -> None:
    taken = Record(b"k" * (HEADERS_BYTES_MAX + 1), record().value)
    assert isinstance(read(taken)[0], Undecodable)
    told, known = pricer().defect(taken)
    assert (told.request_id, known.identity) == (None, None)
