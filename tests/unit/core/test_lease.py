import pytest

from headrace.broker.core.config import LeaseTimes
from headrace.broker.core.lease import (
    RELEASED,
    Candidacy,
    FenceDecision,
    ForeignClaims,
    LeaseAnswer,
    Trust,
    after_fence,
    next_term,
)

TIMES = LeaseTimes()
START = 10_000


def test_nobody_is_trusted_before_the_first_proof() -> None:
    trust = Trust(TIMES)
    assert trust.until() == 0
    assert not trust.holds(0)


def test_a_renewal_is_trusted_from_its_sending_until_the_margin_before_its_expiry() -> None:
    trust = Trust(TIMES)
    trust.extend_by_renewal(1_000)
    assert trust.until() == 2_600
    assert trust.holds(2_599)
    assert not trust.holds(2_600)


def test_a_late_renewal_never_extends_the_term() -> None:
    trust = Trust(TIMES)
    trust.extend_by_renewal(1_400)
    trust.extend_by_renewal(1_000)  # its answer took longer
    assert trust.until() == 3_000


def test_a_transaction_is_trusted_from_its_beginning() -> None:
    trust = Trust(TIMES)
    trust.extend_by_commit(1_000)
    assert trust.until() == 2_500
    trust.extend_by_commit(900)
    assert trust.until() == 2_500


def test_the_lease_or_the_proof_counts_whichever_reaches_further() -> None:
    trust = Trust(TIMES)
    trust.extend_by_renewal(1_000)
    trust.extend_by_commit(1_050)
    assert trust.until() == 2_600
    trust.extend_by_commit(1_200)
    assert trust.until() == 2_700


def test_a_foreign_holder_ends_trust_at_once() -> None:
    trust = Trust(TIMES)
    trust.extend_by_renewal(1_000)
    trust.revoke(1_100)
    assert trust.until() == 0
    assert not trust.holds(1_100)


def test_commits_that_wind_up_a_term_do_not_bring_trust_back() -> None:
    trust = Trust(TIMES)
    trust.revoke(1_100)
    trust.extend_by_commit(1_200)
    assert not trust.holds(1_200)


def test_only_a_renewal_sent_after_the_revocation_restores_trust() -> None:
    trust = Trust(TIMES)
    trust.revoke(1_100)
    trust.extend_by_renewal(1_100)
    assert not trust.holds(1_150)
    trust.extend_by_renewal(1_101)
    assert trust.until() == 2_701
    trust.extend_by_commit(2_000)
    assert trust.until() == 3_500


def candidacy(*, ledger_empty: bool = False) -> Candidacy:
    return Candidacy(TIMES, started_ms=START, ledger_empty=ledger_empty)


def looking(
    standby: Candidacy, since_ms: int, until_ms: int, value: str | None = None, expires_ms: int | None = None
) -> None:
    for now_ms in range(since_ms, until_ms + 1, TIMES.poll_every_ms):
        standby.record_look(value, None if expires_ms is None else expires_ms - now_ms, now_ms)


def test_a_standby_takes_nothing_while_a_holder_is_alive() -> None:
    standby = candidacy()
    standby.record_look("another", 1_900, START)
    assert standby.may_take_at(START) is None


def test_a_released_key_is_taken_at_once() -> None:
    standby = candidacy()
    standby.record_look("another", 1_900, START)
    standby.record_look(RELEASED, None, START + 200)
    assert standby.may_take_at(START + 200) == START + 200


def test_a_key_that_ran_out_while_redis_answered_is_taken_at_once() -> None:
    standby = candidacy()
    looking(standby, START, START + 1_800, "another", START + 1_900)
    standby.record_look(None, None, START + 2_000)
    assert standby.may_take_at(START + 2_000) == START + 2_000


def test_a_key_that_vanished_early_is_left_alone_until_its_expiry_and_a_silence() -> None:
    standby = candidacy()
    standby.record_look("another", 1_900, START)
    looking(standby, START + 200, START + 2_200)
    assert standby.may_take_at(START + 2_200) == START + 1_900 + 500


