import time

import pytest

from headrace.broker.spending.advice.segments import ConstantText, repeats_in

LONG = "The headrace brings the water to the mill wheel at the rate that the wheel can take and no faster"
OTHER = "A lead that is urgent is called before one that can wait until the bulk lane has its share tomorrow"


def test_a_paragraph_that_stands_twice_is_found_once() -> None:
    found = repeats_in(f"{LONG}.\n{OTHER}.\nhello\n{LONG}.\n")
    assert [part.strip() for part in found.texts] == [f"{LONG}."]
    assert found.first_at == len(f"{LONG}.\n{OTHER}.\nhello\n")


def test_short_sentences_in_the_same_order_are_one_part() -> None:
    part = "Go on. Take the left road. Stop at the mill. Ask for the miller. Pay him well. Return at once. "
    assert "".join(repeats_in(f"{part}Then rest.\n{part}").texts).strip() == part.strip()


def test_short_lines_that_stand_twice_in_another_order_are_no_repetition() -> None:
    lines = [f'"type": "string{n}",\n' for n in range(20)]
    assert repeats_in("".join(lines) + "".join(reversed(lines))).texts == ()


@pytest.mark.parametrize("text", ["", "\n", LONG, f"{LONG}. {OTHER}."])
def test_what_stands_once_is_no_repetition(text: str) -> None:
    assert repeats_in(text).texts == ()


def test_blocks_are_what_nearly_all_texts_have_after_a_place() -> None:
    constant = f"{LONG}, {OTHER}, {LONG[:50]} again, and more of it,\n" * 1
    texts = [f"lead {n},\n{constant * 2}tail {n}" for n in range(20)]
    (block,) = ConstantText(texts).blocks(texts[3], 0)
    assert texts[3][block.start : block.end].strip().startswith("The headrace")
    assert block.end <= len(f"lead 3,\n{constant}")  # what stands there before is left out


def test_labels_between_what_differs_are_no_block() -> None:
    texts = [f"Name: {n},\nCity: {n * 7},\nRole: {n * 3},\n" for n in range(20)]
    assert ConstantText(texts).blocks(texts[0], 0) == []


@pytest.mark.parametrize("piece", [" ", "a", ". ", "\n", "a, ", "é。"])
def test_any_text_is_read_in_linear_time(piece: str) -> None:
    text = piece * (65_536 // len(piece))
    begun = time.process_time()
    repeats_in(text)
    ConstantText([text, text]).blocks(text, 0)
    assert time.process_time() - begun < 1
