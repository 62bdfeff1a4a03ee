from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.account import AccountBreaker
from headrace.broker.core.budget.breaker import ACCOUNT_REST_MS, Breaker
from tests.unit.core.specimens import verdict

NOW = 1_000


class Two:
    """An account and two of its limits."""

    def __init__(self) -> None:
        self.account = AccountBreaker()
        self.own = {"chat": Breaker(), "embeddings": Breaker()}

    def hear(self, limit: str, meaning: Meaning, *, probe: bool = False, wait_ms: int | None = None) -> None:
        """As an attempt tells both: the account first."""
        if probe:
            assert self.account.breaker.probe()
        self.account.observe(limit, self.own[limit], verdict(meaning, wait_ms=wait_ms), NOW, probe=probe)

    @property
    def open(self) -> list[str]:
        found = [name for name, own in self.own.items() if not own.closed]
        return found if self.account.breaker.closed else ["account", *found]


def test_one_answer_that_blames_the_account_rests_it_whole() -> None:
    for meaning in (Meaning.QUOTA, Meaning.AUTH):
        two = Two()
        two.hear("chat", meaning)
        assert two.open == ["account"]
        assert two.account.breaker.may_call_at(NOW) == NOW + ACCOUNT_REST_MS
        assert two.account.breaker.tripped_by is meaning


def test_a_stated_wait_is_kept() -> None:
    two = Two()
    two.hear("chat", Meaning.QUOTA, wait_ms=90_000)
    assert two.account.breaker.may_call_at(NOW) == NOW + 90_000


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


def test_a_limit_that_blamed_it_must_prove_itself_once_another_has_cleared_it() -> None:
    two = Two()
    two.hear("embeddings", Meaning.AUTH)
    assert (two.account.is_blamed_by("embeddings"), two.account.is_blamed_by("chat")) == (True, False)
    two.hear("chat", Meaning.OK, probe=True)
    assert two.open == ["embeddings"]
    assert two.own["embeddings"].may_call_at(NOW) == NOW
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
    two.own["embeddings"].trip(Meaning.TIMEOUT, 0, 30_000)
    two.hear("embeddings", Meaning.AUTH)
    assert two.open == ["account", "embeddings"]
    two.hear("chat", Meaning.OK, probe=True)
    assert two.own["embeddings"].tripped_by is Meaning.TIMEOUT


def test_a_probe_that_met_a_refused_tier_leaves_it_open_for_another_rest() -> None:
    two = Two()
    two.hear("chat", Meaning.QUOTA)
    two.hear("chat", Meaning.TIER_UNAVAILABLE, probe=True)
    assert two.open == ["account"]
    assert two.account.breaker.tripped_by is Meaning.QUOTA
    assert two.account.breaker.may_call_at(NOW) == NOW + ACCOUNT_REST_MS