def test_a_key_that_vanished_shortly_before_its_expiry_leaves_its_holder_the_time_to_set_it_again() -> None:
    standby = candidacy()
    looking(standby, START, START + 1_600, "another", START + 1_900)
    looking(standby, START + 1_800, START + 2_400)
    assert standby.may_take_at(START + 2_400) == START + 1_800 + TIMES.reclaim_ms


def test_a_holder_that_sets_a_vanished_key_again_goes_on() -> None:
    standby = candidacy()
    standby.record_look("another", 1_900, START)
    standby.record_look(None, None, START + 200)
    standby.record_look("another", 2_000, START + 400)
    assert standby.may_take_at(START + 400) is None
    standby.record_look(None, None, START + 600)
    assert standby.may_take_at(START + 600) == START + 2_400 + 500


def test_a_key_without_an_expiry_counts_as_freshly_set() -> None:
    standby = candidacy()
    standby.record_look("another", None, START)
    assert standby.may_take_at(START) is None
    standby.record_look(None, None, START + 200)
    assert standby.may_take_at(START + 200) == START + 2_000 + 500


def test_a_key_never_seen_is_left_alone_for_a_lease_and_a_silence() -> None:
    standby = candidacy()
    looking(standby, START + 100, START + 900)
    assert standby.may_take_at(START + 900) == START + 2_500


def test_with_an_empty_ledger_nobody_can_be_leading() -> None:
    standby = candidacy(ledger_empty=True)
    standby.record_look(None, None, START + 100)
    assert standby.may_take_at(START + 100) == START


def test_after_a_silence_of_redis_a_living_leader_may_set_its_key_first() -> None:
    standby = candidacy()
    standby.record_look("another", 1_900, START)
    back = START + 9_000
    standby.record_look(None, None, back)
    assert standby.may_take_at(back) == back + 1_400
    looking(standby, back + 200, back + 1_600)
    assert standby.may_take_at(back + 1_600) == back + 1_400


def test_a_key_that_outlives_a_silence_and_runs_out_then_is_left_to_its_holder_for_as_long() -> None:
    """Its holder may have asked just before Redis was back, and asks again only once that has failed."""
    standby = candidacy()
    standby.record_look("another", 1_900, START)
    looking(standby, START + 1_500, START + 1_700, "another", START + 1_900)
    looking(standby, START + 1_900, START + 2_900)
    assert standby.may_take_at(START + 2_900) == START + 1_500 + TIMES.reclaim_ms


def test_a_silence_that_begins_once_the_holder_is_known_to_be_gone_delays_by_as_much_all_the_same() -> None:
    """It may have found Redis again meanwhile, and have set its key."""
    standby = candidacy()
    looking(standby, START, START + 1_400, "another", START + 1_900)
    standby.record_look(None, None, START + 2_400)
    assert standby.may_take_at(START + 2_400) == START + 2_400 + TIMES.reclaim_ms


def test_a_look_without_an_answer_is_a_silence_however_soon_the_next_one_follows() -> None:
    standby = candidacy()
    looking(standby, START, START + 1_600, "another", START + 1_900)
    standby.record_silence()
    looking(standby, START + 2_000, START + 3_400)
    assert standby.may_take_at(START + 3_400) == START + 2_000 + TIMES.reclaim_ms


def test_a_process_that_has_just_started_does_not_know_whether_redis_was_away() -> None:
    standby = candidacy()
    looking(standby, START, START + 200, "another", START + 300)
    standby.record_look(None, None, START + 400)
    assert standby.may_take_at(START + 400) == START + TIMES.reclaim_ms


def test_a_silence_never_shortens_a_wait() -> None:
    standby = candidacy()
    standby.record_look(None, None, START + 600)
    assert standby.may_take_at(START + 600) == START + 2_500


def test_two_looks_may_be_a_silence_apart() -> None:
    standby = candidacy(ledger_empty=True)
    standby.record_look(None, None, START + 500)
    assert standby.may_take_at(START + 500) == START


def test_a_silence_in_the_middle_of_waiting_starts_the_time_again() -> None:
    standby = candidacy(ledger_empty=True)
    standby.record_look(None, None, START + 100)
    standby.record_look(None, None, START + 601)
    assert standby.may_take_at(START + 601) == START + 601 + TIMES.reclaim_ms


