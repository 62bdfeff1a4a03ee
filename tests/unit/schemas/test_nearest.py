"""The name that was most likely meant."""

import pytest

from headrace.schemas.nearest import listed, nearest, shown, there_is_no

LANES = ("urgent", "standard", "bulk")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("urgnt", "urgent"), ("urgnet", "urgent"), ("Urgent", "urgent"), ("BULK", "bulk"), ("high", None), ("", None),
     ("x" * 100_000, None)],
)  # fmt: skip
def test_the_likest_is_meant_whatever_the_case_of_its_letters(wrong: str, meant: str | None) -> None:
    assert nearest(wrong, LANES) == meant


@pytest.mark.parametrize(
    ("wrong", "known", "sentence"),
    [
        ("urgnt", LANES, "There is no lane urgnt, only urgent, standard and bulk: did you mean urgent?"),
        ("high", LANES, "There is no lane high, only urgent, standard and bulk."),
        ("", ("bulk",), "There is no lane '', only bulk."),
        ("x", (), "There is no lane x."),
    ],
)
def test_it_is_one_sentence_with_all_there_are(wrong: str, known: tuple[str, ...], sentence: str) -> None:
    assert there_is_no("lane", wrong, known) == sentence


def test_what_is_long_is_cut() -> None:
    assert shown("x" * 65) == "x" * 64 + "…"
    assert listed(map(str, range(22))).endswith("18, 19 and 2 more")
