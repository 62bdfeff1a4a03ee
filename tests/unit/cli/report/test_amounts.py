import pytest

from headrace.broker.cli.report.amounts import spoken_change, spoken_share, spoken_tokens, spoken_usd


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (None, "-"),
        (0, "0"),
        (438.4, "438"),
        (99_999, "99,999"),
        (100_000, "100 k"),
        (999_499, "999 k"),
        (999_600, "1.00 M"),
        (1_234_567, "1.23 M"),
        (12_345_678, "12.3 M"),
        (123_456_789, "123 M"),
        (9_996_000_000, "10.0 G"),
        (5_000_000_000_000, "5.00 T"),
    ],
)
def test_tokens_have_three_digits_and_a_unit(count: float | None, said: str) -> None:
    assert spoken_tokens(count) == said


@pytest.mark.parametrize(
    ("usd", "said"),
    [
        (None, "-"),
        (0, "$0"),
        (1_234.5, "$1,234"),
        (12.345, "$12.35"),
        (1, "$1.00"),
        (0.5, "$0.500"),
        (0.012_34, "$0.0123"),
        (0.000_064_1, "$0.0000641"),
        (0.000_000_123, "$0.000000123"),
        (0.000_000_012, "<$0.0000001"),
    ],
)
def test_money_is_never_rounded_to_nothing(usd: float | None, said: str) -> None:
    assert spoken_usd(None if usd is None else usd * 1e12) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "-"),
        (0, "0 %"),
        (0.000_1, "<0.1 %"),
        (0.123_4, "12.3 %"),
        (0.999_4, "99.9 %"),
        (0.999_9, "100 %"),
        (1, "100 %"),
    ],
)
def test_a_share_is_a_percentage(share: float | None, said: str) -> None:
    assert spoken_share(share) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [(None, "-"), (0.000_1, "±0 %"), (0.012, "+1.2 %"), (-0.25, "-25 %"), (3.5, "+350 %"), (9, "x10")],
)
def test_a_change_has_a_sign(change: float | None, said: str) -> None:
    assert spoken_change(change) == said
