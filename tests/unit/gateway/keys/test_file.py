"""The key file: what it says of each key, and one sentence for each mistake, which repeats no value."""

from datetime import UTC, datetime

import pytest

from headrace.broker.gateway.keys.file import FILE_BYTES_MAX, KeyFileError, read_keys
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.keys.key_text import digest_of, hash_of
from tests.unit.gateway.keys.key_files import key, table

WHOLE = f"""
[keys.lead-ingest]
tenant = "sales"
lane = "bulk"
lanes = ["standard", "urgent"]
models = ["gpt-4o-mini*", "text-embedding-3-small"]
inflight_max = 200
requests_per_minute = 600
deadline_s = 90
wait_s = 30.5
on_disconnect = "cancel"
template = "lead"
not_after = 2027-06-30T12:00:00+02:00
hashes = [
  "{hash_of(key(1))}",
  {{ hash = "{hash_of(key(2))}", not_after = 2027-01-31 }},
]
"""


def refused(text: str, lanes: tuple[str, ...] | None = None) -> tuple[str, ...]:
    with pytest.raises(KeyFileError) as error:
        read_keys(text.encode(), name="keys.toml", lanes=lanes)
    assert str(error.value) == " ".join(error.value.sentences)
    return tuple(error.value.sentences)


def test_every_member_of_a_key_is_read() -> None:
    file = read_keys(WHOLE.encode(), name="keys.toml", lanes=("standard", "urgent", "bulk"))
    expected = ClientKey(
        name="lead-ingest",
        tenant="sales",
        lane="bulk",
        lanes=("bulk", "standard", "urgent"),
        models=("gpt-4o-mini*", "text-embedding-3-small"),
        inflight_max=200,
        requests_per_minute=600,
        deadline_s=90,
        wait_s=30.5,
        on_disconnect="cancel",
        template="lead",
    )
    assert file.keys == {"lead-ingest": expected}
    assert file.hashes[digest_of(key(1))].not_after == datetime(2027, 6, 30, 10, tzinfo=UTC)
    assert file.hashes[digest_of(key(2))].not_after == datetime(2027, 1, 31, 23, 59, 59, 999_999, UTC)
    assert file.hashes[digest_of(key(2))].key is file.hashes[digest_of(key(1))].key or (
        file.hashes[digest_of(key(2))].key == expected
    )


def test_a_key_needs_a_tenant_and_a_hash_alone() -> None:
    file = read_keys(table("a", 1).encode(), name="keys.toml")
    assert file.keys["a"] == ClientKey(name="a", tenant="t-a")
    assert file.hashes[digest_of(key(1))].not_after is None


def test_hashes_may_be_tables_that_are_appended_to_the_file() -> None:
    text = (
        f'[keys.a]\ntenant = "t"\n[[keys.a.hashes]]\nhash = "{hash_of(key(1))}"\n[keys.b]\ntenant = "t"\nhashes = []\n'
    )
    assert refused(text) == ("keys.toml: keys.b.hashes must not be empty.",)
    text = f'[keys.a]\ntenant = "t"\n[[keys.a.hashes]]\nhash = "{hash_of(key(1))}"\n' + table("b", 2)
    text += f'[[keys.a.hashes]]\nhash = "{hash_of(key(3))}"\nnot_after = 2027-01-31\n'
    file = read_keys(text.encode(), name="keys.toml")
    assert [file.hashes[digest_of(key(seed))].key.name for seed in (1, 2, 3)] == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("members", "lane"),
    [("", "standard"), ('lanes = ["bulk", "standard"]', "standard"), ('lanes = ["bulk", "urgent"]', "bulk")],
)
def test_the_default_lane_is_standard_where_it_is_allowed(members: str, lane: str) -> None:
    assert read_keys(table("a", 1, members=members).encode(), name="f").keys["a"].lane == lane


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ("inflight_max = 0", "keys.a.inflight_max must be at least 1."),
        ("inflight_max = true", "keys.a.inflight_max must be a whole number."),
        ("inflight_max = 1.5", "keys.a.inflight_max must be a whole number."),
        ('requests_per_minute = "60"', "keys.a.requests_per_minute must be a whole number."),
        ("deadline_s = 0", "keys.a.deadline_s must be more than 0."),
        ("deadline_s = nan", "keys.a.deadline_s must be a finite number."),
        ("wait_s = 3601", "keys.a.wait_s must be at most 3600."),
        ('on_disconnect = "drop"', "keys.a.on_disconnect must be 'keep' or 'cancel'."),
        ('lanes = "bulk"', 'keys.a.lanes must be a list such as ["a", "b"].'),
        ("models = []", "keys.a.models must not be empty."),
        ("models = [1]", "keys.a.models.0 must be text."),
        ('template = ""', "keys.a.template must not be empty."),
        ("not_after = 2027-01-31T00:00:00", "keys.a.not_after needs a time zone, such as 2027-01-31T00:00:00Z."),
        ("not_after = 0001-01-01T00:00:00+14:00", "keys.a.not_after must lie in the years 1 to 9999."),
        (
            'not_after = "2027-01-31"',
            "keys.a.not_after must be a date or a time without quotation marks, such as 2027-01-31T00:00:00Z.",
        ),
        ("model = ['x']", "keys.a.model is not a member of a key: did you mean models?"),
        ("lane_max = 1", "keys.a.lane_max is not a member of a key: did you mean lane?"),
    ],
)
def test_a_wrong_member_has_its_sentence(members: str, sentence: str) -> None:
    assert refused(table("a", 1, members=members)) == (f"keys.toml: {sentence}",)


