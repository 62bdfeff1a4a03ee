from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.account import AccountBreaker
from headrace.broker.core.budget.breaker import ACCOUNT_REST_MAX_MS, ACCOUNT_REST_MS
from headrace.broker.core.ticket import Blame, Blamed
from tests.unit.core.blaming import ended
from tests.unit.core.specimens import budget

NOW = 1_000


class Two:
    """An account and two of its limits."""

    def __init__(self, *answered: str) -> None:
        self.account = AccountBreaker()
        self.limits = {"chat": budget("chat"), "embeddings": budget("embeddings")}
        self.said: dict[int, Blamed] = {}
        for name in answered:
            self.account.record_success(self.limits[name], NOW - 100, NOW - 50)

    def hear(
        self, limit: str, meaning: Meaning, *, probe: bool = False, wait_ms: int | None = None, request: int = 1
    ) -> None:
        """As an attempt tells the account."""
        if probe:
            assert self.account.breaker.probe()
        blames = self.said.setdefault(request, Blamed(Blame(), Blame()))
        attempt = ended(meaning, request=request, blames=blames, sent_ms=NOW, wait_ms=wait_ms, probe=probe)
        self.account.observe(self.limits[limit], attempt, NOW)

    @property
    def open(self) -> list[str]:
        found = [name for name, limit in self.limits.items() if not limit.breaker.closed]
        return found if self.account.breaker.closed else ["account", *found]


def test_one_answer_that_blames_the_account_rests_it_whole_if_nothing_was_answered() -> None:
    for meaning in (Meaning.QUOTA, Meaning.AUTH):
        two = Two()
        two.hear("chat", meaning)
        assert two.open == ["account"]
        assert two.account.breaker.may_call_at(NOW) == NOW + ACCOUNT_REST_MS
        assert two.account.breaker.tripped_by is meaning


def test_one_request_among_others_that_are_answered_opens_nothing_and_a_second_one_does() -> None:
    two = Two("chat")
    two.hear("chat", Meaning.AUTH, request=1)
    assert two.open == []
    assert not two.account.is_blamed_by("chat")
    two.hear("chat", Meaning.QUOTA, request=2)
    assert two.open == ["account"]
    assert two.account.is_blamed_by("chat")
    assert two.account.breaker.tripped_by is Meaning.QUOTA


def test_two_requests_of_different_limits_open_the_account() -> None:
    two = Two("chat", "embeddings")
    two.hear("chat", Meaning.AUTH, request=1)
    two.hear("embeddings", Meaning.AUTH, request=2)
    assert two.open == ["account"]


def test_a_limit_of_which_nothing_is_answered_rests_alone_while_others_are_served() -> None:
    two = Two("chat")
    two.hear("embeddings", Meaning.AUTH, wait_ms=20_000)
    assert two.open == ["embeddings"]
    assert two.limits["embeddings"].breaker.tripped_by is Meaning.AUTH
    assert two.limits["embeddings"].breaker.may_call_at(NOW) == NOW + 20_000
    two.hear("embeddings", Meaning.AUTH, request=2)
    assert two.open == ["embeddings"]
    two.hear("chat", Meaning.AUTH, request=3)
    assert two.open == ["account", "embeddings"]


def test_a_limit_whose_requests_are_all_refused_rests_alone_while_new_calls_of_others_succeed() -> None:
    two = Two("chat", "embeddings")
    two.hear("embeddings", Meaning.AUTH, request=1)
    two.account.record_success(two.limits["chat"], NOW + 1, NOW + 2)
    two.hear("embeddings", Meaning.AUTH, request=2)
    assert two.open == ["embeddings"]
    assert two.limits["embeddings"].breaker.may_call_at(NOW) == NOW + ACCOUNT_REST_MS


def test_a_limit_in_trouble_of_its_own_is_not_made_to_rest_anew_by_one_request() -> None:
    two = Two("chat")
    two.limits["embeddings"].breaker.trip(Meaning.TIMEOUT, 0, 30_000)
    two.hear("embeddings", Meaning.AUTH)
    assert two.open == ["embeddings"]
    assert two.limits["embeddings"].breaker.tripped_by is Meaning.TIMEOUT


def test_a_stated_wait_is_kept_up_to_a_minute() -> None:
    for wait_ms, rest_ms in ((45_000, 45_000), (90_000, ACCOUNT_REST_MAX_MS)):
        two = Two()
        two.hear("chat", Meaning.QUOTA, wait_ms=wait_ms)
        assert two.account.breaker.may_call_at(NOW) == NOW + rest_ms


