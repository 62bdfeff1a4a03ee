"""A limit of the operator's that counts by a sliding window and shows no header, at a whole budget."""

from collections import deque
from dataclasses import replace

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.answers.verdict import Answer, judge
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.units import PPM
from tests.unit.core.budgets import SETTINGS, failure, full, refusal
from tests.unit.core.specimens import verdict

CALL = 600


class Server:
    """A server that counts the tokens of the last minute, says nothing of them, and answers at once."""

    def __init__(self, budget: Budget, capacity: int = 60_000) -> None:
        self.budget, self.capacity = budget, capacity
        self.charged: deque[tuple[int, int]] = deque()
        self.refused: list[int] = []
        self.now_ms = self.count = 0

    def run(self, until_ms: int) -> int:
        """Send a call whenever the budget allows it; return the tokens that were admitted."""
        gained = 0
        while self.now_ms < until_ms:
            at_ms = self.budget.payable_at(CALL, self.now_ms)
            assert at_ms is not None
            if at_ms > self.now_ms:
                self.now_ms = min(at_ms, self.now_ms + 500)
                continue
            self.count += 1
            self.budget.reserve(self.count, CALL, self.now_ms)
            self.now_ms += 5
            while self.charged and self.charged[0][0] <= self.now_ms - MINUTE_MS:
                self.charged.popleft()
            if sum(tokens for _, tokens in self.charged) + CALL <= self.capacity:
                self.charged.append((self.now_ms, CALL))
                gained += CALL
                self.budget.record_answer(self.count, self.now_ms, verdict())
            else:
                self.refused.append(self.now_ms)
                self.budget.record_answer(self.count, self.now_ms, failure(429))
        return gained


def test_a_sliding_window_that_nothing_shows_is_spent_to_its_end_without_a_refusal() -> None:
    """Before: measurements replaced the bucket, and paced what could have been spent at once."""
    server = Server(full(SETTINGS))
    gained = server.run(6 * MINUTE_MS)
    assert [level.refill for level in server.budget.levels(6 * MINUTE_MS)] == [Refill.SLIDING]
    assert not server.budget.guide.measures
    assert not [at_ms for at_ms in server.refused if at_ms > 2 * MINUTE_MS]
    assert gained >= 0.97 * 6 * server.capacity


def test_what_refusals_taught_of_bursts_is_forgotten_with_the_bucket() -> None:
    server = Server(full(SETTINGS))
    server.run(59_000)
    learned = server.budget.learned_limits()
    assert learned.burst_ceiling_tokens is not None or learned.share_ppm < PPM
    server.run(2 * MINUTE_MS)
    learned = server.budget.learned_limits()
    assert (learned.burst_ceiling_tokens, learned.share_ppm) == (None, PPM)


def test_a_refusal_tells_that_times_are_stated_in_parts_of_a_second_whatever_it_names() -> None:
    """The level of the limit that it names is told by its body; the time in its headers is no less exact."""
    shown = {"limit": "60000", "remaining": "300", "reset": "989ms"}
    headers = {f"x-ratelimit-{what}-tokens": value for what, value in shown.items()}
    text = refusal(used=59_700, requested=400)
    assert text.snapshot is not None
    budget = full(SETTINGS)
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 20, replace(text, readings=judge(Answer(429, headers, None, None, None, "")).readings))
    assert budget._buckets._shown.has_fine_times
