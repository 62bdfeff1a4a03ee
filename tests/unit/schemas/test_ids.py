import hashlib
import uuid

import pytest

from headrace.schemas.ids import fingerprint, id_hash, is_valid_id, template_mark, uuid7


@pytest.mark.parametrize("candidate", ["a", "lead-8841-email", "~" * 128, "two words"])
def test_printable_ascii_up_to_128_characters_is_an_id(candidate: str) -> None:
    assert is_valid_id(candidate)


@pytest.mark.parametrize("candidate", ["", "a" * 129, "é", "tab\t", "newline\n", "\x7f", "\ud800"])
def test_anything_else_is_none(candidate: str) -> None:
    assert not is_valid_id(candidate)


def test_an_id_is_hashed_as_the_protocol_says() -> None:
    assert id_hash("lead-1") == hashlib.blake2b(b"lead-1", digest_size=16).digest()


def test_a_fingerprint_is_that_of_compact_sorted_json() -> None:
    expected = hashlib.blake2b(b'["acme","embeddings",{"a":[1,"\\u00fc"],"b":null}]', digest_size=8).digest()
    assert fingerprint("acme", "embeddings", {"b": None, "a": [1, "ü"]}) == expected


def test_a_template_is_marked_with_its_model_and_none_is_empty() -> None:
    expected = hashlib.blake2b(b'["gpt-4o", "e-mail \\ud800"]', digest_size=8).digest()
    assert template_mark("gpt-4o", "e-mail \ud800") == expected
    assert template_mark("gpt-4.1", "e-mail \ud800") != expected
    assert [template_mark("gpt-4o", name) for name in (None, "")] == [b"", b""]


def test_a_fingerprint_tells_tenants_endpoints_and_bodies_apart() -> None:
    requests = [("acme", "responses", {"a": 1}), (None, "responses", {"a": 1}), ("acme", "embeddings", {"a": 1})]
    marks = {fingerprint(tenant, endpoint, body) for tenant, endpoint, body in requests}
    assert len(marks | {fingerprint("acme", "responses", {"a": "1"})}) == 4


def test_a_uuid7_carries_its_milliseconds_version_and_variant() -> None:
    made = uuid.UUID(uuid7(1_700_000_000_123, bytes(range(10))))
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, 1_700_000_000_123)


def test_every_random_bit_of_a_uuid7_counts() -> None:
    zeros = uuid7(0, bytes(10))
    ones = uuid7(0, b"\xff" * 10)
    assert (uuid.UUID(zeros).int ^ uuid.UUID(ones).int).bit_count() == 74
    with pytest.raises(ValueError, match="10 random bytes"):
        uuid7(0, bytes(9))
