"""When parked requests come back, in bounded memory."""

from datetime import UTC, datetime, timedelta

from headrace.broker.service.metrics.parked_until import KEPT_MAX, Parkings

BACK = datetime(2026, 12, 1, 9, tzinfo=UTC)


def test_a_run_that_was_parked_is_known_by_when_it_comes_back() -> None:
    parkings = Parkings()
    parkings.record(b"a", 2, BACK)
    assert parkings.back_at(b"a", 2) == BACK
    assert (parkings.back_at(b"a", 1), parkings.back_at(b"b", 2)) == (None, None)
    parkings.record(b"a", 2, BACK + timedelta(hours=1))
    assert parkings.back_at(b"a", 2) == BACK + timedelta(hours=1)


def test_beyond_so_many_those_parked_longest_ago_are_forgotten() -> None:
    parkings = Parkings()
    for number in range(KEPT_MAX):
        parkings.record(number.to_bytes(4), 0, BACK)
    parkings.record((0).to_bytes(4), 0, BACK)  # once more: now it is the latest
    parkings.record(b"new", 0, BACK)
    known = [parkings.back_at(each, 0) is not None for each in ((0).to_bytes(4), (1).to_bytes(4), b"new")]
    assert known == [True, False, True]
