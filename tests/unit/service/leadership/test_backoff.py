from headrace.broker.service.leadership.backoff import FIRST_S, HELPED_AFTER_MS, MAX_S, REFUSALS_AT_ONCE, Backoff


def backoff() -> Backoff:
    return Backoff(lambda: 0.5)


def test_pauses_grow_until_something_helps() -> None:
    pauses = backoff()
    assert [pauses.pause_s() for _ in range(8)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, MAX_S, MAX_S]
    pauses.reset()
    assert pauses.pause_s() == FIRST_S


def test_a_stretch_that_was_short_did_not_help() -> None:
    pauses = backoff()
    pauses.pause_s()
    pauses.record_lifetime(HELPED_AFTER_MS - 1)
    assert pauses.pause_s() == 2 * FIRST_S
    pauses.record_lifetime(HELPED_AFTER_MS)
    assert pauses.pause_s() == FIRST_S


def test_a_bisection_does_not_wait_and_one_that_never_ends_does() -> None:
    pauses = backoff()
    assert {pauses.pause_s(refused=True) for _ in range(REFUSALS_AT_ONCE)} == {FIRST_S}
    assert [pauses.pause_s(refused=True) for _ in range(3)] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    pauses.reset()
    assert {pauses.pause_s(refused=True) for _ in range(REFUSALS_AT_ONCE)} == {FIRST_S}


def test_no_two_processes_pause_alike() -> None:
    assert Backoff(lambda: 0.0).pause_s() < Backoff(lambda: 0.9).pause_s()
