"""Answers that blame the account, seen from the whole core: one request must never stop all others."""

from collections.abc import Callable
from statistics import median

import pytest

from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.breaker import ACCOUNT_REST_MS
from headrace.broker.core.budget.tier_breaker import REFUSED_WITHIN_MS
from headrace.broker.core.commands import BreakerClosed, BreakerOpened, Complete, Fail, Park
from headrace.broker.core.config import LaneRule
from headrace.broker.core.events import Answered
from headrace.broker.core.ticket import Candidate, TicketNumber
from tests.unit.core.shell import Shell, leading
from tests.unit.core.specimens import BULK, STANDARD, URGENT, candidate, place, verdict

AUTH, QUOTA = verdict(Meaning.AUTH), verdict(Meaning.QUOTA)
STEP_MS = 250
MINUTE_MS = 60_000


class Server:
    """A server that refuses some requests always, and all of them while the account is `out`."""

    def __init__(self, shell: Shell, *, took_ms: int = 0, refusal: Verdict = AUTH) -> None:
        self.shell = shell
        self.took_ms = took_ms
        self.refusal = refusal
        self.poisons: set[TicketNumber] = set()
        self.forbidden = ""
        self.out: Verdict | None = None
        self.came: dict[TicketNumber, int] = {}
        self.waits: list[int] = []
        self.refused: list[TicketNumber] = []
        self.open_ms = 0
        self._sent: dict[TicketNumber, int] = {}
        self._names = 0

    def name(self) -> str:
        self._names += 1
        return f"r-{self._names}"

    def honest(self, lane: str = "urgent", **settings: int | str) -> TicketNumber:
        number = self.shell.take(candidate(self.name(), **settings), partition=place(lane))  # type: ignore[arg-type]
        self.came[number] = self.shell.now_ms
        return number

    def poison(self, lane: str = "bulk", **settings: int | str) -> TicketNumber:
        """A request that the server refuses always; it has not been taken when its number is known."""
        number = self.shell.take(candidate(self.name(), **settings), partition=place(lane))  # type: ignore[arg-type]
        self.poisons.add(number)
        return number

    def play(self, span_ms: int, arrivals: Callable[[int], object] = lambda _at_ms: None) -> None:
        """Let time pass; `arrivals` is called each quarter of a second with the time since the beginning."""
        shell = self.shell
        for at_ms in range(0, span_ms, STEP_MS):
            arrivals(at_ms)
            for number in list(shell.calls):
                self._answer(number)
            self.open_ms += STEP_MS * (not shell.core.limits.account.breaker.closed)
            shell.wait(STEP_MS)
            if shell.batch is not None:
                shell.commit()

    def _answer(self, number: TicketNumber) -> None:
        shell = self.shell
        mine: Candidate = shell.core.registry._tickets[number].candidate
        if self.out is not None or number in self.poisons or mine.limit == self.forbidden:
            self.refused.append(number)
            shell.answer(number, self.out or self.refusal)
            return
        if number not in self._sent:
            self._sent[number] = shell.now_ms
            self.waits.append(shell.now_ms - self.came.pop(number, shell.now_ms))
        if shell.now_ms - self._sent[number] >= self.took_ms:
            shell.answer(number)


def served_before(*, took_ms: int = 0) -> Server:
    """A server that has answered a call."""
    server = Server(leading(), took_ms=took_ms)
    server.honest()
    server.play(max(1_000, 2 * took_ms))
    assert len(server.waits) == 1
    return server


def each(every_ms: int, do: Callable[[], object]) -> Callable[[int], object]:
    return lambda at_ms: at_ms % every_ms == 0 and do()


@pytest.mark.slow
@pytest.mark.parametrize("refusal", [AUTH, QUOTA], ids=["auth", "quota"])
@pytest.mark.parametrize("every_ms", [500, 10_000])
@pytest.mark.parametrize("poisons", [1, 10])
def test_requests_that_are_always_refused_delay_no_other(poisons: int, every_ms: int, refusal: Verdict) -> None:
    server = served_before()
    server.refusal = refusal
    for _ in range(poisons):
        server.poison()
    server.play(10 * MINUTE_MS, each(every_ms, server.honest))
    assert server.open_ms <= ACCOUNT_REST_MS
    assert median(server.waits) == 0
    assert sum(wait_ms > 0 for wait_ms in server.waits) <= ACCOUNT_REST_MS // every_ms
    assert not server.came
    assert 9 * poisons <= len(server.refused) <= 20 * poisons
    assert not any(server.shell.decisions(number) for number in server.poisons)


