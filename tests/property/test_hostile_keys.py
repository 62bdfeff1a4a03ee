"""Hostile key files and headers: each ends in a sentence or a key, never in a traceback; no sentence has a secret."""

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.broker.gateway.keys.file import FILE_BYTES_MAX, KeyFile, KeyFileError, read_keys
from headrace.broker.gateway.keys.key_text import hash_of
from headrace.broker.gateway.keys.refusals import KeyRefusedError
from headrace.broker.gateway.keys.ring import KeyRing
from headrace.broker.gateway.keys.table import KeyTable, mistakes_of
from tests.unit.gateway.keys.key_files import key, table

SECRET = key(404)
WHOLE = (table("a", 1, members="wait_s = 5\ninflight_max = 7") + table("b", 2, 3, members='models = ["gpt*"]')).encode()
BITS = (
    b"[", b"]", b"[[", b"=", b'"', b"'''", b"\n", b"{", b"}", b".", b"\x00", b"\xff", b"\\u0000", b"#", b"keys", b"nan",
    b"1979-05-27", b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59-14:00", b"99999999999999999999999", b"-0x1",
    b"hashes", b"tenant", SECRET.encode(), hash_of(SECRET).encode(),
)  # fmt: skip


def mutant(dice: Random) -> bytes:
    """A sound file with a few places cut, doubled or replaced."""
    text = WHOLE
    for _ in range(dice.randint(1, 6)):
        at, length = dice.randrange(len(text) + 1), dice.choice((0, 1, 5, 40))
        text = text[:at] + dice.choice((b"", dice.choice(BITS), text[at : at + length] * 2)) + text[at + length :]
    return text


def deep(opened: bytes, closed: bytes) -> bytes:
    return b"[keys.a]\nhashes = " + opened * 100_000 + closed * 100_000


HUGE: dict[str, Callable[[], bytes]] = {
    "deep lists": lambda: deep(b"[", b"]"),
    "deep tables": lambda: deep(b"{a=", b"}"),
    "a path of a hundred thousand names": lambda: b"keys" + b".a" * 100_000 + b" = 1",
    "a header as long": lambda: b"[keys" + b".a" * 100_000 + b"]",
    "a number as long": lambda: b"[keys.a]\nwait_s = " + b"9" * 100_000,
    "a name as long": lambda: b"[keys." + b"a" * 100_000 + b"]",
    "many wrong members": lambda: b"[keys.a]\n" + b"".join(b"m%d = 1\n" % number for number in range(5_000)),
    "many lines of many names": lambda: (b"keys" + b".a" * 490 + b" = 1\n") * 500,
    "many wrong keys": lambda: b"".join(b"[keys.k%d]\n" % number for number in range(5_000)),
    "too large": lambda: b"#" * (FILE_BYTES_MAX + 1),
}


def read(content: bytes) -> KeyFile | KeyFileError:
    try:
        return read_keys(content, name="keys.toml", lanes=("standard",))
    except KeyFileError as error:
        return error


def check(found: KeyFile | KeyFileError) -> None:
    """Look for what no sentence may have."""
    if isinstance(found, KeyFileError):
        assert 1 <= len(found.sentences) <= 21
        for sentence in found.sentences:
            assert sentence.endswith((".", "?"))
            assert len(sentence) < 1_000
            assert sentence.isprintable()
            assert SECRET[3:15] not in sentence
            assert not sentence.count("Error")
    else:
        assert {known.key.name for known in found.hashes.values()} == set(found.keys)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_is_read_or_refused_in_sentences(seed: int) -> None:
    dice = Random(seed)
    found = [read(mutant(dice)) for _ in range(100)]
    for one in found:
        check(one)
    assert any(isinstance(one, KeyFileError) for one in found)


@pytest.mark.slow
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_sentences(content: bytes) -> None:
    check(read(content))
    check(read(b"[keys.a]\n" + content))


@pytest.mark.slow
@pytest.mark.parametrize("shape", HUGE)
def test_a_huge_or_deep_file_is_refused_in_sentences(shape: str) -> None:
    found = read(HUGE[shape]())
    assert isinstance(found, KeyFileError)
    check(found)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just(SECRET)
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just(SECRET), inner, max_size=3)
    ),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ("tenant", "hashes", "lane", "lanes", "models", "inflight_max", "requests_per_minute", "deadline_s", "wait_s",
     "on_disconnect", "template", "not_after", "hash", SECRET)
)  # fmt: skip


@pytest.mark.slow
@given(st.dictionaries(MEMBERS, VALUES, max_size=6))
def test_members_of_any_value_are_read_or_refused_in_sentences(members: dict[str, object]) -> None:
    try:
        KeyTable.model_validate(members)
    except ValidationError as error:
        for sentence in mistakes_of("keys.a", error):
            assert sentence.isprintable()
            assert SECRET[3:15] not in sentence


RING_FILE = table("a", 1)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    path: Path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text(RING_FILE)
    path.chmod(0o600)
    made = KeyRing(path, utc_now=lambda: datetime.now(UTC))
    made.open()
    return made


HEADERS = st.one_of(
    st.none(),
    st.text(),
    st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.sampled_from(("Bearer", "bearer ", "Basic ", "Bearer\t")).flatmap(
        lambda scheme: st.binary().map(lambda raw: scheme + " " + raw.decode("latin-1"))
    ),
    st.integers(0, 51).map(lambda cut: f"Bearer {key(1)[:cut]}"),
)


@pytest.mark.slow
@given(authorization=HEADERS, api_key=HEADERS)
def test_a_header_of_any_bytes_is_refused_without_being_repeated(
    ring: KeyRing, authorization: str | None, api_key: str | None
) -> None:
    with pytest.raises(KeyRefusedError) as refused:
        ring.find(authorization, api_key)
    assert str(refused.value).isascii()
    assert key(1)[3:20] not in str(refused.value)


def test_the_sound_file_is_sound() -> None:
    assert isinstance(read(WHOLE), KeyFile)
    assert tomllib.loads(WHOLE.decode())
