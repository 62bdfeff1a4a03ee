"""The text of a key: made, recognised, hashed."""

import hashlib
import random
import secrets

import pytest

from headrace.broker.gateway.keys.key_text import (
    PATTERN,
    digest_in,
    digest_of,
    hash_of,
    is_whole,
    may_be_secret,
    new_key,
)


def test_a_new_key_has_256_random_bits_and_its_checksum() -> None:
    key = new_key(secrets.choice)
    assert PATTERN.fullmatch(key)
    assert is_whole(key)
    assert len(key) == 3 + 43 + 6
    assert 62**43 >= 2**256
    assert new_key(secrets.choice) != key


@pytest.mark.parametrize("seed", range(50))
def test_no_cut_or_mistyped_key_counts_as_whole(seed: int) -> None:
    dice = random.Random(seed)
    key = new_key(dice.choice)
    at = dice.randrange(3, len(key))
    other = dice.choice([letter for letter in "0Az9" if letter != key[at]])
    assert not is_whole(key[:at] + other + key[at + 1 :])
    assert not is_whole(key[:at])
    assert not is_whole(f"{key}0")


def test_a_hash_in_the_file_states_the_digest_of_its_key() -> None:
    key = new_key(random.Random(1).choice)
    assert hash_of(key) == "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    assert digest_in(hash_of(key)) == digest_of(key)
    assert digest_in(
        hash_of(key).replace("sha256:", "sha256:".lower()).upper().replace("SHA256", "sha256")
    ) == digest_of(key)


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:" + "0" * 63, "sha256:" + "0" * 65, "0" * 64, "md5:" + "0" * 64]
)
def test_nothing_else_is_a_hash(text: str) -> None:
    assert digest_in(text) is None
    assert digest_in(f"{'sha256:' + '0' * 64}\n") is None


@pytest.mark.parametrize(
    ("text", "may_be"),
    [
        (new_key(random.Random(2).choice), True),
        (f"x {new_key(random.Random(3).choice)}", True),
        ("sk-proj-0123456789abcdefghij", True),
        ("c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00", True),
        ("lead-ingest", False),
        ("hr-department", False),
        ("", False),
    ],
)
def test_a_text_that_could_be_a_key_is_told_from_a_name(text: str, *, may_be: bool) -> None:
    assert may_be_secret(text) is may_be
