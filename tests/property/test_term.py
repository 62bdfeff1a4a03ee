"""A leader, a standby, a Redis that is emptied, goes away or answers late.

No key is taken from a leader that trusts itself, nor from one that lives and can reach Redis.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.broker.core.config import LeaseTimes
from headrace.broker.core.lease import RELEASED, Candidacy, Trust

TIMES = LeaseTimes()
TICK_MS = 50


class Election(RuleBasedStateMachine):
    """The lease key on a clock of ticks.

    Proofs are left out of the trust, for they keep it while nobody can be elected; a leader can always give one, so it
    sets a key again that is gone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000
        self.key: tuple[str, int | None] | None = None  # value, expiry
        self.redis = self.leader_reaches_redis = True
        self.leader_alive = False
        self.trust = Trust(TIMES)
        self.answers: list[tuple[int, int]] = []  # arrives at, sent at
        self.standby = Candidacy(TIMES, started_ms=self.now, ledger_empty=True)
        self.trusting_when_taken = self.alive_when_taken = False
        self.asks_at = self.cut_at = 0
        self.slow = False  # a question that is not answered takes as long as it may

    @rule(ticks=st.integers(1, 60), delay_ticks=st.integers(0, 8))
    def time_passes(self, ticks: int, delay_ticks: int) -> None:
        for _ in range(ticks):
            self.now += TICK_MS
            if self.key is not None and self.key[1] is not None and self.key[1] <= self.now:
                self.key = None
            for arrival in [each for each in self.answers if each[0] <= self.now]:
                self.answers.remove(arrival)
                self.trust.extend_by_renewal(arrival[1])
            if not self.leader_reaches_redis:
                self.cut_at = self.now
            if self.now >= self.asks_at:
                self.renew(delay_ticks * TICK_MS)
            if self.now % TIMES.poll_every_ms == 0 and self.redis:
                self.poll()

    def renew(self, delay_ms: int) -> None:
        self.asks_at = self.now + TIMES.renew_every_ms
        if not (self.leader_alive and self.redis and self.leader_reaches_redis):
            self.asks_at = self.now + max(TIMES.renew_every_ms, TIMES.answer_ms * self.slow)
            return
        if self.key is None or self.key[0] == "leader":
            self.key = "leader", self.now + TIMES.ttl_ms
            self.answers.append((self.now + delay_ms, self.now))
        else:
            self.resign()

    def resign(self) -> None:
        self.leader_alive = False
        self.answers.clear()
        self.trust.revoke(self.now)

    def poll(self) -> None:
        value, expiry = self.key or (None, None)
        self.standby.record_look(value, None if expiry is None else expiry - self.now, self.now)
        at = self.standby.may_take_at(self.now)
        if at is not None and at <= self.now:
            assert self.key is None or self.key[0] == RELEASED
            self.trusting_when_taken |= self.trust.holds(self.now)
            self.alive_when_taken |= self.leader_alive and self.now - self.cut_at > TIMES.reclaim_ms
            self.promote()

    def promote(self) -> None:
        """The standby is the leader from here on, and a new standby starts."""
        self.key = "leader", self.now + TIMES.ttl_ms
        self.leader_alive = self.leader_reaches_redis = True
        self.trust = Trust(TIMES)
        self.trust.extend_by_renewal(self.now)
        self.asks_at = self.now + TIMES.renew_every_ms
        self.answers.clear()
        self.standby = Candidacy(TIMES, started_ms=self.now, ledger_empty=False)

    @rule()
    def redis_is_emptied(self) -> None:
        self.key = None

    @rule()
    def redis_goes_or_comes(self) -> None:
        self.redis = not self.redis

    @rule(slow=st.booleans(), ticks=st.integers(1, 60), again=st.integers(1, 60))
    def redis_is_away_and_back_without_the_key_or_with_it(self, *, slow: bool, ticks: int, again: int) -> None:
        self.redis, self.slow = False, slow
        self.time_passes(ticks, 0)
        self.redis = True
        self.time_passes(again, 0)

    @rule()
    def the_leader_loses_or_finds_redis(self) -> None:
        self.leader_reaches_redis = not self.leader_reaches_redis

    @rule(ticks=st.integers(20, 60))
    def the_leader_is_cut_off_from_redis(self, ticks: int) -> None:
        self.redis, self.leader_reaches_redis = True, False
        self.time_passes(ticks, 0)

    @rule(ticks=st.integers(1, 60))
    def a_standby_starts_on_an_emptied_redis(self, ticks: int) -> None:
        self.key = None
        self.the_standby_starts_anew()
        self.time_passes(ticks, 0)

    @rule()
    def the_leader_dies(self) -> None:
        self.leader_alive = False
        self.trust = Trust(TIMES)
        self.answers.clear()

    @precondition(lambda self: self.redis and self.leader_alive and self.key is not None)
    @rule()
    def the_leader_releases(self) -> None:
        self.key = RELEASED, None
        self.resign()

    @rule()
    def the_standby_starts_anew(self) -> None:
        self.standby = Candidacy(TIMES, started_ms=self.now, ledger_empty=False)

    @rule()
    def a_dead_leader_is_replaced(self) -> None:
        """Liveness: with Redis there, a death costs a lease, what may be unseen and a look at most."""
        self.redis = True
        self.the_leader_dies()
        self.time_passes((TIMES.ttl_ms + TIMES.silence_ms + TIMES.poll_every_ms) // TICK_MS + 1, 0)
        assert self.leader_alive

    @invariant()
    def no_key_is_taken_from_a_leader_that_trusts_itself(self) -> None:
        assert not self.trusting_when_taken

    @invariant()
    def no_key_is_taken_from_a_leader_that_lives_and_can_reach_redis(self) -> None:
        assert not self.alive_when_taken


TestElection = pytest.mark.slow(Election.TestCase)
TestElection.settings = settings(max_examples=100, stateful_step_count=30, deadline=None, derandomize=True)
