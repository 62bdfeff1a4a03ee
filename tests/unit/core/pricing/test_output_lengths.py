from headrace.broker.core.pricing.output_lengths import EVALUATED_EVERY, LENGTHS_MAX, OutputLengths


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