@pytest.mark.slow
@pytest.mark.parametrize("took_ms", [250, 15_000])
def test_new_requests_that_are_always_refused_delay_no_other_however_long_calls_take(took_ms: int) -> None:
    server = served_before(took_ms=took_ms)
    server.play(30_000, each(500, server.honest))
    server.play(
        10 * MINUTE_MS,
        lambda at_ms: (at_ms % 500 or server.honest(), at_ms % 20_000 or server.poison()),
    )
    assert server.open_ms <= ACCOUNT_REST_MS
    assert median(server.waits) == 0


@pytest.mark.slow
def test_false_alarms_become_rare_where_many_new_requests_are_refused_and_calls_take_long() -> None:
    server = served_before(took_ms=15_000)
    server.play(30_000, each(500, server.honest))
    shares = []
    for _ in range(3):
        server.open_ms = 0
        server.play(
            10 * MINUTE_MS,
            lambda at_ms: (at_ms % 500 or server.honest(), at_ms % 5_000 or server.poison()),
        )
        shares.append(server.open_ms / (10 * MINUTE_MS))
    assert max(shares) <= 0.15


@pytest.mark.slow
@pytest.mark.parametrize("poisons", [70, 200])
def test_any_number_of_requests_that_are_always_refused_delay_the_few_others_of_their_lane_once(poisons: int) -> None:
    server = Server(leading())
    for _ in range(poisons):
        server.poison("urgent")
    server.play(MINUTE_MS)
    server.play(20 * MINUTE_MS, each(MINUTE_MS, server.honest))
    assert not server.came
    assert max(server.waits) <= 2 * ACCOUNT_REST_MS
    assert sum(wait_ms > 0 for wait_ms in server.waits) <= 1


@pytest.mark.slow
def test_a_key_that_is_valid_again_is_found_behind_many_requests_that_are_always_refused() -> None:
    server = served_before()
    for _ in range(100):
        server.poison("urgent")
    server.out = AUTH
    server.play(10 * MINUTE_MS, each(5_000, server.honest))
    server.out = None
    server.play(MINUTE_MS, each(5_000, server.honest))
    assert server.shell.core.limits.account.breaker.closed
    assert not server.came


@pytest.mark.slow
@pytest.mark.parametrize("deadline_ms", [5 * MINUTE_MS, 10 * MINUTE_MS])
@pytest.mark.parametrize("every_ms", [1_000, 5_000, MINUTE_MS])
@pytest.mark.parametrize("took_ms", [0, 2 * MINUTE_MS])
def test_one_request_opens_nothing_up_to_its_deadline_however_rare_and_long_other_calls_are(
    took_ms: int, every_ms: int, deadline_ms: int
) -> None:
    server = served_before(took_ms=took_ms)
    server.poison(deadline_ms=server.shell.now_ms + deadline_ms)
    server.play(deadline_ms + MINUTE_MS, each(every_ms, server.honest))
    assert len(server.refused) >= 10
    assert (server.open_ms, max(server.waits)) == (0, 0)


@pytest.mark.slow
def test_new_requests_that_are_always_refused_and_come_first_in_their_lane_do_not_keep_the_account_at_rest() -> None:
    server = served_before(took_ms=MINUTE_MS)
    server.play(
        20 * MINUTE_MS,
        lambda at_ms: (
            at_ms % 1_000 or server.honest(),
            at_ms % 5_000 or server.poison("urgent", deadline_ms=server.shell.now_ms + 5 * MINUTE_MS),
        ),
    )
    assert server.open_ms <= 0.1 * 20 * MINUTE_MS
    assert median(server.waits) == 0


def test_a_probe_under_way_for_long_holds_up_no_other_from_the_instant_at_which_it_counts_as_served() -> None:
    server = Server(leading(), took_ms=10 * MINUTE_MS)
    shell = server.shell
    shell.answer(server.honest(), AUTH)
    probe = server.honest()
    shell.wait(ACCOUNT_REST_MS)
    assert [*shell.calls] == [probe]
    waiting, served_ms = server.honest(), shell.now_ms + REFUSED_WITHIN_MS
    while waiting not in shell.calls:
        wake_ms = shell.core.wake_at()
        assert wake_ms is not None
        assert wake_ms <= served_ms
        shell.wait(wake_ms - shell.now_ms)
        if shell.batch is not None:
            shell.commit()
    assert shell.now_ms == served_ms