def test_a_key_released_before_or_during_a_silence_is_taken_at_once() -> None:
    standby = candidacy()
    standby.record_look(RELEASED, None, START + 9_000)
    assert standby.may_take_at(START + 9_000) == START + 9_000


@pytest.mark.parametrize("pttl_ms", [None, 100])
@pytest.mark.parametrize("holder_before", [False, True])
def test_a_released_key_that_vanishes_is_left_to_the_process_that_may_have_taken_it(
    *, holder_before: bool, pttl_ms: int | None
) -> None:
    """Another standby took it right after this look, and then Redis was emptied."""
    standby = candidacy()
    if holder_before:
        looking(standby, START - 200, START, "another", START + 1_900)
    standby.record_look(RELEASED, pttl_ms, START + 200)
    looking(standby, START + 400, START + 3_000)
    assert standby.may_take_at(START + 3_000) == START + 200 + TIMES.ttl_ms + TIMES.silence_ms


def test_a_released_key_that_vanished_in_a_silence_is_left_to_a_living_leader_for_as_long_as_any() -> None:
    standby = candidacy()
    standby.record_look(RELEASED, None, START)
    standby.record_look(None, None, START + 9_000)
    assert standby.may_take_at(START + 9_000) == START + 9_000 + TIMES.reclaim_ms


def test_an_old_look_says_nothing() -> None:
    standby = candidacy()
    standby.record_look(RELEASED, None, START)
    assert standby.may_take_at(START + 500) == START
    assert standby.may_take_at(START + 501) is None


def test_a_standby_that_never_looked_takes_nothing() -> None:
    assert candidacy(ledger_empty=True).may_take_at(START) is None


def test_while_redis_does_not_answer_a_leader_needs_proofs() -> None:
    trust = Trust(TIMES)
    assert not trust.needs_proof
    trust.extend_by_renewal(1_000)
    trust.extend_by_renewal(None)
    assert trust.needs_proof
    assert trust.until() == 2_600
    trust.extend_by_renewal(1_400)
    assert not trust.needs_proof


def test_who_has_seen_another_holder_needs_no_proofs() -> None:
    trust = Trust(TIMES)
    trust.extend_by_renewal(None)
    trust.revoke(1_500)
    assert not trust.needs_proof
    trust.extend_by_renewal(None)
    trust.extend_by_renewal(1_400)
    assert not trust.needs_proof


def test_the_third_foreign_claim_within_a_minute_is_one_too_many() -> None:
    claims = ForeignClaims()
    assert not claims.record("b", 0)
    assert not claims.record("c", 30_000)
    assert claims.record("b", 60_000)
    assert claims.owners == ("b", "c")


def test_foreign_claims_far_apart_are_elections() -> None:
    claims = ForeignClaims()
    assert not any(claims.record("b", now_ms) for now_ms in (0, 1, 60_001, 120_000, 120_002))
    assert claims.record("b", 120_003)


def test_a_term_is_one_above_the_highest_that_was_read() -> None:
    assert next_term(0) == 1
    assert next_term(41) == 42


@pytest.mark.parametrize("last_claimant", [None, "", "us", "them"])
@pytest.mark.parametrize("owner", [None, "us"])
def test_after_a_fence_the_lease_decides_where_redis_answers(owner: str | None, last_claimant: str | None) -> None:
    assert after_fence(LeaseAnswer.MINE, owner, last_claimant) is FenceDecision.CLAIM
    assert after_fence(LeaseAnswer.NOT_MINE, owner, last_claimant) is FenceDecision.STAND_BY


@pytest.mark.parametrize(
    ("owner", "last_claimant", "decision"),
    [
        ("us", None, FenceDecision.READ_LEDGER),
        ("us", "us", FenceDecision.CLAIM),
        ("us", "them", FenceDecision.STAND_BY),
        ("us", "", FenceDecision.STAND_BY),
        (None, None, FenceDecision.WAIT_FOR_REDIS),
        (None, "them", FenceDecision.WAIT_FOR_REDIS),
    ],
)
def test_while_redis_is_silent_the_last_claimant_alone_goes_on(
    owner: str | None, last_claimant: str | None, decision: FenceDecision
) -> None:
    assert after_fence(LeaseAnswer.SILENT, owner, last_claimant) is decision
