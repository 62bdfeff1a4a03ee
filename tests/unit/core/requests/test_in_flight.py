from dataclasses import replace

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import CALL_RESERVE_BYTES, CALLS_REMEMBERED, TIERS_TIMED_MAX
from headrace.broker.core.budget.breaker import SILENT_ENOUGH, Breaker
from headrace.broker.core.budget.tier_breaker import CallToTier
from headrace.broker.core.requests.in_flight import CallInFlight, CallsInFlight
from headrace.broker.core.ticket import ModelTier
from tests.unit.core.specimens import budget, candidate, ticket, verdict

WELL = Breaker()


def flights(*, inflight_max: int = 10, held_bytes_max: int = 10 * CALL_RESERVE_BYTES) -> CallsInFlight:
    return CallsInFlight(inflight_max=inflight_max, held_bytes_max=held_bytes_max)


def test_a_call_pays_its_charge_and_reserves_its_weight_until_it_lands() -> None:
    flying, mirror, made = flights(), budget(), ticket()
    call = flying.start(made, mirror, 1_000, account=WELL)
    assert (len(flying), flying.held_bytes, mirror.inflight) == (1, CALL_RESERVE_BYTES, 1)
    flight = flying.land(call, 1_500)
    assert (flight.ticket, flight.budget, flight.wanted) == (made, mirror, True)
    assert (len(flying), flying.held_bytes) == (0, 0)


def test_calls_are_numbered_once_and_for_all() -> None:
    flying, mirror = flights(), budget()
    calls = [flying.start(ticket(), mirror, 0, account=WELL) for _ in range(3)]
    for call in calls:
        flying.land(call, 1)
    assert flying.start(ticket(), mirror, 2, account=WELL) not in calls


def test_an_answer_weighs_what_it_weighs_until_it_is_let_go() -> None:
    flying, mirror, made = flights(), budget(), ticket()
    flying.land(flying.start(made, mirror, 0, account=WELL), 1)
    flying.hold(made, 300)
    assert flying.held_bytes == 300
    flying.hold(made, 0)
    flying.hold(made, 0)
    assert flying.held_bytes == 0


def test_the_count_of_calls_is_bounded() -> None:
    flying, mirror = flights(inflight_max=2), budget()
    first = flying.start(ticket(), mirror, 0, account=WELL)
    assert flying.has_room()
    flying.start(ticket(), mirror, 0, account=WELL)
    assert not flying.has_room()
    flying.land(first, 1)
    assert flying.has_room()


def test_a_share_of_the_places_is_left_to_others_and_one_may_always_be_taken() -> None:
    flying, mirror = flights(inflight_max=4), budget()
    for free in (True, True, False):
        assert flying.has_room(500_000) is free
        flying.start(ticket(), mirror, 0, account=WELL)
    assert flying.has_room()
    assert flights(inflight_max=1).has_room(900_000)


def test_answers_that_wait_for_a_commit_take_room_from_calls() -> None:
    flying, mirror, made = flights(held_bytes_max=2 * CALL_RESERVE_BYTES), budget(), ticket()
    flying.land(flying.start(made, mirror, 0, account=WELL), 1)
    flying.hold(made, CALL_RESERVE_BYTES + 1)
    assert not flying.has_room()
    flying.hold(made, CALL_RESERVE_BYTES)
    assert flying.has_room()


def test_a_call_that_nobody_waits_for_holds_no_bytes_but_its_place() -> None:
    flying, mirror, made = flights(), budget(), ticket()
    call = flying.start(made, mirror, 0, account=WELL)
    assert flying.abandon(made) == call
    assert (len(flying), flying.held_bytes) == (1, 0)
    assert not flying.land(call, 5).wanted
    assert (len(flying), flying.held_bytes) == (0, 0)


def test_the_end_of_an_abandoned_call_leaves_the_ticket_s_next_one_alone() -> None:
    flying, mirror, made = flights(), budget(), ticket()
    old = flying.start(made, mirror, 0, account=WELL)
    flying.abandon(made)
    new = flying.start(made, mirror, 1, account=WELL)
    flying.land(old, 2)
    assert flying.held_bytes == CALL_RESERVE_BYTES
    assert flying.land(new, 3).wanted


def test_a_call_is_expected_to_take_as_long_as_the_longest_of_late() -> None:
    flying, mirror = flights(), budget()
    assert flying.expected_ms("") == flying.fastest_ms() == 0
    flying.land(flying.start(ticket(), mirror, 0, account=WELL), 9_000)
    for _ in range(CALLS_REMEMBERED - 1):
        flying.land(flying.start(ticket(), mirror, 9_000, account=WELL), 9_100)
    assert flying.expected_ms("") == flying.fastest_ms() == 9_000
    flying.land(flying.start(ticket(), mirror, 9_100, account=WELL), 9_200)
    assert flying.expected_ms("") == flying.fastest_ms() == 100


