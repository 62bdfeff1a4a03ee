from headrace.broker.core.budget.blames import BORNE_OUT_MS, DOUBLINGS_MAX, LATELY_MS, NEEDED_FIRST, Blames
from headrace.broker.core.ticket import Blame
from tests.unit.core.blaming import ended

SECOND = 1_000


class Court:
    """Requests by their numbers, each remembered for what it has said."""

    def __init__(self, *, answered_ms: int | None = 0) -> None:
        self.blames = Blames()
        self.said: dict[int, Blame] = {}
        if answered_ms is not None:
            self.blames.record_success(answered_ms - 1, answered_ms)

    def holds(self, request: int, at_ms: int, *, sent_ms: int | None = None, served: bool = False) -> bool:
        attempt = ended(
            request=request, sent_ms=at_ms if sent_ms is None else sent_ms, is_served=lambda _limit, _since_ms: served
        )
        return self.blames.holds(attempt, self.said.setdefault(request, Blame()), None, at_ms)

    def refuted(self, request: int) -> int:
        return self.said[request].refuted


def test_a_blame_holds_where_nothing_was_answered_for_ten_minutes_and_nothing_is_being_served() -> None:
    for served in (False, True):
        assert Court(answered_ms=None).holds(1, 5, served=served) is not served
        assert not Court().holds(1, LATELY_MS, served=served)
        assert Court().holds(1, LATELY_MS + 1, served=served) is not served


def test_a_request_alone_is_believed_no_sooner_however_often_and_fast_it_blames() -> None:
    court = Court()
    assert not any(court.holds(1, at_ms) for at_ms in range(5, LATELY_MS, 499))
    assert court.holds(1, LATELY_MS + 1)


def test_a_second_request_makes_it_hold_and_the_same_one_does_not_while_others_are_answered() -> None:
    court = Court()
    assert not court.holds(1, 5)
    court.blames.record_success(4, 6)  # sent before: out of date, but an answer
    assert not court.holds(1, 7)
    assert court.holds(2, 8)
    assert court.holds(3, 9), "as many as needed and one more"


def test_a_success_of_a_call_sent_after_the_first_blame_starts_the_count_anew() -> None:
    for sent_ms, holds in ((5, True), (6, False)):
        court = Court()
        court.holds(1, 5)
        court.blames.record_success(sent_ms, 20)
        court.blames.record_success(2, 21)
        assert court.holds(2, 22) is holds


def test_a_call_under_way_for_seconds_starts_the_count_anew_and_refutes_as_a_success_does() -> None:
    court = Court()
    court.holds(1, 5)
    assert not court.holds(2, 10_005, served=True)
    assert not court.holds(1, 10_006, served=True)
    assert (court.refuted(1), court.refuted(2)) == (1, 0)
    assert court.holds(3, 10_007), "the second that counts"


def test_a_refuted_request_counts_no_more_beside_others() -> None:
    court = Court()
    court.holds(1, 5)
    court.blames.record_success(6, 7)
    assert not court.holds(1, 10)
    assert not court.holds(2, 11), "one that counts"
    assert not court.holds(1, 12)
    assert (court.refuted(1), court.refuted(2)) == (1, 0)
    assert court.holds(3, 13)


def test_a_request_is_refuted_however_long_others_take_and_often_it_blames_meanwhile() -> None:
    court = Court()
    for at_s in (10, 20, 30):
        court.blames.record_success(5, at_s * SECOND - 1)
        assert not court.holds(1, at_s * SECOND)
    court.blames.record_success(11 * SECOND, 35 * SECOND)
    assert not court.holds(1, 40 * SECOND)
    assert court.refuted(1) == 1


def test_ten_requests_that_are_always_refused_hold_once_at_most_while_others_are_served() -> None:
    court = Court()
    held = 0
    for second in range(1, 600):
        if second % 10 == 0:
            verdicts = [court.holds(request, second * SECOND) for request in range(10)]
            held += any(verdicts)
        court.blames.record_success(second * SECOND + 1, second * SECOND + 2)
    assert held == 1


def needed(court: Court, at_ms: int, first: int) -> int:
    """Let new requests blame the account in the same instant until that holds; how many it took."""
    for number in range(1, 100):
        if court.holds(first + number, at_ms):
            return number
    raise AssertionError("it never holds")


def test_more_requests_are_needed_each_time_that_the_first_new_call_after_them_succeeds() -> None:
    court = Court()
    counts = []
    for round_ in range(6):
        at_ms = round_ * 20 * SECOND + 5
        counts.append(needed(court, at_ms, first=round_ * 1_000))
        court.blames.record_success(at_ms, at_ms + 1)  # sent before they were enough
        court.blames.record_success(at_ms + 10 * SECOND, at_ms + 11 * SECOND)
    assert counts == [2, 4, 8, 16, 32, 32]
    assert counts[-1] == NEEDED_FIRST << DOUBLINGS_MAX


def test_half_as_many_are_needed_after_ten_minutes() -> None:
    for after_ms, count in ((LATELY_MS - 1, 8), (LATELY_MS, 4), (2 * LATELY_MS, 2), (9 * LATELY_MS, 2)):
        court = Court()
        for at_ms in (5, 105):
            needed(court, at_ms, first=at_ms)
            court.blames.record_success(at_ms + 10, at_ms + 20)
        court.blames.record_success(0, 125 + after_ms)
        assert needed(court, 125 + after_ms, first=500) == count


def test_requests_that_are_enough_only_as_fewer_are_needed_are_refuted_like_others() -> None:
    court = Court()
    needed(court, 5, first=0)
    court.blames.record_success(10, 20)  # four are needed now
    since_ms = 20 + LATELY_MS - SECOND
    court.blames.record_success(11, since_ms - 1)
    for number in (100, 101, 102):
        assert not court.holds(number, since_ms + number)
    court.blames.record_success(12, since_ms + 2 * SECOND)
    assert court.holds(103, since_ms + 2 * SECOND + 1), "two were enough by then"
    court.blames.record_success(since_ms + 3 * SECOND, since_ms + 4 * SECOND)
    assert needed(court, since_ms + 5 * SECOND, first=500) == 4


def test_an_outage_that_another_request_bears_out_makes_none_harder_to_find() -> None:
    court = Court()
    assert needed(court, 5, first=0) == 2
    court.holds(50, 40, sent_ms=4)  # it was under way when they were enough
    court.holds(51, 5 + BORNE_OUT_MS + 1)  # a probe
    court.blames.record_success(90_005, 90_100)
    assert needed(court, 90_200, first=100) == 2


def test_a_request_that_blames_again_or_within_a_minute_bears_nothing_out() -> None:
    court = Court()
    assert needed(court, 5, first=0) == 2
    court.holds(50, 40, sent_ms=5)
    court.holds(51, 5 + BORNE_OUT_MS)
    court.holds(1, 80_005)
    court.blames.record_success(90_005, 90_100)
    assert needed(court, 90_200, first=100) == 4
