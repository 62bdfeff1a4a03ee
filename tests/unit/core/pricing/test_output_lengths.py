import random

import pytest

from headrace.broker.core.pricing.output_lengths import (
    EVALUATED_EVERY,
    LENGTHS_MAX,
    PRIOR_LENGTHS,
    TEMPLATES_MAX,
    OutputLengths,
    OutputsByTemplate,
)

LONG, SHORT, NEW = b"writes..", b"sorts...", b"new....."


def test_what_is_reserved_is_longer_than_four_of_five_and_changes_in_steps() -> None:
    lengths = OutputLengths()

    def reserved_after(output: int) -> int:
        lengths.record(output)
        return lengths.reserved

    assert lengths.reserved == 0
    assert [reserved_after(output) for output in (100, 100, 100, 100, 900)] == [100] * 5
    assert [reserved_after(105) for _ in range(10)] == [100] * 10
    for _ in range(LENGTHS_MAX + EVALUATED_EVERY):
        lengths.record(30)
    assert lengths.reserved == 30


def test_many_lengths_are_evaluated_after_every_sixteenth() -> None:
    lengths = OutputLengths()
    for _ in range(LENGTHS_MAX):
        lengths.record(100)
    for _ in range(EVALUATED_EVERY - 1):
        lengths.record(1_000)
    assert lengths.reserved == 100
    lengths.record(1_000)
    assert lengths.reserved == 1_000


def mixed(*, long_of_ten: int = 5, calls: int = 200) -> OutputsByTemplate:
    """Return what has learned from calls of two templates on one model."""
    outputs = OutputsByTemplate()
    for number in range(calls):
        is_long = number % 10 < long_of_ten
        outputs.record(600 if is_long else 20, LONG if is_long else SHORT)
    return outputs


@pytest.mark.parametrize("long_of_ten", [1, 5, 9])
def test_each_template_reserves_for_its_own_outputs_and_others_for_those_of_all(long_of_ten: int) -> None:
    outputs = mixed(long_of_ten=long_of_ten)
    assert [outputs.of(name).reserved for name in (LONG, SHORT)] == [600, 20]
    of_all = 600 if long_of_ten > 2 else 20
    assert [outputs.of(name).reserved for name in (b"", NEW)] == [of_all, of_all]


def test_a_new_template_is_taken_for_one_like_all_until_its_own_answers_outweigh_the_prior() -> None:
    outputs, reserved = mixed(), []
    for _ in range(6):
        reserved.append(outputs.of(NEW).reserved)
        outputs.record(20, NEW)
    assert reserved == [600, 600, 600, 20, 20, 20]


def test_one_freak_answer_of_a_new_template_is_no_more_than_one_of_five() -> None:
    outputs = OutputsByTemplate()
    for _ in range(LENGTHS_MAX):
        outputs.record(100)
    outputs.record(90_000, NEW)
    assert outputs.of(NEW).reserved == 100


def test_the_first_answers_of_all_are_those_of_their_template() -> None:
    outputs = OutputsByTemplate()
    outputs.record(70, NEW)
    assert [outputs.of(name).reserved for name in (NEW, b"")] == [70, 70]


def test_a_prior_is_spread_over_the_lengths_and_leaves_with_time() -> None:
    many = OutputLengths()
    assert (many.sample(PRIOR_LENGTHS), OutputLengths(many).reserved) == ([], 0)
    for output in range(1, 65):
        many.record(output)
    assert many.sample(PRIOR_LENGTHS) == [9, 25, 41, 57]
    own = OutputLengths(many)
    for _ in range(LENGTHS_MAX):
        own.record(7)
    assert own.sample(LENGTHS_MAX) == [7] * LENGTHS_MAX


def test_a_call_keeps_what_its_template_reserved_and_the_others_reserve_what_all_do_now() -> None:
    outputs = mixed()
    kept = [outputs.begin(name) for name in (LONG, SHORT, b"", NEW)]
    assert kept == [600, 20, None, None]
    assert outputs.outstanding() == 600 + 20 + 2 * 600
    for _ in range(LENGTHS_MAX):
        outputs.record(20, SHORT)
    assert outputs.outstanding() == 600 + 20 + 2 * 20
    for each in kept:
        outputs.end(each)
    assert outputs.outstanding() == 0


def test_without_templates_reservations_are_those_of_one_list() -> None:
    chance, plain, outputs, calls = random.Random(7), OutputLengths(), OutputsByTemplate(), 0
    for _ in range(1_000):
        assert outputs.of(b"").reserved == plain.reserved
        assert outputs.outstanding() == calls * plain.reserved
        if chance.random() < 0.5 or not calls:
            calls += 1
            assert outputs.begin(b"") is None
        else:
            calls -= 1
            output = round(chance.lognormvariate(5, 1))
            outputs.end(None)
            outputs.record(output)
            plain.record(output)


def test_a_stream_of_new_templates_costs_no_memory_and_leaves_the_lengths_of_all_as_they_were() -> None:
    chance, named, unnamed = random.Random(7), OutputsByTemplate(), OutputsByTemplate()
    names = [number.to_bytes(8, "big") for number in range(20 * TEMPLATES_MAX)]
    for name in names:
        output = round(chance.lognormvariate(5, 1))
        named.record(output, name)
        unnamed.record(output)
        assert named.of(b"").reserved == unnamed.of(b"").reserved
    apart = [name for name in names if named.of(name) is not named]
    assert apart == names[-TEMPLATES_MAX:]


def test_a_template_in_use_outlasts_new_ones() -> None:
    outputs = mixed()
    for number in range(4 * TEMPLATES_MAX):
        outputs.record(300, number.to_bytes(8, "big"))
        outputs.record(20, SHORT)
    assert outputs.of(SHORT).reserved == 20
    assert outputs.of(LONG) is outputs