def test_answered_calls_of_each_tier_are_expected_to_take_as_long_as_theirs_did() -> None:
    flying = flights()
    flying.record_answered("flex", 600_000)
    flying.record_answered("", 700)
    flying.record_answered("", 500)
    assert [flying.expected_ms(tier) for tier in ("flex", "")] == [600_000, 700]
    assert flying.fastest_ms() == 700


def test_a_producer_that_invents_tiers_takes_no_place_from_requests_that_name_none() -> None:
    flying = flights()
    for number in range(TIERS_TIMED_MAX + 5):
        flying.record_answered(f"t{number}", 1_000 + number)
    flying.record_answered("", 50)
    assert len([*flying._answered_ms]) <= TIERS_TIMED_MAX + 1
    assert flying.expected_ms("") == 50


def test_it_tells_whether_a_call_of_a_tier_sent_in_a_span_is_under_way() -> None:
    flying, mirror = flights(), budget()
    flex = ModelTier("gpt", "flex")
    flying.start(ticket(), mirror, 100, account=WELL)
    flying.start(ticket(replace(candidate(), tier="flex")), mirror, 200, account=WELL)
    assert not flying.has_sent(100, 199, tier=flex)
    assert flying.has_sent(100, 200, tier=flex)
    assert not flying.has_sent(200, 200, tier=flex)
    assert not flying.has_sent(100, 200, tier=ModelTier("gpt", "scale"))
    assert flying.has_sent(100, 200)
    assert flying.has_sent(100, 200, limit="gpt")
    assert not flying.has_sent(100, 200, limit="embeddings")
    flying.end_term()
    assert not flying.has_sent(100, 200), "a call of a former term proves nothing in this one"
    flying.start(ticket(), mirror, 200, account=WELL)
    assert flying.has_sent(100, 200)


def test_a_call_that_waits_for_a_ledger_line_is_not_known_to_be_under_way() -> None:
    flying = flights()
    flying.find(flying.start(ticket(), budget(), 200, account=WELL)).line = 3
    assert not flying.has_sent(100, 200)


def test_a_call_of_a_resting_tier_is_its_probe() -> None:
    flying, mirror = flights(), budget()
    content = replace(candidate(), tier="flex")
    for _ in range(3):
        call = CallToTier(content.model_tier, verdict(Meaning.TIER_UNAVAILABLE), 0, False, lambda *_: False)
        mirror.tiers.observe(call, 0, 0.5)
    usual = flying.start(ticket(), mirror, 0, account=WELL)
    probe = flying.start(ticket(content), mirror, 0, account=WELL)
    of_tier = mirror.tiers.find(content.model_tier)
    assert (flying.land(usual, 1).probes, flying.land(probe, 1).probes) == ((), (of_tier,))
    assert of_tier is not None
    assert of_tier.is_probing


def test_a_call_that_leaves_while_a_breaker_is_open_is_its_probe() -> None:
    flying, mirror, account = flights(), budget(), Breaker()
    free = flying.start(ticket(), mirror, 0, account=account)
    account.trip(Meaning.QUOTA, 0, 0)
    probe = flying.start(ticket(), mirror, 0, account=account)
    assert account.may_call_at(0) is None
    assert (flying.land(free, 1).probes, flying.land(probe, 1).probes) == ((), (account,))


def test_a_probe_without_a_result_lets_its_breaker_be_probed_again() -> None:
    flying, account = flights(), Breaker()
    account.trip(Meaning.QUOTA, 0, 10)
    probe = flying.start(ticket(), budget(), 10, account=account)
    assert account.may_call_at(20) is None
    flying.land(probe, 20).release_probes(20)
    assert account.may_call_at(20) == 20


def test_whose_call_has_ended_is_told_also_where_nobody_waits_for_it() -> None:
    told: list[str] = []
    flying = CallsInFlight(inflight_max=10, held_bytes_max=1 << 30, on_call_ended=told.append)
    made = ticket(candidate(tenant="acme"))
    call = flying.start(made, budget(), 0, account=WELL)
    flying.abandon(made)
    assert not told
    flying.land(call, 1)
    assert told == ["acme"]


def test_a_call_usually_takes_as_long_as_half_of_the_recent_ones() -> None:
    flying, mirror = flights(), budget()
    assert flying.usual_ms() is None
    for took_ms in (9_000, 100, 300):
        flying.land(flying.start(ticket(), mirror, 0, account=WELL), took_ms)
    assert flying.usual_ms() == 300