def test_answers_that_say_nothing_of_the_account_leave_it_alone() -> None:
    two = Two()
    for meaning in (Meaning.OK, Meaning.TIMEOUT, Meaning.RATE_LIMITED, Meaning.REJECTED):
        two.hear("chat", meaning)
    assert two.open == []


def test_only_a_probe_that_succeeds_clears_it() -> None:
    two = Two()
    two.hear("chat", Meaning.QUOTA)
    two.hear("chat", Meaning.OK)  # it set out before the credit was used up
    for meaning in (Meaning.REJECTED, Meaning.CONNECTION, Meaning.RATE_LIMITED):
        two.hear("chat", meaning, probe=True)
        assert two.open == ["account"]
        assert two.account.breaker.may_call_at(NOW + ACCOUNT_REST_MS) is not None
    two.hear("chat", Meaning.OK, probe=True)
    assert two.open == []


def test_a_probe_that_blames_it_again_starts_another_rest_and_late_blame_does_not() -> None:
    two = Two()
    two.hear("chat", Meaning.QUOTA, wait_ms=20_000)
    two.hear("chat", Meaning.QUOTA, wait_ms=60_000)
    assert two.account.breaker.may_call_at(NOW) == NOW + 20_000
    two.hear("chat", Meaning.AUTH, probe=True)
    assert two.account.breaker.may_call_at(NOW) == NOW + ACCOUNT_REST_MS
    assert two.account.breaker.tripped_by is Meaning.AUTH


def test_a_limit_that_blames_it_while_it_is_open_must_prove_itself_however_well_it_was() -> None:
    two = Two()
    two.hear("chat", Meaning.AUTH)
    two.account.record_success(two.limits["embeddings"], NOW - 1, NOW)
    two.hear("embeddings", Meaning.AUTH, request=2)
    assert two.account.is_blamed_by("embeddings")


def test_a_limit_that_blamed_it_must_prove_itself_once_another_has_cleared_it() -> None:
    two = Two()
    two.hear("embeddings", Meaning.AUTH)
    assert (two.account.is_blamed_by("embeddings"), two.account.is_blamed_by("chat")) == (True, False)
    two.hear("chat", Meaning.OK, probe=True)
    assert two.open == ["embeddings"]
    assert two.limits["embeddings"].breaker.may_call_at(NOW) == NOW
    assert not two.account.is_blamed_by("embeddings")


def test_what_one_limit_alone_is_refused_never_stops_the_others_again() -> None:
    two = Two()
    two.hear("embeddings", Meaning.AUTH)
    two.hear("chat", Meaning.OK, probe=True)
    two.hear("embeddings", Meaning.AUTH)
    assert two.open == ["embeddings"]
    two.hear("chat", Meaning.AUTH)
    assert two.open == ["account", "embeddings"]


def test_a_limit_in_trouble_of_its_own_keeps_its_own_breaker() -> None:
    two = Two()
    two.limits["embeddings"].breaker.trip(Meaning.TIMEOUT, 0, 30_000)
    two.hear("embeddings", Meaning.AUTH)
    assert two.open == ["account", "embeddings"]
    two.hear("chat", Meaning.OK, probe=True)
    assert two.limits["embeddings"].breaker.tripped_by is Meaning.TIMEOUT


def test_a_probe_that_met_a_refused_tier_leaves_it_open_for_another_rest() -> None:
    two = Two()
    two.hear("chat", Meaning.QUOTA)
    two.hear("chat", Meaning.TIER_UNAVAILABLE, probe=True)
    assert two.open == ["account"]
    assert two.account.breaker.tripped_by is Meaning.QUOTA
    assert two.account.breaker.may_call_at(NOW) == NOW + ACCOUNT_REST_MS


def test_a_probe_that_blames_it_while_another_is_being_served_leaves_room_for_the_next_and_a_second_one_rests_it() -> (
    None
):
    two = Two("chat")
    two.hear("chat", Meaning.AUTH, request=1)
    two.hear("chat", Meaning.AUTH, request=2)
    probed_ms = NOW + ACCOUNT_REST_MS
    for request, rests in ((3, False), (4, True)):
        assert two.account.breaker.probe()
        attempt = ended(
            request=request, sent_ms=probed_ms, probe=True, is_served=lambda _limit, since_ms: since_ms <= NOW
        )
        two.account.observe(two.limits["chat"], attempt, probed_ms)
        assert two.account.breaker.may_call_at(probed_ms) == probed_ms + rests * ACCOUNT_REST_MS