@pytest.mark.slow
def test_a_revoked_key_stops_all_calls_within_two_answers_and_no_request_is_lost() -> None:
    server = served_before(took_ms=2_000)
    numbers = [server.honest() for _ in range(300)]
    shell = server.shell
    assert len(shell.calls) == 300
    for number in list(shell.calls)[:2]:
        assert shell.core.limits.account.breaker.closed
        shell.answer(number, AUTH)
    assert not shell.core.limits.account.breaker.closed
    server.out = AUTH
    server.play(10 * MINUTE_MS, each(5_000, lambda: numbers.append(server.honest())))
    assert len(server.refused) <= 298 + 61, "those in flight, and a probe each ten seconds"
    assert not any(shell.decisions(number) for number in numbers)
    server.out = None
    server.play(5 * MINUTE_MS)
    assert [shell.decisions(number) for number in numbers] == [[Complete()]] * 420
    assert shell.is_empty()


def test_a_key_revoked_under_load_is_found_within_two_answers_beside_a_request_that_is_always_refused() -> None:
    server = served_before()
    server.poison()
    server.play(2 * MINUTE_MS, each(500, server.honest))
    server.out, before = AUTH, len(server.refused)
    server.play(5_000, each(500, server.honest))
    assert not server.shell.core.limits.account.breaker.closed
    assert len(server.refused) <= before + 3


@pytest.mark.parametrize("answered", [False, True])
def test_a_single_request_waits_for_as_long_as_the_key_is_revoked(*, answered: bool) -> None:
    server = served_before() if answered else Server(leading())
    server.out = AUTH
    number = server.honest()
    server.play(1_000)
    assert server.shell.core.limits.account.breaker.closed is answered
    server.play(11 * MINUTE_MS)
    assert not server.shell.core.limits.account.breaker.closed
    assert 30 <= len(server.refused) <= 68
    server.out = None
    server.play(25_000)
    assert server.shell.decisions(number) == [Complete()]


def test_a_request_whose_deadline_comes_while_the_key_is_revoked_fails_no_earlier() -> None:
    server = served_before()
    server.out = AUTH
    deadline_ms = server.shell.now_ms + 15_000
    numbers = [server.honest(deadline_ms=deadline_ms) for _ in range(20)]
    server.play(14_000)
    assert not any(server.shell.decisions(number) for number in numbers)
    server.play(10_000)
    for number in numbers:
        (failed,) = server.shell.decisions(number)
        assert isinstance(failed, Fail)
        assert failed.reason == "deadline_exceeded"


@pytest.mark.slow
def test_a_quota_that_is_used_up_and_refilled_three_times_is_found_each_time_and_costs_no_request() -> None:
    server = served_before()
    numbers: list[TicketNumber] = []
    for _ in range(3):
        server.out, server.refused, server.open_ms = QUOTA, [], 0
        server.play(2 * MINUTE_MS, each(500, lambda: numbers.append(server.honest())))
        assert len(server.refused) <= 2 + 12
        assert server.open_ms >= 2 * MINUTE_MS - 2_000
        server.out = None
        server.play(2 * MINUTE_MS, each(500, lambda: numbers.append(server.honest())))
        assert not server.came
    assert [server.shell.decisions(number) for number in numbers] == [[Complete()]] * (3 * 480)


@pytest.mark.slow
def test_a_model_that_the_key_may_not_use_rests_alone_and_its_requests_are_parked_beyond_half_a_buffer() -> None:
    lanes = tuple(LaneRule(rule.name, rule.order, 0, 0, 100, 1 << 30) for rule in (URGENT, STANDARD, BULK))
    server = Server(Shell(lanes=lanes).lead())
    server.forbidden = "o9"
    server.honest()
    server.play(1_000)
    forbidden = [server.honest("standard", limit="o9") for _ in range(90)]
    server.waits.clear()
    server.play(5 * MINUTE_MS, each(500, lambda: server.honest("urgent")))
    assert server.open_ms == 0
    assert max(server.waits) == 0
    assert len(server.refused) <= 90 + 32
    parked = [number for number in forbidden if server.shell.decisions(number)]
    assert len(parked) >= 35
    for number in parked:
        (decision,) = server.shell.decisions(number)
        assert isinstance(decision, Park)
        assert decision.kind == "auth"


def test_the_breakers_cause_is_the_second_request_and_one_alone_is_no_change() -> None:
    shell = leading()
    shell.answer(shell.take("a"))
    first, second = shell.take("b"), shell.take("c")
    told: list[object] = []
    for number, answer in ((first, AUTH), (second, QUOTA)):
        shell.core.on(Answered(shell.calls.pop(number).call, answer, 10), shell.now_ms)
        told += [each for each in shell.carry_out() if isinstance(each, BreakerOpened | BreakerClosed)]
    assert told == [BreakerOpened(None, "gpt", second, QUOTA, ACCOUNT_REST_MS)]