def test_so_many_calls_may_be_in_flight_as_there_are_places_beside_a_share_kept() -> None:
    flying = flights(inflight_max=4)
    assert (flying.slots(), flying.slots(500_000)) == (4, 2)


def test_it_tells_what_is_in_flight_who_waits_for_it_and_who_has_paid() -> None:
    flights = CallsInFlight(inflight_max=10, held_bytes_max=1 << 30)
    one, other, mine, yours = ticket(), ticket(candidate("y")), budget(), budget("b")
    call = flights.start(one, mine, 0, account=Breaker())
    flights.start(other, yours, 0, account=Breaker())
    assert flights.find(call).ticket is one
    assert (flights.holds(call), flights.call_of(one), flights.wanted) == (True, call, 2)
    assert (flights.paid_by(mine), flights.paid_by(yours), flights.paid_by(budget())) == (1, 1, 0)
    flights.abandon(one)
    assert (flights.call_of(one), flights.wanted, flights.paid_by(mine)) == (None, 1, 1)
    flights.land(call, 1)
    assert (flights.holds(call), flights.paid_by(mine)) == (False, 0)


def test_a_call_that_waits_for_its_line_has_not_left_until_the_ledger_tells_of_it() -> None:
    flying, mirror, written = flights(), budget(), [4]
    never, once, waits, again = (ticket(candidate(name)) for name in ("never", "once", "waits", "again"))
    once.calls = waits.calls = 1
    again.calls = 2
    for each in (waits, again):
        flying.find(flying.start(each, mirror, 0, account=WELL)).line = 5
    parked = ticket(replace(candidate("parked"), attempt=3))
    parked.calls = 1
    tickets = [never, once, waits, again, parked]

    def left() -> dict[bytes, int]:
        told = flying.have_left(tickets, lambda line: line <= written[0])
        return {entry.identity.id_hash: entry.attempt for entry in told}

    names = {each.candidate.identity.id_hash: each for each in tickets}
    assert [(names[each], attempt) for each, attempt in left().items()] == [(once, 1), (again, 1), (parked, 3)]
    written[0] = 5
    assert left() == {
        each.candidate.identity.id_hash: attempt for each, attempt in ((once, 1), (waits, 1), (again, 2), (parked, 3))
    }


def test_calls_of_a_former_term_are_known_as_such_and_say_nothing_of_durations() -> None:
    flying, mirror = flights(), budget()
    former = flying.start(ticket(), mirror, 0, account=WELL)
    flying.end_term()
    present = flying.start(ticket(), mirror, 0, account=WELL)
    assert flying.land(former, 5_000).of_former_term
    assert flying.usual_ms() is None
    assert not flying.land(present, 1_000).of_former_term
    assert flying.usual_ms() == 1_000


def probing(meaning: Meaning) -> tuple[Breaker, CallInFlight]:
    """A breaker that such an answer opened at 100, and the call that probes it from 200 on."""
    breaker, flying = Breaker(), flights()
    breaker.trip(meaning, 100, 0)
    return breaker, flying.find(flying.start(ticket(), budget(), 200, account=breaker))


def test_a_call_is_a_probe_until_the_breaker_has_closed_even_if_it_opens_again() -> None:
    breaker, flight = probing(Meaning.AUTH)
    assert flight.probes_still(breaker)
    assert not flight.probes_still(WELL)
    breaker.close()
    assert not flight.probes_still(breaker)
    breaker.trip(Meaning.AUTH, 300, 0)
    assert not flight.probes_still(breaker)


def test_a_probe_that_ends_without_a_result_lets_the_next_one_go() -> None:
    breaker, flight = probing(Meaning.AUTH)
    assert breaker.may_call_at(200) is None
    flight.release_probes(200)
    assert breaker.may_call_at(200) == 200


def test_one_about_which_the_server_was_silent_has_let_it_go_and_takes_its_sign_back() -> None:
    for meaning, others_needed in ((Meaning.AUTH, SILENT_ENOUGH), (Meaning.OVERLOADED, SILENT_ENOUGH - 1)):
        breaker, flight = probing(meaning)
        breaker.record_silence()
        flight.silent = True
        assert (breaker.probe(), breaker.probe(), breaker.probe()) == (True, True, False)
        flight.release_probes(200)
        assert (breaker.may_call_at(200) is None) is (meaning is Meaning.AUTH)
        assert [breaker.record_silence() for _ in range(others_needed)][-2:] == [False, True]
