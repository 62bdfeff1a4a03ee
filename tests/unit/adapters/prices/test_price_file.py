"""The operator's price file: what it says of a model, and each mistake as a sentence."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from headrace.broker.adapters.prices.price_file import (
    FILE_BYTES_MAX,
    MODELS_MAX,
    PriceFile,
    PriceFileError,
    read_price_file,
)

DAY = date(2026, 12, 1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "prices.toml"


def read(file: Path, text: str) -> PriceFile:
    file.write_text(text, encoding="utf-8")
    return read_price_file(file)


def mistakes(file: Path, text: str | bytes) -> list[str]:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(PriceFileError) as raised:
        read_price_file(file)
    return [sentence.replace(str(file), "FILE") for sentence in raised.value.sentences]


def test_a_price_is_the_decimal_number_that_is_written(file: Path) -> None:
    found = read(file, '[models."gpt-x"]\ninput = 0.1\noutput = 3\n').prices("gpt-x", DAY)
    assert found is not None
    assert (found.input, found.output, found.cached_input) == (Decimal("0.1"), Decimal(3), None)


def test_a_model_is_found_by_its_name_then_without_its_date_then_by_the_longest_pattern(file: Path) -> None:
    text = "".join(
        f'[models."{name}"]\ninput = {price}\n'
        for name, price in (("gpt-x-2026-01-02", 1), ("GPT-X", 2), ("gpt-x*", 3), ("gpt-*", 4), ("*", 5))
    )
    found = read(file, text)
    named = ("gpt-x-2026-01-02", "gpt-x-2026-09-09", "Gpt-x", "gpt-x-mini", "gpt-y", "o3")
    prices = [found.prices(name, DAY) for name in named]
    assert [price and price.input for price in prices] == [1, 2, 2, 3, 4, 5]


def test_a_file_says_nothing_of_models_that_it_does_not_name(file: Path) -> None:
    assert read(file, '[models."gpt-x"]\ninput = 1\n').prices("gpt-x-mini", DAY) is None
    assert read(file, "").prices("gpt-x", DAY) is None


def test_a_price_holds_from_its_day_until_the_next_one_begins(file: Path) -> None:
    text = "".join(
        f'[[models."gpt-x"]]\ninput = {price}\n{line}\n'
        for price, line in ((2, "from = 2026-12-01"), (1, "from = 2026-06-01"))
    )
    found = read(file, text)
    days = (date(2026, 5, 31), date(2026, 6, 1), date(2026, 11, 30), date(2026, 12, 1), date(2030, 1, 1))
    prices = [found.prices("gpt-x", day) for day in days]
    assert [price and price.input for price in prices] == [None, 1, 1, 2, 2]


def test_before_its_first_day_a_name_leaves_the_model_to_a_pattern(file: Path) -> None:
    found = read(file, '[models."gpt-x"]\ninput = 1\nfrom = 2026-12-02\n[models."gpt-*"]\ninput = 9\n')
    price = found.prices("gpt-x", DAY)
    assert price is not None
    assert price.input == 9


def test_a_file_has_the_version_that_it_states_or_eight_digits_of_its_digest(file: Path) -> None:
    assert read(file, 'version = "contract 7"\n').version == "contract 7"
    first, again, other = read(file, ""), read(file, ""), read(file, "factor = 1\n")
    assert first.version == again.version == "e3b0c442"
    assert other.version != first.version
    assert other.factor == 1


def test_tiers_and_long_inputs_have_tables_of_their_own(file: Path) -> None:
    text = """
        [models."gpt-x"]
        input = 2
        output = 8
        per_call = 0.000001
        [models."gpt-x".tiers.flex]
        input = 1
        output = 4
        [models."gpt-x".long_input]
        above = 128_000
        input = 4
        output = 16
    """
    found = read(file, text).prices("gpt-x", DAY)
    assert found is not None
    call = found.call_rates()
    assert [threshold for threshold, _ in call.above] == [128_000]
    assert call.per_call == 10**18
    assert found.tiers["flex"].call_rates().above == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[models."gpt-x"]\ninputs = 1', "models.gpt-x.inputs is no key of a price file: did you mean input?"),
        ('[models."gpt-x.1"]\nzzz = 1', 'models."gpt-x.1".zzz is no key of a price file; there are input, output, '),
        ('verzion = "1"', "verzion is no key of a price file: did you mean version?"),
        ("[models.x]\ninput = '1'", "models.x.input must be a number."),
        ("[models.x]\ninput = true", "models.x.input must be a number."),
        ("[models.x]\ninput = -0.1", "models.x.input must be a number from 0 to 100,000."),
        ("[models.x]\ninput = nan", "models.x.input must be a number from 0 to 100,000."),
        ("[models.x]\ninput = inf", "models.x.input must be a number from 0 to 100,000."),
        ("[models.x]\ninput = 0.0000000000001", "models.x.input must have at most 12 decimals."),
        ("[models.x]\nfactor = 100.5", "models.x.factor must be a number from 0 to 100."),
        ("factor = 0.0000001", "factor must have at most 6 decimals."),
        ("[models.x]", "models.x states no price: give it input, or a factor for the prices of the list."),
        ("[models.x]\noutput = 1", "models.x states output without input: give that price too."),
        (
            "[models.x]\ninput = 1\nfactor = 0.5",
            "models.x has prices of its own and factor, which is for those of the ",
        ),
        (
            "[models.x]\ninput = 1\nlike = 'y'",
            "models.x has prices of its own and like, which is for those of the list",
        ),
        ("[models.x]\ninput = 1\nfrom = '2026-12-01'", "models.x.from must be a date such as 2026-12-01, without quot"),
        ("[models.x]\ninput = 1\nfrom = 2026-12-01T00:00:00Z", "models.x.from must be a date such as 2026-12-01, with"),
        ("[models.x]\ninput = 1\n[models.x.tiers.flex]", "models.x has no input price for the tier flex."),
        ("[models.x]\ninput = 1\n[models.x.tiers.default]\ninput = 1", "models.x has a table for the tier default: "),
        ("[models.x]\ninput = 1\n[models.x.tiers.flex]\noutput = 1", "models.x.tiers.flex states output without input"),
        ("[models.x]\ninput = 1\n[models.x.tiers.flex]\nfrom = 2026-12-01", "models.x.tiers.flex.from is no key of a "),
        ("[models.x]\ninput = 1\n[models.x.long_input]\ninput = 2", "models.x.long_input.above is missing."),
        ("[models.x]\ninput = 1\n[models.x.long_input]\nabove = 1", "models.x.long_input.input is missing."),
        ("[models.x]\ninput = 1\n[models.x.long_input]\nabove = 0\ninput = 1", "models.x.long_input.above must be at "),
        ("[[models.x]]\ninput = 1\n[[models.x]]\ninput = 2", "models.x has two tables without from: which one holds?"),
        ("[models.x]\ninput = 1\n[models.X]\ninput = 2", "models.X stands twice, since names of models have no case."),
        ("models = 3", "models must have a table [models.NAME] for each model."),
        ("[models]\nx = 3", "models.x must be a table."),
        ("version = 1", "version must be text."),
        ("version = ''", "version must be text, and not empty."),
        (f"version = '{'x' * 41}'", "version must be text of at most 40 characters."),
        (f"[models.{'x' * 257}]\ninput = 1", "the name of a model has 1 to 256 characters, not 257."),
    ],
)
def test_a_mistake_names_the_file_the_model_and_the_key(file: Path, text: str, sentence: str) -> None:
    [said] = mistakes(file, text)
    assert said.startswith(f"FILE: {sentence}")
    assert said.endswith((".", "?"))
    assert ".." not in said


def test_every_mistake_is_found_at_once_and_many_are_cut_off(file: Path) -> None:
    assert len(mistakes(file, "verzion = 1\n[models.x]\ninput = -1\n[models.y]\noutput = 1\n")) == 3
    many = "".join(f"[models.x{number}]\noutput = 1\n" for number in range(30))
    assert mistakes(file, many)[-1] == "There are more mistakes."
    assert len(mistakes(file, many)) == 21


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff", "FILE is not UTF-8 text."),
        (b"[models", "FILE is not TOML: "),
        (b"x = " + b"[" * 5_000, "FILE is not TOML that can be read."),
        (b"a." * 500_000 + b"b = 1", "FILE has a line with more than 500 dots."),
        (b"#" * (FILE_BYTES_MAX + 1), "FILE is larger than 1,024 KiB."),
        (b"[models.x]\ninput = 1e99999999999999999999\n", "FILE is not TOML that can be read."),
    ],
)
def test_what_is_no_toml_is_one_mistake(file: Path, content: bytes, sentence: str) -> None:
    [said] = mistakes(file, content)
    assert said.startswith(sentence)


def test_a_file_has_prices_of_a_bounded_number_of_models(file: Path) -> None:
    tables = [f"[models.x{number}]\ninput = 1\n" for number in range(MODELS_MAX + 1)]
    assert len(read(file, "".join(tables[1:])).models) == MODELS_MAX
    assert mistakes(file, "".join(tables)) == ["FILE has tables for 2,001 models, more than 2,000."]


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match=r"prices.toml cannot be read: No such file or directory\."):
        read_price_file(tmp_path / "prices.toml")
    with pytest.raises(PriceFileError, match="cannot be read: Is a directory"):
        read_price_file(tmp_path)