def test_all_mistakes_of_all_keys_are_found_at_once() -> None:
    text = table("a", 1, members="wait_s = 0\ninflight_max = 0") + '[keys.b]\ntenant = "a/b"\n'
    assert [sentence.split()[1] for sentence in refused(text)] == [
        "keys.a.inflight_max", "keys.a.wait_s", "keys.b.tenant", "keys.b.hashes",
    ]  # fmt: skip
    many = "".join(table(f"k{number}", number, members="wait_s = 0") for number in range(25))
    assert (len(refused(many)), refused(many)[-1]) == (21, "There are more mistakes.")


def test_a_hash_has_one_name() -> None:
    assert refused(table("a", 1, 1)) == ("keys.toml: keys.a has a hash twice: a key has one name.",)
    assert refused(table("a", 1) + table("b", 2, 1)) == (
        "keys.toml: keys.b has a hash as keys.a does: a key has one name.",
    )


def test_lanes_that_do_not_exist_are_named() -> None:
    text = table("a", 1, members='lanes = ["bulk", "urgnt"]') + table("b", 2)
    assert refused(text, lanes=("urgent", "bulk")) == (
        "keys.toml: keys.a names the lane urgnt, and there are urgent and bulk.",
        "keys.toml: keys.b names the lane standard, and there are urgent and bulk.",
    )


SECRET = key(99)
SHAPE = "a key's table is `[keys.NAME]`, and a name stands once."


@pytest.mark.parametrize(
    "text",
    [
        f'[keys.a]\ntenant = "t"\nhashes = ["{SECRET}"]',
        f'[keys.a]\ntenant = "t"\nhashes = "{SECRET}"',
        f'[keys.a]\ntenant = "t"\nhashes = [{{ hash = "{SECRET}" }}]',
        f'[keys.a]\ntenant = "t"\nhashes = [{{ {SECRET} = "x" }}]',
        f'[keys.a]\ntenant = "t"\nhash = "{SECRET}"',
        f'[keys.a]\ntenant = "{SECRET}/"\nhashes = []',
        f'[keys.a]\n{SECRET} = "x"',
        f'[keys.{SECRET}]\ntenant = "t"',
        f'[keys]\n{SECRET} = "lead-ingest"',
        f'keys = "{SECRET}"',
        f'{SECRET} = "x"',
        f"{SECRET}",
        f"[keys.{SECRET}]\n[keys.{SECRET}]",
        f'[keys.a]\nlane = "{SECRET}"\ntenant="t"\nhashes = ["{hash_of(SECRET)}"]',
        f'[keys.a]\non_disconnect = "{SECRET}"',
        f'[keys.a]\nmodels = "{SECRET}"',
        f'[keys.a]\nnot_after = "{SECRET}"',
        f'[keys.a]\n"\\u0000{SECRET}" = 1',
    ],
)  # fmt: skip
def test_a_key_in_clear_text_is_refused_wherever_it_stands_and_never_repeated(text: str) -> None:
    for sentence in refused(text, lanes=("standard",)):
        assert SECRET[3:15] not in sentence
        assert sentence.startswith(("keys.toml: ", "The key file keys.toml "))


def test_a_key_in_the_place_of_its_hash_is_to_be_replaced() -> None:
    (sentence,) = refused(f'[keys.a]\ntenant = "t"\nhashes = ["{SECRET}"]')
    assert sentence == (
        "keys.toml: keys.a.hashes.0.hash must be a hash, `sha256:` and 64 hex digits; a key in clear text must not "
        "stand here: replace it, for it has been seen."
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff", "The key file keys.toml is not UTF-8 text."),
        (b"a =", f"The key file keys.toml is not TOML at end of document: {SHAPE}"),
        (b"[keys.a]\n[keys.a]\n", f"The key file keys.toml is not TOML at line 2, column 8: {SHAPE}"),
        (b"a = " + b"[" * 10_000, "The key file keys.toml is not TOML that can be read."),
        (b"#" * (FILE_BYTES_MAX + 1), "The key file keys.toml is larger than 1,024 KiB."),
        (b"keys" + b".a" * 501 + b" = 1", "The key file keys.toml has a line with more than 500 dots."),
        (b"kafka = 1", "The key file keys.toml has kafka beside keys: each key's table is `[keys.NAME]`."),
        (b"[[keys]]\n", "The key file keys.toml must have a table `[keys.NAME]` for each key."),
        (b"[keys]\na = 1\n", "keys.toml: keys.a must be a table."),
        (b'[keys."a b"]\ntenant = "t"\nhashes = ["sha256:' + b"0" * 64 + b'"]\n',
         "keys.toml: keys.a b: the name of a key is 1 to 40 letters, digits, dots, underscores and hyphens."),
    ],
)  # fmt: skip
def test_a_file_of_another_shape_is_refused(content: bytes, sentence: str) -> None:
    with pytest.raises(KeyFileError) as error:
        read_keys(content, name="keys.toml")
    assert str(error.value) == sentence


def test_a_file_without_keys_is_a_file_of_no_keys() -> None:
    assert not read_keys(b"[keys]\n", name="f").keys
    assert not read_keys(b"", name="f").hashes
